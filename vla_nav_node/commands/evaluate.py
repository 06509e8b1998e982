"""`vla_nav evaluate`: does it reach the cup? Counted on seeds that training never saw."""

import argparse
from dataclasses import asdict, replace
import os
from pathlib import Path
from typing import Any, Dict

from ..bundle.amend import amend
from ..bundle.bundle import Bundle, load_bundle
from ..errors import SettingError
from ..sim.evaluation.success_rate import shortcomings, summarise
from ..sim.evaluation.trials import plan_trials, refuse_trained, Result, run_trials
from ..sim.world import rendering
from ..system.outputs import write_json

EXAMPLE = 'vla_nav evaluate --episodes 200 --seed 5000 --backends onnx torch'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument('--model', type=Path, help='bundle directory (the one that ships)')
    parser.add_argument('--episodes', type=int, default=200)
    parser.add_argument('--seed', type=int, default=5000, help='of the first episode')
    parser.add_argument('--backends', nargs='+', default=['onnx'], choices=('onnx', 'torch'))
    parser.add_argument('--scenario', help='one of the eight or random (half of each)')
    parser.add_argument('--quick', action='store_true',
                        help='the policy at 30 Hz only, without what it is compared with')
    parser.add_argument('--workers', type=int, default=os.cpu_count() or 1)
    parser.add_argument('--write', action='store_true',
                        help="put the figures into the bundle's policy.yaml")
    parser.add_argument('--json', type=Path, help='write every episode and figure there')


def run(args: argparse.Namespace) -> int:
    """Evaluate, print the table, and say whether the policy is good enough (0) or not (1)."""
    if args.episodes < 1 or args.workers < 1:
        raise SettingError('nothing to do', '--episodes and --workers of at least 1')
    bundle = load_bundle(args.model)
    seeds = range(args.seed, args.seed + args.episodes)
    refuse_trained(bundle, seeds)
    os.environ['MUJOCO_GL'] = rendering.choose()  # a worker that fails would be started for ever
    trials = plan_trials(args.backends, args.quick)
    episodes = run_trials(bundle, trials, seeds, args.scenario, args.workers)
    figures = [summarise(trial, episodes[trial]) for trial in trials]
    report = {'seeds': [seeds[0], seeds[-1]], 'scenario': args.scenario or 'mixed',
              'trials': figures, 'verdict': shortcomings(figures)}
    print_report(bundle, report)
    if args.json:
        rows = {trial.name: [_row(one) for one in episodes[trial]] for trial in trials}
        write_json(args.json, {**report, 'episodes': rows}, default=vars)
    if args.write:
        _write(bundle, report)
    return 0 if not report['verdict'] else 1


def print_report(bundle: Bundle, report: Dict[str, Any]) -> None:
    """Print the table as people read it."""
    from rich.console import Console
    from rich.table import Table
    table = Table(title=f'{bundle.name} on seeds {report["seeds"][0]} to {report["seeds"][1]}')
    for heading in ('trial', 'reached', '95 % interval', 'contact', 'timeout', 'median time'):
        table.add_column(heading, justify='left' if heading == 'trial' else 'right')
    for row in report['trials']:
        low, high = row['interval95']
        seconds = f'{row["median_time_s"]} s' if row['median_time_s'] else '-'
        table.add_row(row['trial'], f'{row["success"]:.1%}', f'{low:.1%} to {high:.1%}',
                      str(row['contact']), str(row['timeout']), seconds)
    Console().print(table)
    for row in report['trials']:
        if 'action_mae' in row:
            print(f'action MAE on held-out episodes: {row["action_mae"]:.4f} m/s')
    print('\n'.join(report['verdict']) or 'verdict: good')


def _row(result: Result) -> Dict[str, Any]:
    """Return an episode for the JSON, without its path, which is long."""
    return asdict(replace(result, path=()))


def _write(bundle: Bundle, report: Dict[str, Any]) -> None:
    def change(manifest: Dict[str, Any]) -> None:
        manifest['verification'] = {**manifest.get('verification', {}), 'closed_loop': report}
    amend(bundle, change)
