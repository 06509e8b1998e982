"""The report of a tuning as Markdown, and its tables for the terminal."""

from pathlib import Path
from typing import Any, Dict, List, Mapping

from ..paired_blocks import FEW_PAIRS
from ...tables import Table, table_of
from ....errors import SettingError
from ....system.atomic_files import write_file
from ....system.machine import summary_lines

FILES = ('tune.json', 'tune.md', 'tune.png')


def short_ranking(report: Mapping[str, Any]) -> Table:
    """Return the ranking for a terminal."""
    return table_of(_title(report), report['rows'], {
        'settings': _settings, 'p50 ms': _figure('p50'), 'p99 ms': _figure('p99'),
        'CPU ms': _figure('cpu_ms'), 'p99 / baseline': _ratio('p99'),
        'answer': lambda row: row['status']})


def ranking(report: Mapping[str, Any]) -> Table:
    """Return the ranking table."""
    columns = {
        'rank': lambda row: row['rank'] or '-', 'settings': _settings,
        'p50 ms': _figure('p50'), 'p99 ms': _figure('p99'),
        'over the period': lambda row: f'{row["late"]:.1%}' if 'late' in row else '-',
        'CPU ms a step': _figure('cpu_ms'), 'tight loop ms': _figure('tight_ms'),
        'p99 / baseline': _ratio('p99'), 'p50 / baseline': _ratio('p50'),
        'CPU / baseline': _ratio('cpu'), 'answer': lambda row:
        ': '.join(filter(None, (row['status'], row['reason'])))}
    return table_of(_title(report), report['rows'], columns)


def page(report: Mapping[str, Any]) -> str:
    """Return the report in Markdown."""
    plan = Table('Settings that were not tried', ['option', 'reason'])
    for name, reason in {**report['refused'], **report['left_out']}.items():
        plan.add(name, reason)
    parts = [f'# Tuning of {report["model"]}', f'**{report["answer"]}**', *report['notes'],
             ranking(report).markdown(), '![times](tune.png)',
             'Ratios are with their 99.8 % interval, of the duel where there was one; those of a '
             'few pairs of blocks have none. CPU is the processor time of all threads a step, '
             'waiting and rehearsals included. The tight loop is only shown: nothing is decided '
             'by it.',
             plan.markdown(), *_text('The session in Python', 'python', report['python']),
             *_text('Change of the config', 'diff', report['diff']),
             '## Machine', *summary_lines(dict(report['machine']))]
    return '\n\n'.join(filter(None, parts)) + '\n'


def write_page(report: Mapping[str, Any], folder: Path) -> None:
    """Write tune.md, or raise SettingError."""
    path = folder / 'tune.md'
    try:
        write_file(path, page(report).encode())
    except OSError as error:
        raise SettingError(f'{path} cannot be written: {error.strerror}',
                           'a directory of your own, with free space') from None


def _text(title: str, language: str, text: str) -> List[str]:
    return [f'## {title}', f'```{language}\n{text.rstrip()}\n```'] if text else []


def _title(report: Mapping[str, Any]) -> str:
    return f'{report["model"]}, one step every {report["pace"]["period_ms"]:g} ms'


def _settings(row: Dict[str, Any]) -> str:
    return f'{row["runtime"]}: {row["settings"]}'


def _figure(name: str) -> Any:
    return lambda row: row.get(name)


def _ratio(name: str) -> Any:
    def shown(row: Dict[str, Any]) -> str:
        if 'ratios' not in row or row['status'] == 'baseline':
            return '-'
        ratio = row['ratios'][name]
        if row['pairs'] < FEW_PAIRS:
            return f'about {ratio["value"]:.2f}'
        return f'{ratio["value"]:.2f} ({ratio["low"]:.2f} to {ratio["high"]:.2f})'
    return shown
