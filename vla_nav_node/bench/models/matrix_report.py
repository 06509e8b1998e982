"""The reports of the three verbs: tables, sentences, and one page of Markdown."""

import argparse
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Optional, Sequence

from .matrix import device_of, EAGER, ONE_SHOT
from .measure import BUDGETS_MS
from .ranking import Row, RULE
from .score import FORMULA, WEIGHTS
from ..tables import at, Cell, Column, Table, table_of, times, VERDICTS
from ...convert.verify.open_loop import worst
from ...system import machine
from ...system.outputs import write_json

Report = Dict[str, Any]
Columns = Dict[str, Column]
TIMES = ('mean', 'std', 'p50', 'p95', 'p99', 'max')
BASELINES = ('torch fp32', ONE_SHOT)  # what people have
EXPLAINED = (
    'Each row is a process of its own. A step is from the picture (uint8, at the size the policy '
    'takes) to the action on the host, the state carried on. Own memory: what the process grew by '
    'through the runtime and the model (resident); start: from the start of the process to its '
    'first action. Weights read: the model file, once a step, over the p50 back to back. Off: '
    'mean difference of the actions from the reference on the same frames. The one-shot export '
    'gets its floats already normalised and carries no state, so it does less than a step; torch '
    'and the one-shot export run on the number of threads that was the fastest here.')
# The figures of each side of a comparison, by heading.
SIDE_TEXTS = {
    'library': 'library', 'version': 'version', 'provider': 'provider', 'device': 'device',
    'precision': 'precision', 'threads': 'threads', 'carries its state': 'carries_state',
    'file': 'file'}
SIDE_NUMBERS = {
    'a step, p50, ms': 'latency.p50', 'p95, ms': 'latency.p95', 'p99, ms': 'latency.p99',
    'max, ms': 'latency.max', 'processor time of a step, ms': 'latency.cpu_ms',
    'steps a second': 'latency.fps', 'own memory, MB': 'memory.own',
    'most memory of its process, MB': 'memory.most',
    'memory before the model, MB': 'memory.before', 'model file, MB': 'file_mb',
    'start of its process to first action, s': 'start_s', 'action MAE, m/s': 'action_mae'}


def publish(args: argparse.Namespace, name: str, report: Report, tables: Sequence[Table],
            lines: Sequence[str]) -> None:
    """Write the JSON document to --out and --json, and print the tables and the sentences."""
    for path in filter(None, (args.out / f'{name}.json', getattr(args, 'json', None))):
        write_json(path, report, allow_nan=False)
    for table in tables:
        table.print()
    print('\n'.join(lines))


def write_page(path: Path, title: str, tables: Sequence[Table], lines: Sequence[str],
               picture: str, first: str = '') -> None:
    """Write the report as Markdown; `picture` describes the plot of the same name beside it."""
    parts = [f'# {title}', *([first] if first else []), *(table.markdown() for table in tables),
             f'![{picture}]({path.stem}.png)', *lines]
    path.write_text('\n\n'.join(parts) + '\n', encoding='utf-8')


def _figures(pace: str, *names: str) -> Columns:
    """Return a column for each figure of a pace."""
    return {name: f'{pace}.{name}' for name in names}


def by_policy(report: Report) -> Iterator[List[Row]]:
    """Yield the rows of each policy."""
    for policy in dict.fromkeys(row['policy'] for row in report['rows']):
        yield [row for row in report['rows'] if row['policy'] == policy]


def ratio(rows: Sequence[Row], label: str, row: Row, pace: str = 'back_to_back',
          figure: str = 'p50') -> Optional[float]:
    """
    Return how many times as fast as another row a row is; None on different devices.

    The other one has the number of threads that is its best in this very figure.
    """
    others = [each for each in rows
              if each['label'] == label and device_of(each) == device_of(row)]
    if not others or row['label'] == label:
        return None
    best = min(each[pace][figure] for each in others[0]['alternatives'])
    return float(best / row[pace][figure])


def absences(report: Report) -> List[str]:
    """Return a sentence for each row that is absent."""
    return [f'No row {policy}, {label}: {reason}.' for policy, absent in report['absent'].items()
            for label, reason in absent.items()]


