"""`vla_nav latency`: the node beside an idiomatic node and a bare echo, in one run."""

import argparse
from importlib.util import find_spec
import os
from pathlib import Path
import tempfile
from typing import Any, Dict, Tuple

from ..bench.processes import sigterm_as_interrupt
from ..bundle.bundle import load_bundle
from ..errors import SettingError, VlaNavError
from ..node.start import fastdds_profile
from ..system.install_lines import pip_install
from ..system.outputs import write_json

EXAMPLE = 'vla_nav latency --frames 10000 --only vga busy'
MODULES = ('rclpy', 'onnxruntime', 'torch', 'numpy', 'cv2', 'PIL')
PARTS = ('vga', 'back', 'hd', 'busy', 'start')
NEEDED = {'rclpy': '', 'onnxruntime': 'onnx', 'torch': 'torch', 'safetensors': 'torch',
          'rich': 'bench', 'PIL': 'bench', 'psutil': 'bench'}
DOMAIN = '43'  # where the user has set none
GOOD, MISSED = 0, 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of this verb."""
    parser.add_argument('--frames', type=int, default=300, metavar='N',
                        help='images that count, to each node under each condition '
                        '(default: %(default)s; 10000 for the full claim)')
    parser.add_argument('--warm-up', type=int, default=10, metavar='N',
                        help='images before each block of 100 that do not count '
                        '(default: %(default)s)')
    parser.add_argument('--starts', type=int, default=3, metavar='N',
                        help='starts of the node on each backend (default: %(default)s)')
    parser.add_argument('--only', nargs='+', choices=PARTS, default=list(PARTS), metavar='PART',
                        help='vga: 640x480; back: the same, each image as soon as the one before '
                        'is answered; hd: 1280x720; busy: 640x480 with another process '
                        'burning a core; start: time to start, and memory (default: all)')
    parser.add_argument('--model', default='', metavar='DIR',
                        help='policy bundle (default: the one that ships)')
    parser.add_argument('--set', nargs='+', default=[], metavar='NAME:=VALUE', dest='extra',
                        help='parameters of our node, such as backend:=torch')
    parser.add_argument('--idiomatic-threads', type=int, nargs='+', metavar='N',
                        help="numbers of torch's threads to try in the idiomatic node; the best "
                        'one counts (default: 1 and one for each core)')
    parser.add_argument('--json', type=Path, metavar='FILE',
                        help='also write all figures to this file')


def run(args: argparse.Namespace) -> int:
    """Measure and print; return 0 if every target that was measured is met, else 1."""
    least = min(args.frames, args.starts, *(args.idiomatic_threads or [1]))
    if least < 1 or args.warm_up < 0:
        raise SettingError('nothing to measure',
                           '--frames, --starts and --idiomatic-threads of at least 1')
    _check_needed()
    os.environ.update(_environment())
    # Here, so that `vla_nav latency --help` needs neither ROS 2 nor rich.
    import rclpy
    from rclpy.signals import SignalHandlerOptions

    from ..bench.node.node_figures import judge
    from ..bench.node.node_tables import print_report
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    try:
        with sigterm_as_interrupt():
            report = _measure(args)
    finally:
        rclpy.try_shutdown()
    targets = judge(report)
    report['targets'] = [target._asdict() for target in targets]
    print_report(report, targets)
    if args.json:
        write_json(args.json, report)
    return MISSED if any(target.met is False for target in targets) else GOOD


def _measure(args: argparse.Namespace) -> Dict[str, Any]:
    from ..bench.node.node_conditions import measure_conditions
    from ..bench.node.sides import sides
    from ..bench.node.startup import BACKENDS, measure_starts
    from ..system import machine
    from ..system.progress import progress
    model, parameters = _parameters(args)
    threads = args.idiomatic_threads or sorted({1, machine.cores()})
    environment = dict(os.environ)
    report: Dict[str, Any] = {
        'policy': load_bundle(args.model).name, 'frames': args.frames, 'warm_up': args.warm_up,
        'parameters': {'ours': parameters, 'idiomatic': model, 'threads': threads},
        'machine': describe_machine(), 'conditions': {}, 'start': {}}
    before = machine.now()
    with tempfile.TemporaryDirectory() as folder, progress() as bar:
        logs = Path(folder)
        if 'start' in args.only:
            report['start'] = measure_starts(args.starts, parameters, environment,
                                             logs, bar('starts', args.starts * len(BACKENDS)))
        if set(args.only) - {'start'}:
            report['conditions'] = measure_conditions(
                sides(parameters, model, threads), args.only, args.frames, args.warm_up,
                environment, logs, bar)
    report['machine']['during'] = machine.now().since(before)
    report['machine']['disturbance'] = machine.disturbance(report['machine'])
    return report


def describe_machine() -> Dict[str, Any]:
    """Return what the nodes run on, with their middleware."""
    import rclpy

    from ..system import machine
    return {**machine.describe(MODULES), 'ros': os.environ.get('ROS_DISTRO', ''),
            'rmw': rclpy.get_rmw_implementation_identifier()}


def _parameters(args: argparse.Namespace) -> Tuple[Dict[str, object], Dict[str, object]]:
    """Return the ROS parameters of every node with the policy, and those of our node."""
    pairs = [text.split(':=', 1) for text in args.extra]
    bad = [':='.join(pair) for pair in pairs if len(pair) != 2]
    if bad:
        raise SettingError(f'--set {bad[0]}', 'NAME:=VALUE', 'write for example backend:=torch')
    model: Dict[str, object] = {'model': str(Path(args.model).resolve())} if args.model else {}
    return model, {**model, **dict(pairs)}


def _check_needed() -> None:
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        extras = sorted({NEEDED[name] or 'bench' for name in missing})
        raise VlaNavError('missing Python packages: ' + ', '.join(missing),
                          'what all compared nodes need',
                          f'{pip_install(*extras)}, and ROS 2')


def _environment() -> Dict[str, str]:
    """Return the environment of this process and its children: the profile, a domain."""
    environment = fastdds_profile.environment()
    environment.setdefault('ROS_DOMAIN_ID', DOMAIN)
    environment.setdefault('ROS_AUTOMATIC_DISCOVERY_RANGE', 'LOCALHOST')
    return environment
