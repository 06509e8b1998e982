"""The search: single changes, the better ones again and together, then a duel."""

from dataclasses import dataclass, field
from itertools import combinations
import math
from typing import Any, Callable, Dict, Iterator, List, Mapping, Optional, Sequence

from .arena import Arena
from .paired_blocks import (
    compare, Comparison, EQUAL, LEAST, LEAST_CPU, Pair, verdict, why, WINNER)
from .trial import Trial
from .truth import check_truth
from ...errors import BackendError

# Starts of both processes in a duel; twice as many if the lead is not beyond noise by then.
STARTS, MOST_STARTS = 3, 6
DUEL_PAIRS, QUICK_DUEL_PAIRS = 40, 16  # of each start
ROUNDS = 5  # at most; each has twice as many pairs
KEPT = 3  # one of so many goes on to the next round
FEWEST = 2  # go on at least
TOGETHER = 3  # the best single changes that are tried together
FINALISTS = 2
FAILED, DIFFERS, UNCONFIRMED, LATE, AHEAD = (
    'failed', 'other results', 'not confirmed', 'not measured', 'ahead')


@dataclass(eq=False)
class Entry:
    """A trial with what was measured of it."""

    trial: Trial
    seen: str = ''  # where the settings come from
    pairs: List[Pair] = field(default_factory=list)
    duel: List[Pair] = field(default_factory=list)
    tight_ms: float = math.nan
    info: Dict[str, str] = field(default_factory=dict)
    status: str = LATE
    reason: str = 'the time was over'
    found: Optional[Comparison] = None

    def add(self, pairs: Sequence[Pair]) -> None:
        """Add pairs, and judge anew."""
        self.pairs += pairs
        self.judge(self.pairs)

    def judge(self, pairs: Sequence[Pair]) -> None:
        """Take the verdict of some pairs; only a duel makes a winner."""
        self.found = compare(pairs)
        said = verdict(pairs)
        self.status, self.reason = (said, '') if said != WINNER else (AHEAD, why(self.found))


Show = Callable[[str, Sequence[Entry]], None]  # what is done next, and the rows so far


