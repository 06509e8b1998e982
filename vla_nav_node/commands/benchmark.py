"""`vla_nav benchmark`: every backend and precision of each policy, in turns, on this machine."""

import argparse
from pathlib import Path
from statistics import median
import tempfile
from typing import Any, Dict, List

from ..backends import PRECISIONS
from ..backends.options import CHOICES
from ..bench.models.benchmark.presets_on_disk import open_model, PRESETS
from ..bench.models.runners.contestant import SHIPPED_NAME
from ..bench.models.side_by_side import bench_options
from ..errors import SettingError, VlaNavError
from ..system.machine import on_this_machine
from ..system.outputs import make_report_folder, write_json

EXAMPLE = 'vla_nav benchmark shipped simple --one-shot --device cpu --out out/benchmark'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of this verb."""
    everything = [SHIPPED_NAME, *PRESETS]
    parser.add_argument('models', nargs='*', default=everything, metavar='MODEL',
                        help='shipped, a preset (' + ', '.join(PRESETS) + '; written to --bundles '
                        'the first time, accurate takes 2 GB there), or a bundle directory '
                        '(default: ' + ' '.join(everything) + ')')
    # What a network costs does not depend on what it sees.
    bench_options.add_shared(parser, 'noise', 50, 'out/benchmark')
    parser.add_argument('--period', type=float, default=20.0, metavar='MS',
                        help='a paced step begins every so often (default: %(default)s)')
    parser.add_argument('--precisions', nargs='+', default=list(PRECISIONS), choices=PRECISIONS)
    parser.add_argument('--torch-modes', nargs='+', default=['auto'], metavar='MODE',
                        choices=CHOICES['torch_mode'], help='ways to run torch, a row each: '
                        + ', '.join(CHOICES['torch_mode']) + ' (default: auto, as the node)')
    parser.add_argument('--one-shot', action='store_true',
                        help='also the export that people usually make: one picture in, no state, '
                        "ONNX's own RNN or LSTM operator")
    parser.add_argument('--bundles', type=Path, default=Path('out/presets'), metavar='DIR',
                        help='where presets are kept (default: %(default)s)')


def run(args: argparse.Namespace) -> int:
    """Measure, print and write the report: 0, or 1 when no row of some model came about."""
    bench_options.check(args)
    if not args.period > 0.0:
        raise SettingError(f'--period {args.period}', 'ms above 0')
    # Here, so that `vla_nav benchmark --help` needs neither rich nor matplotlib.
    from ..bench.models.benchmark import benchmark_plot, benchmark_report as told
    from ..bench.processes import sigterm_as_interrupt
    make_report_folder(args, ('benchmark.json', 'benchmark.md', 'benchmark.png'), 'benchmark.json')
    with sigterm_as_interrupt():
        report = _measure(args)
    for table in told.tables(report):
        table.print()
    print('\n'.join(told.lines(report)))
    for path in filter(None, (args.out / 'benchmark.json', args.json)):
        write_json(path, report, allow_nan=False)
    benchmark_plot.draw(report['rows'], args.out / 'benchmark.png')
    (args.out / 'benchmark.md').write_text(told.markdown(report, 'benchmark.png'),
                                           encoding='utf-8')
    print(f'report: {args.out}/benchmark.md, .json, .png')
    measured = {row['policy'] for row in report['rows']}
    return 0 if measured == set(report['absent']) else 1


def _measure(args: argparse.Namespace) -> Dict[str, Any]:
    from ..bench.models.benchmark.advice import advise
    from ..bench.models.benchmark.ranking import rank
    from ..bench.models.benchmark.benchmark_session import Pace
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
            {'label': row['label'], 'late': row['late'], 'p95': row['paced']['p95']}
            for row in group.rows]} for group in ranking.groups],
        'refused': ranking.refused,
        'advice': [one._asdict() for one in advise(ranking.groups)]}


def short_names(models: List[str]) -> Dict[str, str]:
    """Return each model the last part of its path as its name, where no other has the same."""
    last = {name: Path(name).name or name for name in models}
    return {name: short if list(last.values()).count(short) == 1 else name
            for name, short in last.items()}


def _rows(args: argparse.Namespace, bundles: Dict[str, Any], pace: Any) -> Any:
    """Return the rows of all policies, what there is not, and the bandwidth of the memory."""
    from ..bench.models.benchmark.benchmark_plan import plan_rows
    from ..bench.models.benchmark.benchmark_session import measure
    from ..convert.frames.calibrated import Calibrated
    from ..system.progress import progress
    from ..bench.models.side_by_side.bandwidth import read_bandwidths
    from ..bench.models.side_by_side.bench_pictures import load_pictures
    # Beforehand, since a source may show a bar of its own.
    pictures = {policy: load_pictures(args.frames, bundle.input, args.count, args.seed,
                                      Calibrated((bundle, one) for one in args.precisions))
                for policy, bundle in bundles.items()}
    rows: List[Dict[str, Any]] = []
    absent: Dict[str, Dict[str, str]] = {}
    speeds = read_bandwidths()
    with tempfile.TemporaryDirectory() as folder, progress() as bar:
        for policy, bundle in bundles.items():
            plan = plan_rows(policy, bundle, args.precisions, args.device, args.one_shot,
                             Path(folder), args.torch_modes)
            measured, absent[policy] = measure(plan, pace, pictures[policy], bar)
            rows += measured
            speeds += read_bandwidths()
    return rows, absent, median(speeds)
