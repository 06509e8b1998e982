"""A comparison as people read it: tables, and one page of Markdown."""

from typing import Any, Dict, List, Tuple

from .compare_score import FORMULA, Verdict, WEIGHTS
from ..side_by_side.tables import Table, times
from ....system import machine

Report = Dict[str, Any]
Path = Tuple[str, ...]  # where a figure stands in those of a side
# What is told of each side, by heading.
TEXTS: Dict[str, Path] = {
    'library': ('library',), 'version': ('version',), 'provider': ('provider',),
    'device': ('device',), 'precision': ('precision',), 'threads': ('threads',),
    'carries its state': ('carries_state',), 'file': ('file',)}
NUMBERS: Dict[str, Path] = {
    'a step, p50, ms': ('latency', 'p50'), 'p95, ms': ('latency', 'p95'),
    'p99, ms': ('latency', 'p99'), 'max, ms': ('latency', 'max'),
    'processor time of a step, ms': ('latency', 'cpu_ms'), 'steps a second': ('latency', 'fps'),
    'own memory, MB': ('memory', 'own'), 'most memory of its process, MB': ('memory', 'most'),
    'memory before the model, MB': ('memory', 'before'), 'model file, MB': ('file_mb',),
    'start of its process to first action, s': ('start_s',), 'action MAE, m/s': ('action_mae',)}


def tables(report: Report) -> List[Table]:
    """Return what was measured, how far they agree, and the scores."""
    return [_sides(report), _quality(report['quality']), *_scores(report['scores'])]


def _sides(report: Report) -> Table:
    sides = report['sides']
    table = Table('Side by side', ['', 'A', 'B', 'B / A'])
    table.add('model', sides['A']['name'], sides['B']['name'], '')
    for heading, path in TEXTS.items():
        table.add(heading, *(str(_at(sides[key], path)) for key in 'AB'), '')
    for heading, path in NUMBERS.items():
        a, b = (_at(sides[key], path) for key in 'AB')
        comparable = report['scores'] is not None or path[0] in ('file_mb', 'action_mae')
        table.add(heading, a, b, times(b / a) if comparable and a and b is not None else '-')
    return table


def _at(side: Dict[str, Any], path: Path) -> Any:
    for name in path:
        side = side[name]
    return side


def _quality(quality: Dict[str, Any]) -> Table:
    table = Table(f'Agreement on the same {quality["frames"]} frames, each with its own state '
                  'carried on', ['', 'mean difference, m/s', 'max difference, m/s', 'correlation'])
    for name, axis in quality['axes'].items():
        together = axis['correlation']
        table.add(name, axis['mean'], axis['max'],
                  None if together is None else f'{together:.5f}')
    return table


def _scores(scores: Any) -> List[Table]:
    if scores is None:
        return []
    table = Table('Score', ['', *WEIGHTS, 'score'])
    for key, parts in scores.items():
        table.add(key, *(parts[name] for name in (*WEIGHTS, 'score')))
    return [table]


def lines(report: Report, verdict: Verdict) -> List[str]:
    """Return the sentences below the tables, the verdict last."""
    found = [f'{report["plan"]["runs"]} steps each after {report["plan"]["warm_up"]} that do not '
             f'count, back to back, in turns; frames: {report["plan"]["frames"]}.',
             *machine.summary_lines(report['machine'])]
    if report['scores'] is not None:
        found.append(FORMULA)
    return [*found, *(f'Note: {note}.' for note in verdict.notes), f'Verdict: {verdict.text}.']


def markdown(report: Report, verdict: Verdict, picture: str) -> str:
    """Return the page."""
    parts = [f'# {report["sides"]["A"]["name"]} and {report["sides"]["B"]["name"]}',
             f'**{verdict.text}.**', *(table.markdown() for table in tables(report)),
             f'![both sides]({picture})', *lines(report, verdict)[:-1]]
    return '\n\n'.join(parts) + '\n'
