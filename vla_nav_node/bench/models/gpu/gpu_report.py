"""What people read: a table for each policy, what there is not, and the targets last."""

from typing import Any, Dict, List, Optional

from .gpu_plan import EAGER
from ..side_by_side.figures import device_of
from ..side_by_side.tables import Table, times
from ....convert.verify.open_loop import worst
from ....system import machine

Report = Dict[str, Any]
Row = Dict[str, Any]
VERDICTS = {True: 'met', False: 'MISSED', None: 'not measured'}


def tables(report: Report) -> List[Table]:
    """Return a table for each policy that has rows."""
    return [_policy(policy, [row for row in report['rows'] if row['policy'] == policy])
            for policy in dict.fromkeys(row['policy'] for row in report['rows'])]


def _policy(policy: str, rows: List[Row]) -> Table:
    first = rows[0]
    devices = ' and '.join(dict.fromkeys(map(device_of, rows)))
    table = Table(
        f'{policy} on {devices}, host image to host action, ms; {first["back_to_back"]["runs"]} '
        f'steps back to back, {first["paced"]["runs"]} every {first["period_ms"]:g} ms; off torch '
        f'fp32 on the CPU, m/s, on frames: {first["frames"]}',
        ['', 'runs as', 'p50', 'p99', 'paced p50', 'paced p99', 'than eager', 'one step',
         'rollout', 'gates'])
    for row in rows:
        figures = row['parity'].get('figures')
        table.add(row['label'], row['provider'].removesuffix('ExecutionProvider'),
                  row['back_to_back']['p50'], row['back_to_back']['p99'], row['paced']['p50'],
                  row['paced']['p99'], times(_than_eager(rows, row)),
                  worst(figures['one_step'], 'max') if figures else None,
                  worst(figures['rollout'], 'max') if figures else None, _gates(row))
    return table


def _than_eager(rows: List[Row], row: Row) -> Optional[float]:
    """Say how many times as fast as torch eager it is, in the same precision and on the same."""
    label = f'torch {row["precision"]} {EAGER}'
    others = [one for one in rows if one['label'] == label and device_of(one) == device_of(row)]
    if not others or row['label'] == label:
        return None
    return float(others[0]['back_to_back']['p50'] / row['back_to_back']['p50'])


def _gates(row: Row) -> str:
    if 'problems' not in row['parity']:
        return 'not compared'
    return 'NOT PASSED' if row['parity']['problems'] else 'passed'


def targets_table(report: Report) -> Table:
    """Return the last table."""
    table = Table('What was wanted of a GPU', ['', 'wanted', 'found', ''])
    for one in report['targets']:
        table.add(one['what'], one['wanted'], one['found'], VERDICTS[one['met']])
    return table


def lines(report: Report) -> List[str]:
    """Return the sentences between the tables."""
    told = [*(f'No row {policy}, {label}: {reason}.'
              for policy, absent in report['absent'].items() for label, reason in absent.items()),
            *(f'{row["policy"]}, {row["label"]}: {problem}.' for row in report['rows']
              for problem in row['parity'].get('problems', [row['parity'].get('unmeasured')])),
            *(f'{name} has random weights: its times are real, its actions mean nothing and '
              'hardly change; of its gates the one of the state counts.'
              for name in report['untrained'])]
    told += machine.summary_lines(report['machine'])
    return [*told, *report['gpu'], f'It took {report["took_s"]:.0f} s; the limit was '
            f'{report["limit_s"]:g} s.']
