"""`vla_nav tune`: the fastest settings that compute the same, at the robot's own pace."""

import argparse
from pathlib import Path
import tempfile
from typing import Any, Dict, List

from ..backends import BACKENDS, DEVICES, PRECISIONS
from ..bench import bench_options
from ..bench.models.frame_sets import HELP, MADE
from ..errors import SettingError
from ..system.machine import on_this_machine
from ..system.outputs import make_report_folder, write_json

EXAMPLE = 'vla_nav tune shipped --config robot.yaml --quick'
MINUTES, QUICK_MINUTES = 10.0, 1.8
RUNS, QUICK_RUNS = 100, 40


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of this verb."""
    parser.add_argument('model', metavar='MODEL', help=', '.join(bench_options.MODELS)
                        + ', a bundle directory, or any .onnx file')
    parser.add_argument('--config', type=Path, metavar='FILE',
                        help='ROS parameter file to write the winner into; the old one is kept '
                        'beside it (default: none, only a report)')
    parser.add_argument('--output', type=Path, default=Path('out/tune'), metavar='DIR', dest='out',
                        help='folder of the report (default: %(default)s)')
    parser.add_argument('--quick', action='store_true', help='within 2 minutes: fewer options')
    parser.add_argument('--warmup', type=int, default=50, metavar='N',
                        help='steps before those that count (default: %(default)s)')
    parser.add_argument('--runs', type=int, metavar='N', help='paced steps of each candidate in '
                        f'the first round (default: {RUNS}, with --quick {QUICK_RUNS})')
    parser.add_argument('--period-ms', type=float, default=20.0, metavar='MS',
                        help='interval between the starts of steps (default: %(default)s)')
    parser.add_argument('--minutes', type=float, metavar='M', help='time for everything (default: '
                        f'{MINUTES:g}, with --quick {QUICK_MINUTES:g})')
    parser.add_argument('--backends', nargs='+', default=[], choices=tuple(BACKENDS))
    parser.add_argument('--precisions', nargs='+', default=[], choices=PRECISIONS,
                        help='of a bundle; only what vla_nav verify has passed (default: all)')
    parser.add_argument('--device', default='auto', choices=DEVICES)
    parser.add_argument('--bundles', type=Path, default=Path('out/presets'), metavar='DIR',
                        help='where presets are kept (default: %(default)s)')
    parser.add_argument('--frames', metavar='SOURCE', help=f'{HELP}, or made (a painted wall); '
                        'of a file: for its input that is a picture (default: made)')
    _add_file_arguments(parser)
    parser.add_argument('--dry-run', action='store_true', help='only show what would be tried')
    parser.add_argument('--resume', action='store_true',
                        help='continue the interrupted tuning in --output')
    parser.add_argument('--json', type=Path, metavar='FILE',
                        help='also write the figures to this file')


def _add_file_arguments(parser: argparse.ArgumentParser) -> None:
    for name, metavar, what in (('dim', 'NAME=N', 'size of a free dimension'),
                                ('input', 'NAME=zeros|ones|random|NUMBER|FILE.npy',
                                 'what an input contains'),
                                ('state', 'IN=OUT', 'output that is the new value of an input')):
        parser.add_argument(f'--{name}', action='append', default=[], metavar=metavar,
                            type=_pair, help=f'of an .onnx file: {what}')


def run(args: argparse.Namespace) -> int:
    """Tune, print and write the report; return 0, with a winner or without."""
    _check(args)
    # Here, so that `vla_nav tune --help` needs neither rich nor matplotlib.
    from ..bench.processes import sigterm_as_interrupt
    from ..bench.tuning import tuning
    config = _config(args)
    with tempfile.TemporaryDirectory() as folder, sigterm_as_interrupt():
        model = _open(args, config.values if config else {}, Path(folder))
        if config and model.note:
            raise SettingError(f'{args.model} {model.note}', 'a bundle that may drive',
                               'leave out --config')
        session = tuning.Tuning(model, _settings(args))
        if args.dry_run:
            print('\n'.join(session.plan()))
            return 0
        return _tune(args, session, config)


def _tune(args: argparse.Namespace, session: Any, config: Any) -> int:
    from ..bench.tuning.report import tune_page, tune_picture
    from ..bench.tuning.tune_journal import NAME
    make_report_folder(args, (NAME, *tune_page.FILES), NAME)
    with on_this_machine() as machine:
        session.run(args.out / NAME, args.resume)
    report = {**session.report(config), 'machine': machine}
    tune_page.short_ranking(report).print()
    print('\n'.join(filter(None, [report['answer'], *report['notes'], report['diff']])))
    tune_page.write_page(report, args.out)
    tune_picture.draw(report['rows'], f'{args.model}: ' + report['answer'].partition('. ')[0],
                      args.out / 'tune.png')
    for path in filter(None, (args.out / 'tune.json', args.json)):
        write_json(path, report)
    print(f'report: {args.out}/tune.md, .json, .png')
    if session.interrupted:
        raise KeyboardInterrupt
    if report['diff']:
        print(f'{config.path} is written; the old file: {config.write() or "there was none"}')
    return 0


def _config(args: argparse.Namespace) -> Any:
    if args.config is None:
        return None
    from ..bench.tuning.given.ros_config import RosConfig
    return RosConfig(args.config)


def _open(args: argparse.Namespace, before: Dict[str, Any], folder: Path) -> Any:
    from ..bench.tuning.given import subjects
    from ..bench.tuning.given.file_inputs import Named
    named = Named(_dims(args.dim), dict(args.input), dict(args.state), args.frames or '')
    if subjects.is_file(args.model):
        if args.config:
            raise SettingError(f'--config for {args.model}', 'a bundle: the node runs no file',
                               'import it, or leave out --config')
        return subjects.open_file(args.model, named, folder, args.device)
    if any(named[:3]):
        raise SettingError('--dim, --input or --state', 'an .onnx file as MODEL')
    preferred = (str(before.get('backend', subjects.PREFERRED[0])),
                 str(before.get('precision', subjects.PREFERRED[1])))
    wanted = subjects.Wanted(args.backends, args.precisions, args.device, preferred)
    return subjects.open_bundle(args.model, args.bundles, args.frames or MADE, wanted, folder)


def _settings(args: argparse.Namespace) -> Any:
    from ..bench.tuning.arena import Pace
    from ..bench.tuning.tuning import Settings
    runs = args.runs or (QUICK_RUNS if args.quick else RUNS)
    minutes = args.minutes or (QUICK_MINUTES if args.quick else MINUTES)
    return Settings(Pace(args.period_ms, args.warmup, runs), minutes, args.quick)


def _check(args: argparse.Namespace) -> None:
    """Raise SettingError for numbers that measure nothing."""
    if not 1.0 <= args.period_ms <= 1000.0:
        raise SettingError(f'--period-ms {args.period_ms:g}', '1 to 1000')
    if args.warmup < 0 or (args.runs is not None and args.runs < 2) or (
            args.minutes is not None and not args.minutes > 0.0):
        raise SettingError('nothing to measure', '--warmup of at least 0, --runs of at least 2, '
                           '--minutes above 0')


def _pair(text: str) -> List[str]:
    """Parse NAME=VALUE; a type for argparse."""
    name, equals, value = text.partition('=')
    if not (name and equals and value):
        raise argparse.ArgumentTypeError(f'found {text!r}, expected NAME=VALUE')
    return [name, value]


def _dims(pairs: List[List[str]]) -> Dict[str, int]:
    """Return the sizes by name, or raise SettingError."""
    for name, value in pairs:
        if not (value.isdecimal() and int(value) > 0):
            raise SettingError(f'--dim {name}={value}', 'a whole number above 0')
    return {name: int(value) for name, value in pairs}