def benchmark_tables(report: Report) -> List[Table]:
    """Return the tables of each policy, and the ranking of all."""
    tables = [table for rows in by_policy(report)
              for table in _policy_tables(rows, report['bandwidth_gb_s'])]
    ranking = Table('Ranking, each policy and device separately',
                    ['policy', 'device', 'rank', 'row', 'over the period', 'paced p99, ms'])
    for group in report['ranking']:
        for number, row in enumerate(group['rows'], 1):
            ranking.add(group['policy'], group['device'], number, row['label'], row['late'],
                        row['p99'])
    return [*tables, ranking]


def _policy_tables(rows: List[Row], bandwidth: float) -> List[Table]:
    first, policy = rows[0], rows[0]['policy']
    budgets = [f'{budget:g}' for budget in BUDGETS_MS]

    def than(label: str, pace: str, figure: str = 'p50') -> Column:
        return lambda row: times(ratio(rows, label, row, pace, figure))

    def share(budget: str) -> Column:
        return lambda row: f'{row["paced"]["share"][budget]:.1%}'

    def read(row: Row) -> Optional[float]:  # MB a ms are GB a s
        return row['file_mb'] / row['back_to_back']['p50'] if device_of(row) == 'cpu' else None

    def of_bandwidth(row: Row) -> Optional[str]:
        speed = read(row)
        return None if speed is None else f'{speed / bandwidth:.0%}'
    return [
        table_of(f'{policy}: what really runs', rows, {
            '': 'label', 'library': lambda row: f'{row["library"]} {row["version"]}',
            'provider': 'provider', 'device': 'device', 'precision': 'precision',
            'threads': _threads,
            'may drive': lambda row: 'no' if row['may_not_drive'] else 'yes'}),
        table_of(f'{policy}: back to back, {first["back_to_back"]["runs"]} steps, ms; and how '
                 'many times as fast as others (p50)', rows, {
                     '': 'label', **_figures('back_to_back', *TIMES), 'FPS': 'back_to_back.fps',
                     **{label: than(label, 'back_to_back') for label in BASELINES}}),
        table_of(f'{policy}: a step every {first["period_ms"]:g} ms, {first["paced"]["runs"]} '
                 'steps, ms; how many times as fast as others (p50, p99); share of a budget '
                 '(mean), and steps over it', rows, {
                     '': 'label', **_figures('paced', *TIMES),
                     **{f'{label}, {figure}': than(label, 'paced', figure)
                        for label in BASELINES for figure in ('p50', 'p99')},
                     **{f'of {budget} ms': share(budget) for budget in budgets},
                     **{f'over {budget}': f'paced.misses.{budget}' for budget in budgets},
                     'CPU time': 'paced.cpu_ms'}),
        table_of(f'{policy}: what it holds, MB; how far it is off {first["agreement"]["with"]}',
                 rows, {
                     '': 'label', 'own memory': 'memory.own', 'most of the process': 'memory.most',
                     'model file': 'file_mb', 'start, s': 'start_s', 'weights read, GB/s': read,
                     f'of {bandwidth:.1f} GB/s': of_bandwidth, 'off, m/s': 'agreement.mean'})]


def _threads(row: Row) -> str:
    if len(row['alternatives']) == 1:
        return str(row['threads'])
    tried = ', '.join(str(each['threads'] or 'its own') for each in row['alternatives'])
    return f'{row["threads"]} (best of {tried})'


def benchmark_lines(report: Report) -> List[str]:
    """Return the sentences below the tables."""
    plan = report['plan']
    return [RULE, *(f'{sentence}.' for sentence in report['refused']),
            *(f'Advice: {each["policy"]} on {each["device"]}, {each["kind"]}: '
              + (f'{each["row"]}, ' if each['row'] else '') + f'{each["because"]}.'
              for each in report['advice']),
            *(f'{row["policy"]}, {row["label"]}: the node refuses it, it {row["may_not_drive"]}.'
              for row in report['rows'] if row['may_not_drive'] and row['kind'] == 'bundle'
              and row['policy'] not in report['untrained']),
            *absences(report),
            *(f'{name} has random weights: its times are real, its actions mean nothing, and '
              'the node refuses it.' for name in report['untrained']),
            f'{plan["runs"]} steps of each row and pace after {plan["warm_up"]} that do not '
            f'count, the rows in turns; frames: {plan["frames"]}; memory is read at '
            f'{report["bandwidth_gb_s"]:.1f} GB/s here.',
            EXPLAINED, *machine.summary_lines(report['machine'])]


