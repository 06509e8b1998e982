"""`vla_nav compare`: any two models side by side, each in a process of its own."""

import argparse
from contextlib import ExitStack
from dataclasses import asdict
from typing import Any, Dict, List, Sequence

import numpy as np

from ..bench import bench_options
from ..bench.models.candidate import Candidate, complete, HELP, parse, Size
from ..errors import SettingError
from ..system.machine import on_this_machine
from ..system.outputs import make_report_folder

EXAMPLE = 'vla_nav compare shipped:fp32@torch shipped:int8 --frames sim --count 1000'
FILES = ('compare.json', 'compare.md', 'compare.npz', 'compare.png')
TOLERANCE = 0.01  # m/s in the mean: what int8 may differ
PLAN = ('frames', 'count', 'seed', 'warm_up', 'runs')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of this verb."""
    parser.add_argument('a', metavar='A', help=f'the present model: {HELP}')
    parser.add_argument('b', metavar='B', help='the one that may replace it, named likewise')
    bench_options.add_frames(parser, 'sim', 300, 'out/compare')
    bench_options.add_recipe(parser)
    parser.add_argument('--tolerance', type=float, default=TOLERANCE, metavar='M/S',
                        help='how far the actions may differ in the mean, or with labels how much '
                        'worse the action MAE may be (default: %(default)s)')


def run(args: argparse.Namespace) -> int:
    """Compare, print and write the report; return 0 when B keeps the quality of A, else 1."""
    bench_options.check(args)
    if args.tolerance < 0.0:
        raise SettingError(f'--tolerance {args.tolerance}', '0 or more m/s')
    candidates = complete([parse(args.a, args.device), parse(args.b, args.device)],
                          bench_options.recipe(args))
    # Here, so that `vla_nav compare --help` needs neither rich nor matplotlib.
    from ..bench.models import matrix_report, plots
    from ..bench.models.score import FORMULA, judge, scores
    from ..bench.processes import sigterm_as_interrupt
    make_report_folder(args, FILES, FILES[0])
    with sigterm_as_interrupt(), on_this_machine() as machine:
        result = _measure(args, candidates)
    verdict = judge(result.sides, result.quality, args.tolerance)
    report: Dict[str, Any] = {
        'plan': {name: getattr(args, name) for name in PLAN}, 'sides': result.sides,
        'quality': result.quality, 'scores': scores(result.sides, result.quality),
        'formula': FORMULA, 'tolerance': args.tolerance, 'verdict': asdict(verdict),
        'machine': machine}
    tables, lines = matrix_report.compare_tables(report), matrix_report.compare_lines(report)
    matrix_report.publish(args, 'compare', report, tables, lines)
    labels = {} if result.labels is None else {'labels': result.labels}
    np.savez_compressed(args.out / 'compare.npz', a=result.actions[0], b=result.actions[1],
                        a_ms=result.ms[0], b_ms=result.ms[1], **labels)
    plots.draw_comparison(result, verdict.text, args.out / 'compare.png')
    title = ' and '.join(side['name'] for side in result.sides.values())
    matrix_report.write_page(args.out / 'compare.md', title, tables, lines[:-1], 'both sides',
                             f'**{verdict.text}.**')
    print(f'report: {args.out}/compare.md, .json, .png; the actions: {args.out}/compare.npz')
    return 0 if verdict.good else 1


def _measure(args: argparse.Namespace, candidates: Sequence[Candidate]) -> Any:
    """Open each in a process of its own and measure both; raise VlaNavError if one fails."""
    from ..bench.models.agreement import action_mae, agreement
    from ..bench.models.measure import describe, latency, open_rows, Pace, run_rows
    from ..bench.models.score import Comparison
    from ..system.progress import progress
    with ExitStack() as stack:
        opened = open_rows([[each] for each in candidates], stack, lambda count: None)
        frame_sets = _frame_sets(args, candidates, [each.opened.size for each in opened])
        with progress() as bar:
            measured = run_rows(opened, frame_sets, Pace(args.warm_up, args.runs), bar)
        actions = [one.actions for one in measured]
        sides = {key: {
            **describe(one.process), 'latency': latency(one.spans[0]),
            'action_mae': action_mae(one.actions, one.frame_set.actions)}
            for key, one in zip('AB', measured)}
    return Comparison(sides, agreement(*actions), actions, frame_sets[0].actions,
                      [one.spans[0].ms for one in measured])


def _frame_sets(args: argparse.Namespace, candidates: Sequence[Candidate],
                sizes: Sequence[Size]) -> List[Any]:
    """Return for each side the same frames at its own size; read once if the sizes are equal."""
    from ..bench.models.frame_sets import load_frame_set
    from ..bundle.bundle import load_bundle
    from ..convert.frames.calibrated import Calibrated
    from ..vision.preprocess import InputSpec
    calibrated = Calibrated((load_bundle(each.path), each.precision) for each in candidates
                            if each.precision == 'int8')
    specs = [InputSpec(*size, each.recipe.fit, each.recipe.resize, each.recipe.rotation)
             for size, each in zip(sizes, candidates)]
    loaded = {spec: load_frame_set(args.frames, spec, args.count, args.seed, calibrated)
              for spec in dict.fromkeys(specs)}
    return [loaded[spec] for spec in specs]
