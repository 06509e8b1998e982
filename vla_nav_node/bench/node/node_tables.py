"""The benchmark as people read it."""

from typing import Any, Dict, List, Optional, Tuple

from rich.console import Console
from rich.table import Table

from .node_conditions import CONDITIONS
from .node_figures import BUDGET_MS, Target, to_gain

QUANTILES = ('p50', 'p95', 'p99', 'most')
COUNTS = {'sent': 'sent', 'answered': 'answered', 'no answer': 'unanswered',
          f'over {BUDGET_MS:g} ms': 'late', 'turns skipped': 'turns_skipped',
          'cycles': 'cycles'}
TEXTS = ('node', 'what', 'backend')
VERDICT = {True: '[green]met[/]', False: '[bold red]MISSED[/]', None: '[dim]not measured[/]'}


def print_report(report: Dict[str, Any], targets: List[Target]) -> None:
    """Print the machine, the figures, and the targets."""
    console = Console()
    for condition in CONDITIONS:
        if condition.name in report['conditions']:
            _print_condition(console, str(condition), report['conditions'][condition.name])
    if report['start']:
        console.print(_starts(report['start']))
    console.print(_targets(targets))
    p50, p99 = to_gain(report)
    if p50 is not None:
        console.print('idiomatic at its best / echo, image to command: '
                      f'{_number(p50)} at p50, {_number(p99)} at p99. A node '
                      'that costs nothing would be about that much quicker.')
    _print_machine(console, report)


def _print_condition(console: Console, title: str, sides: Dict[str, Any]) -> None:
    times = _table(f'{title}: ms', 'node', 'what', *QUANTILES)
    for name, found in sides.items():
        times.add_section()
        for number, (what, values) in enumerate(_rows(found)):
            times.add_row('' if number else name, what,
                          *(_number(values[one] if values else None) for one in QUANTILES))
    console.print(times)
    counts = _table('of these images', 'node', *COUNTS)
    for name, found in sides.items():
        counts.add_row(name, *(str(found.get(key, '-')) for key in COUNTS.values()))
    console.print(counts)


def _rows(found: Dict[str, Any]) -> List[Tuple[str, Any]]:
    """Return what there is to tell of one side: a name, and its percentiles."""
    rows = [('image to command', found['image_to_command'])]
    if 'own_cost' in found:
        rows.append(('own cost', found['own_cost']))
        rows += [(name, found['stages'].get(name))
                 for name in ('deserialise', 'infer', 'cycle')]
    return rows


def _starts(start: Dict[str, Any]) -> Table:
    table = _table('our node: start and size', 'backend', 'first command after, s', 'of', 'RSS MB',
                   'PSS MB')
    for backend, found in start.items():
        table.add_row(backend, _number(found['seconds']),
                      ' '.join(_number(one['seconds']) for one in found['starts']),
                      f'{found["rss_mb"]:.0f}', f'{found["pss_mb"]:.0f}')
    return table


def _targets(targets: List[Target]) -> Table:
    table = _table('targets', 'what', 'wanted', 'found', '')
    for target in targets:
        table.add_row(target.name, target.wanted,
                      f'{_number(target.found)} {target.unit}'.strip(),
                      VERDICT[target.met])
    return table


def _print_machine(console: Console, report: Dict[str, Any]) -> None:
    machine = report['machine']
    versions = ', '.join(f'{name} {version}' for name, version in machine['versions'].items())
    for line in (
            f'{machine["cpu"]}, {machine["cores"]} cores; Python {machine["python"]}; '
            f'{machine["rmw"]}; {versions}',
            f'{report["frames"]} images to each node at 50 Hz; load average before '
            f'{machine["load_average"][0]:.1f}; others used '
            f'{machine["before"]["cores_in_use"]:.2f} cores; stolen '
            f'{machine["during"]["steal"]:.1%}'):
        console.print(line, markup=False, highlight=False, style='dim')
    if machine['disturbance']:
        console.print('[bold yellow]This machine was not idle:[/] ' + machine['disturbance']
                      + '. Judge the ratios, not the times.')


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title)
    for name in columns:
        table.add_column(name, justify='left' if name in TEXTS else 'right')
    return table


def _number(value: Optional[float]) -> str:
    return '-' if value is None else f'{value:.2f}'
