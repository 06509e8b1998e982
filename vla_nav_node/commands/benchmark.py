"""`vla_nav benchmark`: every backend and precision of each policy, in turns, on this machine."""

import argparse
from pathlib import Path
from statistics import median
import tempfile
from typing import Any, Dict, List, Tuple

from ..backends.options import CHOICES
from ..bench import bench_options
from ..errors import SettingError, VlaNavError
from ..system.machine import on_this_machine
from ..system.outputs import make_report_folder

EXAMPLE = 'vla_nav benchmark shipped simple --one-shot --device cpu --out out/benchmark'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of this verb."""
    bench_options.add_models(parser, bench_options.MODELS, 20.0)
    # Noise: what a network costs does not depend on what it sees.
    bench_options.add_frames(parser, 'noise', 50, 'out/benchmark')
    parser.add_argument('--torch-modes', nargs='+', default=['auto'], metavar='MODE',
                        choices=CHOICES['torch_mode'], help='ways to run torch, a row each: '
                        + ', '.join(CHOICES['torch_mode']) + ' (default: auto, as the node)')
    parser.add_argument('--one-shot', action='store_true',
                        help='also the export that people usually make: one picture in, no state, '
                        "ONNX's own RNN or LSTM operator")
    parser.add_argument('--also', nargs='+', default=[], metavar='NAME=VALUE,...',
                        help='more rows of onnx, with other options of the node, such as '
                        'huge_pages=false,rehearsal_ms=0')


def run(args: argparse.Namespace) -> int:
    """Measure, print and write the report; return 0, or 1 when some policy has no row."""
    bench_options.check(args)
    if not args.period > 0.0:
        raise SettingError(f'--period {args.period}', 'ms above 0')
    # Here, so that `vla_nav benchmark --help` needs neither rich nor matplotlib.
    from ..bench.models import matrix_report, plots
    from ..bench.processes import sigterm_as_interrupt
    make_report_folder(args, ('benchmark.json', 'benchmark.md', 'benchmark.png'), 'benchmark.json')
    with sigterm_as_interrupt():
        report = _measure(args)
    tables, lines = matrix_report.benchmark_tables(report), matrix_report.benchmark_lines(report)
    matrix_report.publish(args, 'benchmark', report, tables, lines)
    plots.draw_benchmark(report['rows'], args.out / 'benchmark.png')
    matrix_report.write_page(args.out / 'benchmark.md', 'What each policy costs here', tables,
                             lines, 'times and sizes')
    print(f'report: {args.out}/benchmark.md, .json, .png')
    measured = {row['policy'] for row in report['rows']}
    return 0 if measured == set(report['absent']) else 1


def _measure(args: argparse.Namespace) -> Dict[str, Any]:
    from ..bench.models.measure import Pace
    from ..bench.models.policies import open_model
    from ..bench.models.ranking import advise, rank
    pace = Pace(args.warm_up, args.runs, args.period)
    bundles = {short: open_model(name, args.bundles, args.precisions, args.frames)
               for name, short in short_names(args.models).items()}
    with on_this_machine() as machine:
        rows, absent, bandwidth = _rows(args, bundles, pace)
    if not rows:
        raise VlaNavError('no row could be measured: ' + '; '.join(
            f'{policy}, {label}: {reason}' for policy, reasons in absent.items()
            for label, reason in reasons.items()))
    ranking = rank(rows)
    return {
        'plan': {**pace._asdict(), 'frames': args.frames}, 'machine': machine,
        'bandwidth_gb_s': bandwidth, 'rows': rows, 'absent': absent,
        'untrained': [name for name, bundle in bundles.items()
                      if not bundle.manifest.get('training', {}).get('trained')],
        'ranking': [{'policy': group.policy, 'device': group.device, 'rows': [
            {'label': row['label'], 'late': row['late'], 'p99': row['paced']['p99']}
            for row in group.rows]} for group in ranking.groups],
        'refused': ranking.refused,
        'advice': [advice._asdict() for advice in advise(ranking.groups)]}


def short_names(models: List[str]) -> Dict[str, str]:
    """Return for each model the last part of its path, or all of it if another has the same."""
    last = {name: Path(name).name or name for name in models}
    return {name: short if list(last.values()).count(short) == 1 else name
            for name, short in last.items()}


def _rows(args: argparse.Namespace, bundles: Dict[str, Any], pace: Any
          ) -> Tuple[List[Dict[str, Any]], Dict[str, Dict[str, str]], float]:
    """Return the rows of all policies, the absent ones, and the memory's bandwidth in GB/s."""
    from ..bench.hardware import read_bandwidths
    from ..bench.models.frame_sets import load_frame_set
    from ..bench.models.matrix import add_one_shot, add_variants, all_kinds, plan_rows
    from ..bench.models.measure import measure_policy
    from ..bench.models.policies import Policy
    from ..convert.frames.calibrated import Calibrated
    from ..system.progress import progress
    # Beforehand, since a source may show a bar of its own.
    policies = {name: Policy(bundle, args.frames, load_frame_set(
        args.frames, bundle.input, args.count, args.seed,
        Calibrated((bundle, precision) for precision in args.precisions)))
        for name, bundle in bundles.items()}
    kinds = all_kinds(args.precisions, args.torch_modes)
    rows: List[Dict[str, Any]] = []
    absent: Dict[str, Dict[str, str]] = {}
    speeds = read_bandwidths()
    with tempfile.TemporaryDirectory() as folder, progress() as bar:
        for name, policy in policies.items():
            plan = plan_rows(name, policy.bundle, kinds, args.device)
            add_variants(plan, args.also)
            if args.one_shot:
                add_one_shot(plan, args.device, Path(folder))
            measured, absent[name] = measure_policy(plan, pace, policy, bar)
            rows += measured
            speeds += read_bandwidths()
    return rows, absent, median(speeds)
