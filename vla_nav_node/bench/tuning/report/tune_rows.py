"""The report as plain data: the rows in their order, the answer, and what goes into a config."""

from datetime import date
import math
from typing import Any, Dict, List, Optional, Sequence

from ..arena import Pace
from ..paired_blocks import compare, figures, Ratio, why, WINNER
from ..search import Entry, LATE, ranked
from ..trial import REHEARSAL, Trial, Value
from ....backends.options import OPTIONS
from ....bundle.bundle import Bundle
from ....bundle.fingerprint import fingerprint
from ....types import BackendInfo

NO_WINNER = 'no winner, the defaults stay'
DIGITS = 3  # of a time in ms in a config
THRIFTY = 0.7  # less processor time than this share is worth a word


def rows_of(baseline: Trial, entries: Sequence[Entry], pace: Pace) -> List[Dict[str, Any]]:
    """Return a row for each trial, best first, the baseline among them, failures at the end."""
    measured = [entry for entry in ranked(entries) if entry.pairs]
    winners = [entry for entry in measured if entry.status == WINNER]
    others = [entry for entry in measured if entry not in winners]
    better = [entry for entry in others if entry.found and entry.found.score.value < 1.0]
    ordered = [*winners, *better, None, *(entry for entry in others if entry not in better)]
    rows = [_row(entry, pace) if entry else _baseline(baseline, entries, pace)
            for entry in ordered]
    for number, row in enumerate(rows, 1):
        row['rank'] = number
    return rows + [_row(entry, pace) for entry in entries if not entry.pairs]


def expected(entry: Entry, pace: Pace) -> Dict[str, float]:
    """Return the figures of a trial: of its duel if it had one."""
    return figures(entry.duel or entry.pairs, 'trial', pace.period_ms)


def settings_for_config(entry: Entry, bundle: Bundle, pace: Pace, before: Dict[str, Any]
                        ) -> Dict[str, Value]:
    """
    Return the node's parameters for a winner.

    An option that the file sets already is set anew, even to its default: the winner was measured
    with that.
    """
    trial, found = entry.trial, expected(entry, pace)
    changed = trial.options.changed()
    info = BackendInfo(**entry.info)
    options = {row.name: getattr(trial.options, row.name) for row in OPTIONS
               if row.name in changed
               or (row.name in before and trial.backend in row.read_by and row.live)}
    return {'backend': trial.backend, 'precision': trial.precision, **options,
            REHEARSAL: float(trial.rehearsal_ms),
            'tuned_for': fingerprint(bundle, info, date.today().isoformat()),
            'tuned_period_ms': float(pace.period_ms),
            'tuned_p50_ms': round(found['p50'], DIGITS),
            'tuned_p99_ms': round(found['p99'], DIGITS)}


def answer(winner: Optional[Entry], entries: Sequence[Entry], pace: Pace) -> str:
    """Return the recommendation in words."""
    if not any(entry.pairs for entry in entries):
        return f'{NO_WINNER}: nothing could be measured in the time. Give more --minutes.'
    if winner is None:
        return (f'{NO_WINNER}: nothing was quicker, or needed less processor time, by more than '
                'noise. That is a good answer: the defaults are right here.')
    found, before = expected(winner, pace), figures(winner.duel, 'baseline', pace.period_ms)
    return (f'Take {winner.trial.name}: {why(compare(winner.duel))} than the baseline. '
            f'p50 {found["p50"]:.2f} ms instead of {before["p50"]:.2f}, p99 {found["p99"]:.2f} '
            f'instead of {before["p99"]:.2f}, processor time a step {found["cpu_ms"]:.2f} ms '
            f'instead of {before["cpu_ms"]:.2f}, at one step every {pace.period_ms:g} ms.')


def thrift(winner: Optional[Entry], entries: Sequence[Entry]) -> str:
    """Return in words what would save much processor time at longer times; '' if nothing."""
    found = {entry: entry.found for entry in entries if entry.found and entry is not winner}
    best = min(found, key=lambda entry: found[entry].cpu.value, default=None)
    if best is None or found[best].cpu.value > THRIFTY * (
            winner.found.cpu.value if winner and winner.found else 1.0):
        return ''
    ratios = found[best]
    return (f'If the robot needs the processor: {best.trial.name} takes {ratios.cpu.value:.0%} of '
            f"the baseline's processor time; its median is {ratios.p50.value:.2f} and its p99 "
            f'{ratios.p99.value:.2f} times as long.')


def _row(entry: Entry, pace: Pace) -> Dict[str, Any]:
    row: Dict[str, Any] = {
        'rank': None, 'runtime': entry.trial.runtime, 'settings': entry.trial.settings,
        'changed': entry.trial.changed, 'seen': entry.seen, 'status': entry.status,
        'reason': entry.reason, 'tight_ms': None}
    if not entry.pairs:
        return {**row, 'status': entry.status or LATE}
    found = entry.found or compare(entry.pairs)
    return {**row, **expected(entry, pace), 'info': entry.info,
            'duel': bool(entry.duel), 'pairs': len(entry.duel or entry.pairs),
            'tight_ms': None if math.isnan(entry.tight_ms) else entry.tight_ms,
            'ratios': {name: ratio._asdict() for name, ratio in found._asdict().items()}}


def _baseline(trial: Trial, entries: Sequence[Entry], pace: Pace) -> Dict[str, Any]:
    pairs = [pair for entry in entries for pair in entry.pairs + entry.duel]
    own = figures(pairs, 'baseline', pace.period_ms) if pairs else {}
    one = Ratio(1.0, 1.0, 1.0, 0.5)._asdict()
    return {'rank': None, 'runtime': trial.runtime, 'settings': trial.settings, 'changed': {},
            'seen': '', 'status': 'baseline', 'reason': '', 'tight_ms': None, **own,
            'ratios': dict.fromkeys(('score', 'tail', 'p99', 'p50', 'cpu'), one)}