class Search:
    """Successive halving, in pairs with the baseline."""

    def __init__(self, arena: Arena, duel_pairs: int, show: Show) -> None:
        """Call `show` before each measurement."""
        self._arena, self._duel_pairs, self._show = arena, duel_pairs, show
        self.entries: List[Entry] = []

    def best_runtime(self, trials: Sequence[Trial]) -> Trial:
        """Measure other runtimes with their defaults; return the best, or the baseline's."""
        entries = self._measure([Entry(trial, 'another runtime') for trial in trials], 1)
        ahead = [entry for entry in ranked(entries) if entry.found and entry.found.promising]
        return ahead[0].trial if ahead else self._arena.baseline

    def run(self, candidates: Sequence[Entry]) -> Optional[Entry]:
        """Return the winner of a duel, or None: then the defaults stay."""
        self._measure(candidates, 1)
        for turn in range(2, ROUNDS + 1):
            better = _go_on(self.entries)
            self._measure(better + (list(self._together(better)) if turn == 2 else []), turn)
        return next((entry for entry in self._finalists() if self._wins(entry)), None)

    def _measure(self, entries: Sequence[Entry], turn: int) -> List[Entry]:
        """Measure them, as long as there is time left for a duel; return those that ran."""
        self.entries += [entry for entry in entries if entry not in self.entries]
        pairs = self._arena.pace.pairs * 2 ** (turn - 1)
        ran = []
        for entry in entries:
            if self._arena.budget.left_s < self._arena.needs_s(pairs) + self._duel_s():
                continue
            self._show(f'round {turn}: {entry.trial.name}', self.entries)
            if self._meet(entry, pairs, turn):
                ran.append(entry)
        return ran

    def _meet(self, entry: Entry, pairs: int, turn: int) -> bool:
        try:
            met = self._arena.meet(entry.trial, pairs, f'round {turn}', turn)
        except BackendError as error:
            entry.status, entry.reason = FAILED, str(error)
            return False
        entry.info, entry.tight_ms = met.info, met.tight_ms
        entry.add(met.pairs)
        return True

    def _together(self, better: Sequence[Entry]) -> Iterator[Entry]:
        """Yield the best changes of one option, taken together."""
        single = [entry for entry in ranked(better) if entry.found and entry.found.promising]
        known = {entry.trial.name for entry in self.entries}
        for one, other in combinations(single[:TOGETHER], 2):
            changes = _joined(one.trial, other.trial)
            trial = one.trial.with_changes(changes) if changes else one.trial
            if trial.name not in known:
                known.add(trial.name)
                yield Entry(trial, 'two changes that were ahead')

    def _finalists(self) -> List[Entry]:
        """Return who is worth a duel: the best by score, and one that takes less processor."""
        worth = [entry for entry in ranked(self.entries)
                 if entry.found and entry.found.promising and entry.status in (AHEAD, EQUAL)]
        thrifty = sorted(worth, key=lambda entry: entry.found.cpu.value if entry.found else 0.0)
        return list({entry.trial.name: entry for entry in worth[:1] + thrifty[:1] + worth[1:]
                     }.values())[:FINALISTS]

    def _wins(self, entry: Entry) -> bool:
        """Check its results, then let it meet the baseline in new processes."""
        if self._arena.budget.left_s < self._duel_s():
            entry.status, entry.reason = UNCONFIRMED, 'the time was over before its duel'
            return False
        try:
            self._show(f'results of {entry.trial.name}', self.entries)
            problem = check_truth(self._arena, entry.trial)
            if problem:
                entry.status, entry.reason = DIFFERS, problem
                return False
            self._duel(entry)
        except BackendError as error:
            entry.status, entry.reason = FAILED, str(error)
            return False
        return self._decide(entry)

    def _duel(self, entry: Entry) -> None:
        for start in range(MOST_STARTS):
            if start == STARTS and (verdict(entry.duel) != EQUAL
                                    or not compare(entry.duel).promising):
                return
            if self._arena.budget.left_s < self._arena.needs_s(self._duel_pairs):
                return
            self._show(f'duel {start + 1} of {STARTS} to {MOST_STARTS}: {entry.trial.name}',
                       self.entries)
            entry.duel += self._arena.meet(entry.trial, self._duel_pairs, f'duel {start}',
                                           start).pairs

    def _decide(self, entry: Entry) -> bool:
        if len({pair.start for pair in entry.duel}) < STARTS:
            entry.status, entry.reason = UNCONFIRMED, 'the time was over in its duel'
            return False
        said = verdict(entry.duel)
        entry.judge(entry.duel)
        if said == WINNER:
            entry.status = WINNER
        elif said == EQUAL:
            entry.status, entry.reason = UNCONFIRMED, 'its lead was not beyond noise in the duel'
        return said == WINNER

    def _duel_s(self) -> float:
        """Return how long a check and a duel take."""
        return self._arena.needs_s(MOST_STARTS * self._duel_pairs, 1 + MOST_STARTS)


def ranked(entries: Sequence[Entry]) -> List[Entry]:
    """Sort by score; of two equal within noise, the one with less processor time is first."""
    found = sorted((entry for entry in entries if entry.found), key=_score)
    for at in range(len(found) - 1, 0, -1):
        before, after = found[at - 1], found[at]
        if _score(after) <= _score(before) * (1 + LEAST) and \
                _cpu(after) <= _cpu(before) * (1 - LEAST_CPU):
            found[at - 1:at + 1] = [after, before]
    return found


def _go_on(entries: Sequence[Entry]) -> List[Entry]:
    """Return the better ones, and the one with the least processor time that is not slower."""
    alive = [entry for entry in ranked(entries) if entry.status in (AHEAD, EQUAL)]
    kept = alive[:max(FEWEST, math.ceil(len(alive) / KEPT))]
    thrifty = min(alive, key=_cpu, default=None)
    return kept + ([thrifty] if thrifty and thrifty not in kept and _cpu(thrifty) < 1.0 else [])


def _joined(one: Trial, other: Trial) -> Mapping[str, Any]:
    """Return the changes of both, none if they contradict or belong to two runtimes."""
    first, second = one.changed, other.changed
    agree = all(first.get(name, value) == value for name, value in second.items())
    return {**first, **second} if agree and one.runtime == other.runtime else {}


def _score(entry: Entry) -> float:
    return entry.found.score.value if entry.found else math.inf


def _cpu(entry: Entry) -> float:
    return entry.found.cpu.value if entry.found else math.inf
