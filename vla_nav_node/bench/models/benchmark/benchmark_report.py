"""The benchmark as people read it: tables, ranking, advice, and one page of Markdown."""

from typing import Any, Dict, List, Optional

from .benchmark_plan import ONE_SHOT
from .ranking import Row, RULE
from ..side_by_side.figures import BUDGETS_MS, device_of
from ..side_by_side.tables import Table, times
from ....system import machine

Report = Dict[str, Any]
TIMES = ('mean', 'std', 'p50', 'p95', 'p99', 'max')
OTHERS = ('torch fp32', ONE_SHOT)  # what people have
EXPLAINED = (
    'Each row is a process of its own. A step is from the picture (uint8, at the size the policy '
    'takes) to the action on the host, the state carried on. Own memory: what the process grew by '
    'through the runtime and the model (resident); start: from the start of the process to its '
    'first action. Weights read: the model file, once a step, over the p50 back to back. Off: '
    'mean difference of the actions to the reference on the same frames. The one-shot export '
    'gets its normalised floats for nothing and carries no state, so that it does less than a '
    'step; torch and the one-shot export run on the number of threads that was the quickest here.')


def tables(report: Report) -> List[Table]:
    """Return the tables of each policy, and the ranking of all."""
    found: List[Table] = []
    for policy in dict.fromkeys(row['policy'] for row in report['rows']):
        rows = [row for row in report['rows'] if row['policy'] == policy]
        found += [_runtimes(policy, rows), _back_to_back(policy, rows), _paced(policy, rows),
                  _costs(policy, rows, report['bandwidth_gb_s'])]
    return [*found, _ranking(report)]


def _runtimes(policy: str, rows: List[Row]) -> Table:
    table = Table(f'{policy}: what really runs',
                  ['', 'library', 'provider', 'device', 'precision', 'threads', 'may drive'])
    for row in rows:
        table.add(row['label'], f'{row["library"]} {row["version"]}', row['provider'],
                  row['device'], row['precision'], _threads(row),
                  'no' if row['may_not_drive'] else 'yes')
    return table


def _back_to_back(policy: str, rows: List[Row]) -> Table:
    table = Table(f'{policy}: back to back, {rows[0]["back_to_back"]["runs"]} steps, ms; and how '
                  'many times as fast as others (p50)',
                  ['', *TIMES, 'FPS', *OTHERS])
    for row in rows:
        figures = row['back_to_back']
        table.add(row['label'], *(figures[name] for name in (*TIMES, 'fps')),
                  *(times(_ratio(rows, label, row)) for label in OTHERS))
    return table


def _threads(row: Row) -> str:
    if len(row['alternatives']) == 1:
        return str(row['threads'])
    tried = ', '.join(str(one['threads'] or 'its own') for one in row['alternatives'])
    return f'{row["threads"]} (best of {tried})'


def _ratio(rows: List[Row], label: str, row: Row) -> Optional[float]:
    """Say how many times quicker a row is than another; None on different devices."""
    others = [one for one in rows
              if one['label'] == label and device_of(one) == device_of(row)]
    if not others or row['label'] == label:
        return None
    return float(others[0]['back_to_back']['p50'] / row['back_to_back']['p50'])


def _paced(policy: str, rows: List[Row]) -> Table:
    budgets = [f'{budget:g}' for budget in BUDGETS_MS]
    steps = rows[0]['paced']['runs']
    table = Table(f'{policy}: a step every {rows[0]["period_ms"]:g} ms, {steps} steps, ms; share '
                  'of a budget (mean), and steps over it',
                  ['', *TIMES, *(f'of {budget} ms' for budget in budgets),
                   *(f'over {budget}' for budget in budgets), 'CPU time'])
    for row in rows:
        figures = row['paced']
        table.add(row['label'], *(figures[name] for name in TIMES),
                  *(f'{figures["share"][budget]:.1%}' for budget in budgets),
                  *(figures['misses'][budget] for budget in budgets),
                  figures['cpu_ms'])
    return table


def _costs(policy: str, rows: List[Row], bandwidth: float) -> Table:
    table = Table(f'{policy}: what it holds, MB; how far it is off {rows[0]["agreement"]["with"]}',
                  ['', 'own memory', 'most of the process', 'model file', 'start, s',
                   'weights read, GB/s', f'of {bandwidth:.1f} GB/s', 'off, m/s'])
    for row in rows:
        read = row['file_mb'] / row['back_to_back']['p50']  # MB a ms are GB a s
        on_cpu = device_of(row) == 'cpu'
        table.add(row['label'], row['memory']['own'], row['memory']['most'], row['file_mb'],
                  row['start_s'], read if on_cpu else None,
                  f'{read / bandwidth:.0%}' if on_cpu else None, row['agreement']['mean'])
    return table


def _ranking(report: Report) -> Table:
    table = Table('Ranking, each policy and device for itself',
                  ['policy', 'device', 'rank', 'row', 'over the period', 'paced p95, ms'])
    for group in report['ranking']:
        for number, one in enumerate(group['rows'], 1):
            table.add(group['policy'], group['device'], number, one['label'], one['late'],
                      one['p95'])
    return table


def advice(report: Report) -> List[str]:
    """Return the advice, a line for each kind of robot, policy and device."""
    return [f'{one["policy"]} on {one["device"]}, {one["kind"]}: '
            + (f'{one["row"]}, ' if one['row'] else '') + one['because']
            for one in report['advice']]


def lines(report: Report) -> List[str]:
    """Return the sentences below the tables."""
    plan = report['plan']
    return [RULE, *(f'{sentence}.' for sentence in report['refused']),
            *(f'Advice: {line}.' for line in advice(report)),
            *(f'{row["policy"]}, {row["label"]}: the node refuses it, it {row["may_not_drive"]}.'
              for row in report['rows'] if row['may_not_drive'] and row['kind'] == 'bundle'
              and row['policy'] not in report['untrained']),
            *(f'No row {policy}, {label}: {reason}.' for policy, absent in report['absent'].items()
              for label, reason in absent.items()),
            *(f'{name} has random weights: its times are real, its actions mean nothing, and '
              'the node refuses it.'
              for name in report['untrained']),
            f'{plan["runs"]} steps of each row and pace after {plan["warm_up"]} that do not '
            f'count, the rows in turns; frames: {plan["frames"]}; memory is read at '
            f'{report["bandwidth_gb_s"]:.1f} GB/s here.',
            EXPLAINED, *machine.summary_lines(report['machine'])]


def markdown(report: Report, picture: str) -> str:
    """Return the page."""
    return '\n\n'.join(['# What each policy costs here', *(t.markdown() for t in tables(report)),
                        f'![times and sizes]({picture})', *lines(report)]) + '\n'
