"""`vla_nav verify`: compare a converted policy with the trained one."""

import argparse
from dataclasses import asdict
import os
from pathlib import Path
from typing import Any, Dict, List, Sequence

from ..backends import BACKENDS, DEVICES, PRECISIONS
from ..bundle.bundle import Bundle, load_bundle
from ..bundle.gpu_verdicts import save_verdict, verdicts_directory
from ..bundle.verdicts import is_trained, STEPS
from ..convert.frames.calibrated import Calibrated, SIMULATOR
from ..convert.verify.open_loop import worst
from ..convert.verify.verdict import (
    candidates, describe_frames, device_for, judge_closed_loop, NOT_DRIVEN, Row,
    trained_in_simulator, verdict, verify_open_loop, write_verdicts)
from ..errors import BackendError, SettingError
from ..sim.expert.simulated_frames import load_frames
from ..system.outputs import print_table, write_json
from ..system.progress import track

EXAMPLE = 'vla_nav verify out/bundle --frames recording/ --episodes 200 --seed 7000'
FRAMES_SEED = 0  # of the simulator's pictures; quantize calibrates with another seed


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument('bundle', type=Path, nargs='?', help='default: the one that ships')
    parser.add_argument('--frames', default=SIMULATOR, metavar='SOURCE',
                        help='sim, a folder of pictures, a rosbag2 or an .npy (%(default)s)')
    parser.add_argument('--steps', type=int, default=STEPS,
                        help='of the rollout with carried state (%(default)s)')
    parser.add_argument('--episodes', type=int, default=200,
                        help='of the closed loop, if the policy was trained in the simulator; '
                             '0 for none (%(default)s)')
    parser.add_argument('--seed', type=int, default=7000, help='of the first episode')
    parser.add_argument('--backends', nargs='+', choices=tuple(BACKENDS),
                        help='default: those that are installed')
    parser.add_argument('--precisions', nargs='+', choices=PRECISIONS,
                        help='default: those that the bundle has')
    parser.add_argument('--device', choices=DEVICES, default='auto',
                        help='cuda: verify on the GPU, so that device auto may take it afterwards')
    parser.add_argument('--workers', type=int, default=os.cpu_count() or 1)
    parser.add_argument('--no-write', action='store_true',
                        help='do not change policy.yaml (verdicts on a GPU are still saved in the '
                        "user's cache)")
    parser.add_argument('--json', type=Path, metavar='FILE', help='write the verdicts to FILE')


def run(args: argparse.Namespace) -> int:
    """Compare, print and write the verdicts; return 0 if all passed, else 1."""
    bundle = load_bundle(args.bundle)
    wanted = candidates(bundle, args.backends, args.precisions, args.device)
    loop = args.episodes > 0 and trained_in_simulator(bundle)
    calibrated = Calibrated((bundle, precision) for _, precision in wanted)
    _prepare(bundle, args, loop, calibrated)
    frames = load_frames(args.frames, bundle.input, args.steps, FRAMES_SEED, calibrated)
    rows = verify_open_loop(bundle, frames, wanted, args.steps, args.device, track)
    _refuse_absent(rows, args)
    _close_loop(bundle, rows, args, loop)
    frames_used = describe_frames(args.frames, frames)
    _report(bundle, rows)
    if args.json:
        write_json(args.json, _document(bundle, rows, frames_used), indent=2)
    _save_for_this_machine(bundle, rows)
    if not args.no_write:
        write_verdicts(bundle, rows, frames_used)
    return 1 if any(row.problems for row in rows) else 0


def _prepare(bundle: Bundle, args: argparse.Namespace, loop: bool,
             calibrated: Calibrated) -> None:
    """Before the long work, check the arguments, that the simulator runs and the seeds are new."""
    from ..sim.world import rendering
    if args.workers < 1 or args.episodes < 0:
        raise SettingError(f'--workers {args.workers} and --episodes {args.episodes}',
                           'at least 1 and 0')
    if loop:
        from ..sim.evaluation.trials import refuse_trained
        refuse_trained(bundle, _seeds(args))
        calibrated.refuse_episodes(_seeds(args))
    if loop or args.frames == SIMULATOR:
        os.environ['MUJOCO_GL'] = rendering.choose()


