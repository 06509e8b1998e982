"""`vla_nav quantize`: the int8 step graph of a policy, in the layers where nothing is lost."""

import argparse
from pathlib import Path
from typing import Any, Dict, List

from ..bundle.bundle import Bundle, load_bundle, SHIPPED
from ..convert.export.rewrite import folder_beside
from ..convert.frames.calibrated import calibration_facts, MOST_FRAMES, SEED, SIMULATOR
from ..convert.int8.fixed_scales import FILE as FIXED
from ..convert.int8.int8_graph import FRAMES, INT8, keep, quantise, with_fixed_scales
from ..convert.int8.layer_search import BITS, BUDGET, Row, STATE_BUDGET
from ..errors import SettingError
from ..sim.expert.simulated_frames import load_frames
from ..system.machine import on_this_machine, warning
from ..system.outputs import print_table, write_json

EXAMPLE = 'vla_nav quantize ~/policies/mine --frames ~/bags/corridor'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument('model', nargs='?', default=str(SHIPPED), metavar='BUNDLE',
                        help='bundle directory (default: the one that ships)')
    parser.add_argument('--frames', default='sim', metavar='SOURCE',
                        help='pictures: sim, a folder, a rosbag2 (BAG:/topic), or .npy')
    parser.add_argument('--count', type=int, default=FRAMES, help='number of frames to read')
    parser.add_argument('--out', type=Path, help='directory to write (default: the bundle itself)')
    parser.add_argument('--bits', type=int, default=min(BITS), choices=BITS,
                        help='the fewest bits to try for the large recurrent matrices '
                        '(%(default)s)')
    parser.add_argument('--any-speed', action='store_true',
                        help='keep layers in int8 even if they are not faster on this machine')
    parser.add_argument('--fixed-scales', action='store_true',
                        help=f'write {FIXED} instead, with fixed symmetric scales, for TensorRT')
    parser.add_argument('--json', type=Path, help='write the table and figures to this file')


def run(args: argparse.Namespace) -> int:
    """Quantise and print the table; return 0 if there is a graph, 1 if no layer is worth int8."""
    if not 2 <= args.count <= MOST_FRAMES:
        raise SettingError(f'--count {args.count}', f'2 to {MOST_FRAMES} frames')
    bundle = load_bundle(args.model)
    directory = (args.out or bundle.directory).expanduser().resolve()
    with folder_beside(directory) as folder:
        frames = load_frames(args.frames, bundle.input, args.count, SEED)
        name = FIXED if args.fixed_scales else INT8
        graph = folder / name
        if args.fixed_scales:
            facts = with_fixed_scales(bundle, frames, graph)
            print(_drift_line(facts))
        else:
            with on_this_machine() as machine:
                rows, facts = quantise(bundle, frames, graph, args.bits, not args.any_speed)
            facts['notes'] += [] if args.any_speed else warning(machine)
            print_report(bundle, rows, facts)
        facts.update(calibration_facts(args.frames, frames))
        if args.json:
            write_json(args.json, facts)
        if not graph.exists():
            return 1
        keep(bundle, directory, graph, facts)
    print(f"written to {directory / name}; before it may drive it has to pass 'vla_nav verify'")
    if args.frames != SIMULATOR and len(frames) < args.count:
        print(f'note: these are all frames of {args.frames}; verify needs others: give it another '
              'source, or quantize a lower --count')
    return 0


def print_report(bundle: Bundle, rows: List[Row], facts: Dict[str, Any]) -> None:
    """Print each layer's form, the notes and the drift."""
    print_table(f'{bundle.name} in int8', ('layer', 'weights', 'as', 'why'),
                ((row.layer.name, f'{row.layer.weights:,}', row.form, row.why) for row in rows),
                texts=('layer', 'as', 'why'))
    print('\n'.join(facts['notes'] + _sentences(facts)))


def _sentences(facts: Dict[str, Any]) -> List[str]:
    if 'drift' not in facts:
        return [f'no layer is worth int8 here (budget {BUDGET} m/s, and {STATE_BUDGET:.0%} of the '
                'state): no graph is written']
    here = facts['here']
    return [_drift_line(facts),
            f'a step takes {here["int8_ms"]:.3f} ms instead of {here["fp32_ms"]:.3f} here, '
            f'the file {facts["bytes"] / 1e6:.1f} MB']


def _drift_line(facts: Dict[str, Any]) -> str:
    drift = facts['drift']
    return (f'difference from fp32 over {facts["steps"]} steps, mean (max) m/s: one step '
            f'{drift["step_mean"]:.5f} ({drift["step_max"]:.4f}), carried state '
            f'{drift["rollout_mean"]:.5f} ({drift["rollout_max"]:.4f}); the state after one step '
            f'{drift["state"]:.2%}')
