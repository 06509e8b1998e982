"""The figures of what was measured, and how they compare with the targets."""

from typing import Any, Dict, List, NamedTuple, Optional, Sequence

from .probe import Block
from .sides import ECHO, IDIOMATIC, OURS, OURS_TORCH, Side
from ...driving.latency_recorder import Percentiles

BUDGET_MS = 20.0
BACK_TO_BACK = '640x480 back to back'
# How many times slower than our node the idiomatic node is wanted to be, at its best: our node
# with its defaults, and our node with the same runtime.
WANTED = {OURS: {'p50': 2.0, 'p99': 1.6}, OURS_TORCH: {'p50': 1.0, 'p99': 1.0}}
Report = Dict[str, Any]


def percentiles(values: Sequence[float]) -> Optional[Dict[str, float]]:
    """Return p50, p95, p99 and most; None without values."""
    return Percentiles.from_values(values)._asdict() if len(values) else None


def summarise(side: Side, block: Block) -> Report:
    """Return the figures of one side under one condition, all times in ms."""
    answers = [wait for wait in block.waits_ms if wait is not None]
    unanswered = len(block.waits_ms) - len(answers)
    late = sum(wait > BUDGET_MS for wait in answers)
    result: Report = {
        'sent': len(block.waits_ms), 'answered': len(answers), 'unanswered': unanswered,
        'late': late, 'turns_skipped': block.skipped,
        'misses': late + unanswered, 'image_to_command': percentiles(answers)}
    if side.fields:
        columns = dict(zip(side.fields, zip(*block.cycles))) if block.cycles else {}
        own = [cycle - infer for cycle, infer in zip(columns.get('cycle', ()),
                                                     columns.get('infer', ()))]
        result.update(cycles=len(block.cycles), own_cost=percentiles(own),
                      stages={name: percentiles(column) for name, column in columns.items()})
    return result


class Target(NamedTuple):
    """One target; `found` and `met` are None if it was not measured."""

    name: str
    wanted: str
    found: Optional[float]
    met: Optional[bool]
    unit: str = ''


def judge(report: Report) -> List[Target]:
    """Compare a report with the targets of the node; the idiomatic node counts at its best."""
    under = report['conditions']
    targets = [_most(f'own cost, {BACK_TO_BACK}, p50', 0.35,
                     _at(under, 'back', OURS, 'own_cost', 'p50'), 'ms')]
    for side, runtime in ((OURS, ''), (OURS_TORCH, ', torch on both sides')):
        targets += [
            _least(f'image to command, idiomatic / ours{runtime}, {quantile}', wanted,
                   _divide(best(under, 'vga', quantile), _command(under, side, quantile)))
            for quantile, wanted in WANTED[side].items()]
    cycle = ('busy', OURS, 'stages', 'cycle')
    return targets + [
        *(_most(f'image to command, ours / echo, {quantile}', wanted,
                _divide(_command(under, OURS, quantile), _command(under, ECHO.name, quantile)))
          for quantile, wanted in (('p50', 1.0), ('p99', 1.5))),
        _most(f'image to command: misses of {BUDGET_MS:g} ms', 0,
              _at(under, 'vga', OURS, 'misses')),
        _most('cycle p99 / p50, a core burning', 3.0,
              _divide(_at(under, *cycle, 'p99'), _at(under, *cycle, 'p50'))),
        _most('start to first command (onnx)', 1.0, _at(report, 'start', 'onnx', 'seconds'), 's'),
        _most('resident memory, RSS (onnx)', 200.0, _at(report, 'start', 'onnx', 'rss_mb'),
              'MB')]


def best(under: Report, condition: str, quantile: str) -> Optional[float]:
    """Return the image to command of the idiomatic node with its best number of threads."""
    found = [_at(under, condition, name, 'image_to_command', quantile)
             for name in under.get(condition, ()) if name.startswith(IDIOMATIC)]
    return min((value for value in found if value is not None), default=None)


def to_gain(report: Report) -> List[Optional[float]]:
    """Return how many times as fast as the idiomatic node the echo is, at p50 and p99."""
    under = report['conditions']
    return [_divide(best(under, 'vga', quantile), _command(under, ECHO.name, quantile))
            for quantile in ('p50', 'p99')]


def _command(under: Report, side: str, quantile: str) -> Optional[float]:
    return _at(under, 'vga', side, 'image_to_command', quantile)


def _at(report: Report, *path: str) -> Optional[float]:
    """Return the figure at a path; None if the report has none."""
    figure: Any = report
    for name in path:
        figure = (figure or {}).get(name)
    return None if figure is None else float(figure)


def _divide(above: Optional[float], below: Optional[float]) -> Optional[float]:
    return None if above is None or not below else above / below


def _most(name: str, limit: float, found: Optional[float], unit: str = '') -> Target:
    return Target(name, f'at most {limit:g} {unit}'.rstrip(), found,
                  None if found is None else found <= limit, unit)


def _least(name: str, limit: float, found: Optional[float]) -> Target:
    return Target(name, f'at least {limit:g}', found, None if found is None else found >= limit)