def compare_tables(report: Report) -> List[Table]:
    """Return the figures of both sides, how far they agree, and the scores."""
    a, b = report['sides']['A'], report['sides']['B']
    sides = Table('Side by side', ['', 'A', 'B', 'B / A'])
    sides.add('model', a['name'], b['name'], '')
    for heading, path in SIDE_TEXTS.items():
        sides.add(heading, str(at(a, path)), str(at(b, path)), '')
    for heading, path in SIDE_NUMBERS.items():
        before, after = at(a, path), at(b, path)
        comparable = report['scores'] is not None or path in ('file_mb', 'action_mae')
        sides.add(heading, before, after, times(
            after / before if comparable and before and after is not None else None))
    quality = report['quality']
    axes = Table(f'Agreement on the same {quality["frames"]} frames, each with its own state '
                 'carried on', ['', 'mean difference, m/s', 'max difference, m/s', 'correlation'])
    for name, axis in quality['axes'].items():
        together = axis['correlation']
        axes.add(name, axis['mean'], axis['max'], None if together is None else f'{together:.5f}')
    if report['scores'] is None:
        return [sides, axes]
    scores = [{'': key, **parts} for key, parts in report['scores'].items()]
    return [sides, axes, table_of('Score', scores, {
        name: name for name in ('', *WEIGHTS, 'score')})]


def compare_lines(report: Report) -> List[str]:
    """Return the sentences below the tables, the verdict last."""
    plan, verdict = report['plan'], report['verdict']
    return [f'{plan["runs"]} steps each after {plan["warm_up"]} that do not count, back to back, '
            f'in turns; frames: {plan["frames"]}.', *machine.summary_lines(report['machine']),
            *([] if report['scores'] is None else [FORMULA]),
            *(f'Note: {note}.' for note in verdict['notes']), f'Verdict: {verdict["text"]}.']


def gpu_tables(report: Report) -> List[Table]:
    """Return a table for each policy that has rows."""
    return [_gpu_table(rows) for rows in by_policy(report)]


def _gpu_table(rows: List[Row]) -> Table:
    first, devices = rows[0], ' and '.join(dict.fromkeys(map(device_of, rows)))

    def off(part: str) -> Callable[[Row], Cell]:
        return lambda row: (worst(row['parity']['figures'][part], 'max')
                            if row['parity'].get('figures') else None)
    return table_of(
        f'{first["policy"]} on {devices}, host image to host action, ms; '
        f'{first["back_to_back"]["runs"]} steps back to back, {first["paced"]["runs"]} every '
        f'{first["period_ms"]:g} ms; off torch fp32 on the CPU, m/s, on frames: '
        f'{first["frames"]}', rows, {
            '': 'label', 'runs as': lambda row: row['provider'].removesuffix('ExecutionProvider'),
            **_figures('back_to_back', 'p50', 'p99'),
            'paced p50': 'paced.p50', 'paced p99': 'paced.p99',
            'than eager': lambda row: times(
                ratio(rows, f'torch {row["precision"]} {EAGER}', row)),
            'one step': off('one_step'), 'rollout': off('rollout'), 'gates': _gates})


def _gates(row: Row) -> str:
    if 'problems' not in row['parity']:
        return 'not compared'
    return 'NOT PASSED' if row['parity']['problems'] else 'passed'


def gpu_lines(report: Report) -> List[str]:
    """Return the sentences between the tables."""
    return [*absences(report),
            *(f'{row["policy"]}, {row["label"]}: {problem}.' for row in report['rows']
              for problem in row['parity'].get('problems', [row['parity'].get('unmeasured')])),
            *(f'{name} has random weights: its times are real, its actions mean nothing and '
              'hardly change; of its gates only that of the state counts.'
              for name in report['untrained']),
            *machine.summary_lines(report['machine']), *report['gpu'],
            f'It took {report["took_s"]:.0f} s; the limit was {report["limit_s"]:g} s.']


def targets_table(report: Report) -> Table:
    """Return the last table of gpu-bench."""
    return table_of('Targets for a GPU', report['targets'], {
        '': 'what', 'wanted': 'wanted', 'found': 'found',
        ' ': lambda target: VERDICTS[target['met']]})
