"""The benchmark of the node as people read it."""

from typing import Any, Dict, List, Optional, Tuple

from .node_conditions import CONDITIONS
from .node_figures import BUDGET_MS, Target, to_gain
from ..tables import Table, VERDICTS
from ...driving.latency_recorder import Percentiles
from ...system.machine import warning

COUNTS = {'sent': 'sent', 'answered': 'answered', 'no answer': 'unanswered',
          f'over {BUDGET_MS:g} ms': 'late', 'turns skipped': 'turns_skipped',
          'cycles': 'cycles'}


def print_report(report: Dict[str, Any], targets: List[Target]) -> None:
    """Print the figures, the targets and the machine."""
    for condition in CONDITIONS:
        if condition.name in report['conditions']:
            _print_condition(str(condition), report['conditions'][condition.name])
    if report['start']:
        _print_starts(report['start'])
    table = Table('targets', ['what', 'wanted', 'found', ''])
    for target in targets:
        table.add(target.name, target.wanted, f'{_number(target.found)} {target.unit}'.strip(),
                  VERDICTS[target.met])
    table.print()
    p50, p99 = to_gain(report)
    if p50 is not None:
        print(f'idiomatic at its best / echo, image to command: {_number(p50)} at p50, '
              f'{_number(p99)} at p99. A node without any cost would be faster by about that '
              'factor.')
    _print_machine(report)


def _print_condition(title: str, sides: Dict[str, Any]) -> None:
    times = Table(f'{title}: ms', ['node', 'what', *Percentiles._fields])
    counts = Table('of these images', ['node', *COUNTS])
    for name, figures in sides.items():
        for number, (what, values) in enumerate(_rows(figures)):
            times.add('' if number else name, what,
                      *(_number(values[field] if values else None)
                        for field in Percentiles._fields))
        counts.add(name, *(figures.get(key) for key in COUNTS.values()))
    times.print()
    counts.print()


def _rows(figures: Dict[str, Any]) -> List[Tuple[str, Any]]:
    """Return the rows of one side: a name, and its percentiles."""
    rows = [('image to command', figures['image_to_command'])]
    if 'own_cost' in figures:
        rows.append(('own cost', figures['own_cost']))
        rows += [(name, figures['stages'].get(name))
                 for name in ('deserialise', 'infer', 'cycle')]
    return rows


def _print_starts(starts: Dict[str, Any]) -> None:
    table = Table('our node: start and size', ['backend', 'first command after, s', 'of',
                                               'RSS MB', 'PSS MB'])
    for backend, figures in starts.items():
        table.add(backend, _number(figures['seconds']),
                  ' '.join(_number(start['seconds']) for start in figures['starts']),
                  f'{figures["rss_mb"]:.0f}', f'{figures["pss_mb"]:.0f}')
    table.print()


def _print_machine(report: Dict[str, Any]) -> None:
    machine = report['machine']
    versions = ', '.join(f'{name} {version}' for name, version in machine['versions'].items())
    print(f'{machine["cpu"]}, {machine["cores"]} cores; Python {machine["python"]}; '
          f'{machine["rmw"]}; {versions}',
          f'{report["frames"]} images to each node at 50 Hz; load average before '
          f'{machine["load_average"][0]:.1f}; others used '
          f'{machine["before"]["cores_in_use"]:.2f} cores; stolen '
          f'{machine["during"]["steal"]:.1%}', *warning(machine), sep='\n')


def _number(value: Optional[float]) -> str:
    return '-' if value is None else f'{value:.2f}'
