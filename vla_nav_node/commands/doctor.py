"""`vla_nav doctor`: what is wrong here, why, and what mends it."""

import argparse
from functools import partial
import json
from pathlib import Path
import sys
import time
from typing import Any, List, Sequence

from ..doctor.checks import chosen
from ..doctor.checks.check import Check, FAILED, Result
from ..doctor.checks.place import Place
from ..doctor.examination import examine
from ..doctor.screen import document, Line, lines, summary, table
from ..errors import SettingError
from ..system.outputs import write_json

EXAMPLE = 'vla_nav doctor --model out/bundle --live 5'
STDOUT = Path('-')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of this verb."""
    parser.add_argument('--list', action='store_true', help='list the checks, and run none')
    parser.add_argument('--only', nargs='+', default=[], metavar='NAME',
                        help='run these checks only')
    parser.add_argument('--model', default='', metavar='BUNDLE',
                        help='policy bundle (default: the one that ships)')
    parser.add_argument('--live', type=float, default=2.0, metavar='SECONDS',
                        help='how long to listen to the camera (default: %(default)s; 0: not)')
    parser.add_argument('--cmd-vel', default='/cmd_vel', metavar='TOPIC',
                        help='topic of the commands (default: %(default)s)')
    parser.add_argument('--base-stops', action='store_true',
                        help='you have seen the base stop when commands end')
    parser.add_argument('--log', metavar='FILE', help='explain a log or a traceback instead; - '
                        'reads it from stdin')
    parser.add_argument('--json', type=Path, metavar='FILE',
                        help='write the results to FILE; - writes them to stdout, and nothing '
                             'else')


def run(args: argparse.Namespace) -> int:
    """Check and print; return 0 if nothing failed, else 1."""
    if args.log:
        return _explain(args)
    checks = chosen(args.only)
    if args.list:
        print('\n'.join(table(checks)))
        return 0
    if not 0.0 <= args.live <= 600.0:
        raise SettingError(f'--live {args.live:g}', '0 to 600 s')
    place = Place(model=args.model, live_s=args.live, cmd_vel='/' + args.cmd_vel.lstrip('/'),
                  base_stops=args.base_stops)
    start_s = time.monotonic()
    results = _examine(checks, place, quiet=args.json == STDOUT)
    seconds = time.monotonic() - start_s
    _write(args.json, document(results, seconds))
    if args.json != STDOUT:
        print(summary(results, seconds))
    return int(any(result.status == FAILED for result in results))


def _examine(checks: Sequence[Check], place: Place, quiet: bool) -> List[Result]:
    if quiet:
        return examine(checks, place)
    show, width = _printer(), max(len(check.name) for check in checks)
    return examine(checks, place, lambda result: show(lines(result, width)))


def _printer() -> Any:
    """Return what prints lines: with colours on a terminal, and plain without rich."""
    if not sys.stdout.isatty():
        return partial(_print_plain)
    try:
        from rich.console import Console
    except ModuleNotFoundError:
        return partial(_print_plain)
    console = Console(highlight=False, soft_wrap=True)

    def show(shown: List[Line]) -> None:
        for style, text in shown:
            console.print(text, style=style or None, markup=False)
    return show


def _print_plain(shown: List[Line]) -> None:
    for _, text in shown:
        print(text, flush=True)


def _write(path: Any, content: Any) -> None:
    if path == STDOUT:
        print(json.dumps(content, indent=1))
    elif path:
        write_json(path, content)


def _explain(args: argparse.Namespace) -> int:
    """Explain a log; return 1 if it holds a known symptom."""
    from ..doctor.symptoms import as_json, explain_file, report_lines
    explanation = explain_file(args.log)
    if args.json != STDOUT:
        print('\n'.join(report_lines(explanation)))
    _write(args.json, as_json(explanation))
    return int(bool(explanation.findings))