def _save_for_this_machine(bundle: Bundle, rows: Sequence[Row]) -> None:
    """Save the verdicts on a GPU for `device: auto`; policy.yaml is for all machines."""
    saved = [row.name for row in rows if row.info and save_verdict(bundle, row.info, row.problems)]
    if saved:
        print(f'for device auto on this machine: {", ".join(saved)} in {verdicts_directory()}')


def _seeds(args: argparse.Namespace) -> range:
    return range(args.seed, args.seed + args.episodes)


def _refuse_absent(rows: Sequence[Row], args: argparse.Namespace) -> None:
    """Raise BackendError if a requested backend or precision could not be verified at all."""
    for attribute in ('backend', 'precision'):
        verified = {getattr(row, attribute) for row in rows if not row.skipped}
        for name in getattr(args, f'{attribute}s') or ():
            if name not in verified:
                reasons = [row.skipped for row in rows if getattr(row, attribute) == name]
                raise BackendError(f'{name} cannot be verified: {" / ".join(reasons)}')
    if all(row.skipped for row in rows):
        raise BackendError('nothing can be compared with torch here: '
                           + ' / '.join(f'{row.name}: {row.skipped}' for row in rows))


def _close_loop(bundle: Bundle, rows: Sequence[Row], args: argparse.Namespace,
                loop: bool) -> None:
    """Drive the rows whose open loop passed; the others have failed already."""
    good = [row for row in rows if row.info and not row.problems]
    if loop and good:
        from ..sim.evaluation.paired import drive_pairs
        pairs = [(row.backend, row.precision, device_for(row.backend, args.device))
                 for row in good]
        for row, driven in zip(good, drive_pairs(bundle, pairs, _seeds(args), args.workers)):
            row.figures['closed_loop'] = driven
    absent = 'not driven' if trained_in_simulator(bundle) else NOT_DRIVEN
    for row in rows:
        row.figures.setdefault('closed_loop', absent)
        if row in good:
            row.problems += judge_closed_loop(row.precision, row.figures['closed_loop'])


def _document(bundle: Bundle, rows: Sequence[Row], frames: Dict[str, Any]) -> Dict[str, Any]:
    return {'bundle': bundle.name, 'trained': is_trained(bundle), 'frames': frames,
            'passed': not any(row.problems for row in rows),
            'rows': [{'backend': row.backend, 'precision': row.precision,
                      **({'skipped': row.skipped} if row.skipped else
                         verdict(bundle, row, frames) if row.info else asdict(row))}
                     for row in rows]}


def _report(bundle: Bundle, rows: Sequence[Row]) -> None:
    """Print the table, the closed loops, and each row's problems."""
    ran = [row for row in rows if not row.skipped]
    print_table(f'{bundle.name} against torch fp32, m/s',
                ('', 'one step', 'state', 'rollout', 'at most', 'growth', 'verdict'),
                ((row.name, *_cells(row), 'not passed' if row.problems else 'passed')
                 for row in ran), texts=('',))
    _print_loops(ran)
    for row in rows:
        for text in [f'skipped, {row.skipped.split("; ")[0]}'] if row.skipped else row.problems:
            print(f'{row.name}: {text}')
    if not is_trained(bundle):
        print('The policy is not trained: it may not drive, whatever the verdict.')


def _cells(row: Row) -> List[str]:
    if 'rollout' not in row.figures:
        return ['-'] * 5
    once, rollout = row.figures['one_step'], row.figures['rollout']
    figures = (worst(once, 'mean'), once['state'], worst(rollout, 'mean'), worst(rollout, 'max'),
               rollout['growth'])
    return ['-' if figure is None else f'{figure:.2g}' for figure in figures]


def _print_loops(rows: Sequence[Row]) -> None:
    loops = {row.name: row.figures['closed_loop'] for row in rows
             if isinstance(row.figures['closed_loop'], dict)}
    for name, loop in loops.items():
        low, high = loop['lost_interval95']
        print(f'{name}: {loop["success"]["reached"]:.1%} of {loop["episodes"]} episodes reached '
              f'the cup, torch fp32 {loop["reference"]["reached"]:.1%}; lost {loop["lost"]:.1%} '
              f'({low:.1%} to {high:.1%}); paths {loop["path_deviation_m"]["mean"]:.3f} m apart, '
              f'at most {loop["path_deviation_m"]["max"]:.3f} m')
