"""`vla_nav compare`: any two models side by side, each in a process of its own."""

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import Any, Dict

import numpy as np

from ..bench.models.compare.compare_session import compare, Plan, Result
from ..bench.models.runners.contestant import complete, HELP, parse
from ..bench.models.side_by_side import bench_options
from ..errors import SettingError
from ..system.machine import on_this_machine
from ..system.outputs import make_report_folder, write_json

EXAMPLE = 'vla_nav compare shipped:fp32@torch shipped:int8 --frames sim --count 1000'
FILES = ('compare.json', 'compare.md', 'compare.npz', 'compare.png')
TOLERANCE = 0.01  # m/s in the mean: what int8 may differ


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of this verb."""
    parser.add_argument('a', metavar='A', help=f'what there is: {HELP}')
    parser.add_argument('b', metavar='B', help='what may take its place, named likewise')
    bench_options.add_shared(parser, 'sim', 300, 'out/compare')
    bench_options.add_recipe(parser)
    parser.add_argument('--tolerance', type=float, default=TOLERANCE, metavar='M/S',
                        help='how far the actions may differ in the mean, or with labels how much '
                        'worse the action MAE may be (default: %(default)s)')


def run(args: argparse.Namespace) -> int:
    """Compare, print and write the report: 0 when B keeps the quality of A, 1 when not."""
    bench_options.check(args)
    if args.tolerance < 0.0:
        raise SettingError(f'--tolerance {args.tolerance}', '0 or more m/s')
    contestants = complete([parse(args.a, args.device), parse(args.b, args.device)],
                           bench_options.recipe(args))
    # Here, so that `vla_nav compare --help` needs neither rich nor matplotlib.
    from ..bench.models.compare import compare_plot, compare_report as told
    from ..bench.models.compare.compare_score import FORMULA, judge, scores
    from ..bench.processes import sigterm_as_interrupt
    make_report_folder(args, FILES, FILES[0])
    plan = Plan(args.frames, args.count, args.seed, args.warm_up, args.runs)
    with sigterm_as_interrupt(), on_this_machine() as machine:
        result = compare(contestants, plan)
    verdict = judge(result.sides, result.quality, args.tolerance)
    report: Dict[str, Any] = {
        'plan': asdict(plan), 'sides': result.sides, 'quality': result.quality,
        'scores': scores(result.sides, result.quality), 'formula': FORMULA,
        'tolerance': args.tolerance, 'verdict': asdict(verdict), 'machine': machine}
    for table in told.tables(report):
        table.print()
    print('\n'.join(told.lines(report, verdict)))
    _write(report, result, args.out, args.json)
    compare_plot.draw(result, verdict.text, args.out / 'compare.png')
    (args.out / 'compare.md').write_text(told.markdown(report, verdict, 'compare.png'),
                                         encoding='utf-8')
    print(f'report: {args.out}/compare.md, .json, .png; the actions: {args.out}/compare.npz')
    return 0 if verdict.good else 1


def _write(report: Dict[str, Any], result: Result, out: Path, also: Any) -> None:
    for path in filter(None, (out / 'compare.json', also)):
        write_json(path, report, allow_nan=False)
    labels = {} if result.labels is None else {'labels': result.labels}
    np.savez_compressed(out / 'compare.npz', a=result.actions[0], b=result.actions[1],
                        a_ms=result.ms[0], b_ms=result.ms[1], **labels)
