"""`vla_nav profile`: where the time of one cycle goes."""  # noqa: A005, RUF100

import argparse
from collections import defaultdict
from pathlib import Path
import time
from typing import Any, Callable, Dict, List

from ..bench.node.probe import make_pictures, renew
from ..driving import loop
from ..driving.latency_recorder import FIELDS, Percentiles
from ..node.configured import Configured
from ..node.managed_node import VlaNavNode
from ..node.start.shutdown_context import start
from ..system import gc_schedule
from ..system.arguments import picture_size
from ..system.outputs import write_json
from ..types import Frame

EXAMPLE = 'vla_nav profile --size 1280x720 --frames 2000'
# Never the robot's own topics: the profiled node drives on random images.
NAMESPACE = '/vla_nav_profile'
WARM_UP = 50  # cycles that do not count: first uses, and the processor's clock

# The stages in order; those that are no field of ~/latency are measured here. Hand over: from the
# camera's thread to the driving thread.
STAGES = ('deserialise', 'hand over', 'guard', 'decode', 'preprocess', 'infer', 'gate', 'publish')
REST = 'between these'
OWN = 'cycle without infer'
AFTER = ('record', 'publish ~/latency', 'collect garbage')  # after the command

Spans = Dict[str, List[float]]  # name -> us of each cycle


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of this verb."""
    parser.add_argument('--size', type=picture_size, default='640x480', metavar='WxH',
                        help='of the images (default: %(default)s)')
    parser.add_argument('--frames', type=int, default=1000, metavar='N',
                        help='cycles to measure (default: %(default)s)')
    parser.add_argument('--rate', type=float, default=50.0, metavar='HZ',
                        help='images a second (default: %(default)s)')
    parser.add_argument('--backend', default='onnx', help='default: %(default)s')
    parser.add_argument('--precision', default='fp32', help='default: %(default)s')
    parser.add_argument('--model', default='', metavar='DIR',
                        help='policy bundle (default: the one that ships)')
    parser.add_argument('--set', nargs='+', default=[], metavar='NAME:=VALUE', dest='others',
                        help='other parameters of the node, such as nvtx:=true')
    parser.add_argument('--json', type=Path, metavar='FILE',
                        help='also write the figures to this file')


def run(args: argparse.Namespace) -> int:
    """Drive on random images and print the table."""
    parameters = [part for name in ('model', 'backend', 'precision')
                  for part in ('-p', f'{name}:="{getattr(args, name)}"')]
    parameters += [part for other in args.others for part in ('-p', other)]
    width, height = args.size
    # It drives no robot, so an unverified policy may be profiled.
    context = start(['--ros-args', '-r', f'__ns:={NAMESPACE}', '-p', 'allow_unverified:=true',
                     *parameters])
    try:
        node = VlaNavNode(context)
        parts = _activated(node)
        print(f'{args.frames} pictures of {width}x{height} rgb8 at {args.rate:g} Hz, '
              f'{parts.policy.backend.info}')
        spans = _drive(parts, make_pictures(width, height), args.frames + WARM_UP, 1.0 / args.rate)
        node.lifecycle.trigger('shutdown')
        node.destroy_node()
    finally:
        context.try_shutdown()
    percentiles = {name: Percentiles.from_values(values) for name, values in spans.items()}
    figures = {name: {'p50': found.p50, 'p99': found.p99} for name, found in percentiles.items()}
    _print(figures)
    if args.json:
        write_json(args.json, {'us': figures})
    return 0


def _activated(node: VlaNavNode) -> Configured:
    """Configure and activate the node, or raise what went wrong."""
    for label in ('configure', 'activate'):
        error = node.lifecycle.trigger(label)
        if error is not None:
            raise error
    assert node.configured is not None
    return node.configured


def _drive(parts: Configured, pictures: List[bytearray], count: int, period_s: float) -> Spans:
    """Run the node's own threads, and act as the camera's thread in this one."""
    spans: Spans = defaultdict(list)
    _instrument(parts.loop, spans)
    due = time.monotonic()
    for number in range(count):
        picture = pictures[number % len(pictures)]
        renew(picture)
        parts.camera.on_image(bytes(picture))
        due += period_s
        time.sleep(max(due - time.monotonic(), 0.0))
    return {name: values[WARM_UP:] for name, values in spans.items()}


def _instrument(of: loop.DrivingLoop, spans: Spans) -> None:
    """Time what ~/latency does not contain."""
    def drive(frame: Frame) -> None:
        before_ns = frame.received_ns + frame.deserialise_ns
        before.append((time.perf_counter_ns() - before_ns) / 1e3)
        go(frame)

    def keep(values: Any) -> None:
        row = {name: value * 1e3 for name, value in zip(FIELDS, values)}
        row['hand over'], row['guard'] = before[-1], frame_checks[-1]
        row[REST] = row['cycle'] - sum(row[name] for name in STAGES)
        row[OWN] = row['cycle'] - row['infer']
        for name, value in row.items():
            spans[name].append(value)
        publish(values)

    before: List[float] = []
    frame_checks: List[float] = []
    publish = _timed(of._on_cycle, spans[AFTER[1]])
    go = of.drive
    for owner, name, work in (
            (of, 'drive', drive), (of, '_on_cycle', keep),
            (of.frame_checks, 'check', _timed(of.frame_checks.check, frame_checks)),
            (of.latency, 'record', _timed(of.latency.record, spans[AFTER[0]])),
            (gc_schedule, 'tidy', _timed(gc_schedule.tidy, spans[AFTER[2]]))):
        setattr(owner, name, work)


def _timed(work: Callable[..., Any], kept: List[float]) -> Callable[..., Any]:
    def timed(*args: Any) -> Any:
        start_ns = time.perf_counter_ns()
        result = work(*args)
        kept.append((time.perf_counter_ns() - start_ns) / 1e3)
        return result
    return timed


def _print(figures: Dict[str, Dict[str, float]]) -> None:
    whole = figures['cycle']['p50']
    print(f'  {"us":24}{"p50":>9}{"p99":>9}{"of p50":>10}')
    for name in (*STAGES, REST, 'cycle', OWN, *AFTER):
        if name == AFTER[0]:
            print('after the command:')
        p50, p99 = figures[name]['p50'], figures[name]['p99']
        print(f'  {name:24}{p50:9.1f}{p99:9.1f}{100.0 * p50 / whole:8.1f} %')
