"""`vla_nav evaluate`: how often a policy reaches the cup, on seeds not used in training."""

import argparse
from dataclasses import asdict, replace
import os
from pathlib import Path
from typing import Any, Dict

from ..bundle.bundle import amend, Bundle, load_bundle
from ..errors import SettingError
from ..sim.evaluation.success_rate import shortcomings, summarise
from ..sim.evaluation.trials import plan_trials, refuse_trained, Result, run_trials
from ..sim.world import rendering
from ..system.outputs import print_table, write_json

EXAMPLE = 'vla_nav evaluate --episodes 200 --seed 5000 --backends onnx torch'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument('--model', type=Path, help='bundle (default: the one that ships)')
    parser.add_argument('--episodes', type=int, default=200)
    parser.add_argument('--seed', type=int, default=5000, help='of the first episode')
    parser.add_argument('--backends', nargs='+', default=['onnx'], choices=('onnx', 'torch'))
    parser.add_argument('--scenario', help='one of the eight, or random (default: half of each)')
    parser.add_argument('--quick', action='store_true',
                        help='the policy at 30 Hz only, without the comparisons')
    parser.add_argument('--workers', type=int, default=os.cpu_count() or 1)
    parser.add_argument('--write', action='store_true',
                        help="write the figures to the bundle's policy.yaml")
    parser.add_argument('--json', type=Path, help='write every episode and figure to this file')


def run(args: argparse.Namespace) -> int:
    """Evaluate and print the table; return 0 if the policy is good enough, else 1."""
    if args.episodes < 1 or args.workers < 1:
        raise SettingError('nothing to do', '--episodes and --workers of at least 1')
    bundle = load_bundle(args.model)
    seeds = range(args.seed, args.seed + args.episodes)
    refuse_trained(bundle, seeds)
    os.environ['MUJOCO_GL'] = rendering.choose()  # a failing worker would be restarted for ever
    trials = plan_trials(args.backends, args.quick)
    episodes = run_trials(bundle, trials, seeds, args.scenario, args.workers)
    figures = [summarise(trial, episodes[trial]) for trial in trials]
    report = {'seeds': [seeds[0], seeds[-1]], 'scenario': args.scenario or 'mixed',
              'trials': figures, 'verdict': shortcomings(figures)}
    print_report(bundle, report)
    if args.json:
        rows = {trial.name: [_row(result) for result in episodes[trial]] for trial in trials}
        write_json(args.json, {**report, 'episodes': rows}, default=vars)
    if args.write:
        amend(bundle, lambda manifest: manifest.setdefault('verification', {}).update(
            closed_loop=report))
    return 1 if report['verdict'] else 0


def print_report(bundle: Bundle, report: Dict[str, Any]) -> None:
    """Print the results as a table."""
    rows = []
    for row in report['trials']:
        low, high = row['interval95']
        seconds = f'{row["median_time_s"]} s' if row['median_time_s'] else '-'
        rows.append((row['trial'], f'{row["success"]:.1%}', f'{low:.1%} to {high:.1%}',
                     str(row['contact']), str(row['timeout']), seconds))
    print_table(f'{bundle.name} on seeds {report["seeds"][0]} to {report["seeds"][1]}',
                ('trial', 'reached', '95 % interval', 'contact', 'timeout', 'median time'), rows,
                texts=('trial',))
    for row in report['trials']:
        if 'action_mae' in row:
            print(f'action MAE on held-out episodes: {row["action_mae"]:.4f} m/s')
    print('\n'.join(report['verdict']) or 'verdict: good')


def _row(result: Result) -> Dict[str, Any]:
    """Return an episode for the JSON, without its long path."""
    return asdict(replace(result, path=()))
