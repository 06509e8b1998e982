"""Where trials meet the baseline: in pairs of short blocks, at the robot's own pace."""

from contextlib import contextmanager, ExitStack
from dataclasses import asdict
import time
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Tuple

import numpy as np

from .measured.tuned_process import PATIENCE_S, TunedProcess
from .paired_blocks import Block, Pair
from .trial import Trial
from .tune_journal import Journal
from ..models.runners.row_process import Budget

# Steps that count, and steps before them, of one turn. Short ones: where the kernel puts a process
# makes a whole turn quicker or slower, so many turns say more than long ones.
BLOCK, SETTLE = 10, 2
OPENING_S = 300.0  # at most: an engine, or compiled code
USUAL_OPENING_S = 1.5  # until one has been opened
DIGITS = 4  # of a time in ms in the journal


class Pace(NamedTuple):
    """How trials are measured."""

    period_ms: float = 20.0
    warmup: int = 50  # steps back to back
    runs: int = 100  # paced steps of a trial in its first round
    patience_s: float = PATIENCE_S

    @property
    def pairs(self) -> int:
        """Return how many pairs of blocks the first round has."""
        return max(2, self.runs // BLOCK)

    @property
    def pair_s(self) -> float:
        """Return how long a pair takes."""
        return 2 * (BLOCK + SETTLE) * self.period_ms / 1e3


class Met(NamedTuple):
    """A trial's measurement."""

    pairs: List[Pair]
    tight_ms: float  # median of a step back to back
    info: Dict[str, str]


class Arena:
    """Opens trials, runs them beside the baseline, and keeps what was measured."""

    def __init__(self, baseline: Trial, pace: Pace, budget: Budget, journal: Journal) -> None:
        """Open nothing yet."""
        self.baseline, self.pace = baseline, pace
        self.budget, self._journal = budget, journal
        self._openings: List[float] = []
        self._began_s, self._before_s = time.monotonic(), journal.spent_s

    def meet(self, trial: Trial, pairs: int, turn: str, start: int = 0) -> Met:
        """
        Measure a trial beside the baseline, or raise BackendError.

        Both are in new processes: in its first seconds a process is slower than later on.
        """
        return _met(self.once(f'{turn}, {trial.name}',
                              lambda: _plain(self._beside(trial, pairs, start))))

    def once(self, name: str, measure: Callable[[], Any]) -> Any:
        """Return what the journal has of this name, or measure it now."""
        def timed() -> Any:
            found = measure()
            self._journal.spent_s = self._before_s + time.monotonic() - self._began_s
            return found
        return self._journal.once(name, timed)

    def baseline_info(self) -> Dict[str, str]:
        """Return what the baseline really is; raise BackendError if it does not open."""
        def info() -> Dict[str, str]:
            with self.open(self.baseline) as (process,):
                return asdict(process.open.info)
        return dict(self.once('baseline', info))

    @contextmanager
    def open(self, *trials: Trial) -> Iterator[List[TunedProcess]]:  # noqa: A003, RUF100
        """Open trials at the same time, each in a process of its own, and end them."""
        begin_s = time.monotonic()
        with ExitStack() as stack:
            processes = []
            for trial in trials:
                processes.append(TunedProcess(trial, self.pace.patience_s))
                stack.callback(processes[-1].close)
            for process in processes:
                process.wait(min(OPENING_S, max(self.budget.left_s, 1.0)))
            self._openings.append(time.monotonic() - begin_s)
            yield processes

    def needs_s(self, pairs: int, openings: int = 1) -> float:
        """Return about how long a measurement takes."""
        usual = float(np.mean(self._openings)) if self._openings else USUAL_OPENING_S
        return openings * (usual + self.pace.pair_s) + pairs * self.pace.pair_s

    def _beside(self, trial: Trial, pairs: int, start: int) -> Met:
        order = (self.baseline, trial) if start % 2 else (trial, self.baseline)
        with self.open(*order) as opened:
            tight_ms = [process.warm_up(self.pace.warmup) for process in opened]
            if not start % 2:
                opened.reverse()
                tight_ms.reverse()
            baseline, other = opened
            self._pair(baseline, other, 0, start)  # the first turns do not count
            return Met([self._pair(baseline, other, number, start) for number in range(pairs)],
                       tight_ms[1], asdict(other.open.info))

    def _pair(self, baseline: TunedProcess, trial: TunedProcess, number: int, start: int) -> Pair:
        """Run a block of each; which one is first changes, so that neither has the better turn."""
        first, second = (baseline, trial) if number % 2 == 0 else (trial, baseline)
        blocks = {id(one): one.block(BLOCK, SETTLE, self.pace.period_ms / 1e3)
                  for one in (first, second)}
        return Pair(blocks[id(baseline)], blocks[id(trial)], start)


def _plain(met: Met) -> Dict[str, Any]:
    """Return a measurement for JSON."""
    def plain(block: Block) -> Tuple[List[float], float]:
        return [round(float(ms), DIGITS) for ms in block.ms], block.cpu_ms
    return {'pairs': [[plain(pair.baseline), plain(pair.trial), pair.start]
                      for pair in met.pairs], 'tight_ms': met.tight_ms, 'info': met.info}


def _block(found: Tuple[List[float], float]) -> Block:
    return Block(np.array(found[0]), found[1])


def _met(found: Dict[str, Any]) -> Met:
    pairs = [Pair(_block(baseline), _block(trial), start)
             for baseline, trial, start in found['pairs']]
    return Met(pairs, found['tight_ms'], found['info'])
