"""What pairs of short blocks say: ratios with their confidence intervals, and a verdict."""

from typing import Any, Callable, Dict, List, NamedTuple, Sequence, Tuple

import numpy as np

RESAMPLES = 1000
CONFIDENCE = 0.998  # of an interval; a verdict looks at four of them
SURE = 0.99  # share of the resamples in which what is called slower is slower
LUCK = 0.01  # ratio that two processes of one trial may have, by where their memory lies
LEAST = 0.03  # by which a winner is quicker, beside being beyond noise
LEAST_CPU = 0.10  # less processor time that wins alone, at the same times
SLACK = 0.03  # by which the times may then be longer, for noise
TAIL = 0.9  # quantile of a block: its slowest steps, but no single one
TAIL_WEIGHT = 2 / 3  # in the score; the rest is the median
PROMISING, PROMISING_CPU = 0.985, 0.93  # ratios that are worth a duel
FEW_PAIRS = 12  # of fewer, only what is slower by this much is called so
FEW_SLOWER = 0.25
AHEAD = 0.8  # share of the starts: all of three, five of six
WINNER, EQUAL, SLOWER = 'winner', 'equal within noise', 'slower'


class Block(NamedTuple):
    """The steps of one turn."""

    ms: np.ndarray  # float64 [steps]
    cpu_ms: float  # processor time a step, all threads, waiting and rehearsals included


class Pair(NamedTuple):
    """A block of the baseline and one of a trial, one right after the other."""

    baseline: Block
    trial: Block
    start: int = 0  # number of the processes that ran them


class Ratio(NamedTuple):
    """A figure of a trial over that of the baseline, with its confidence interval."""

    value: float
    low: float
    high: float
    above: float  # share of the resamples in which it is larger

    @property
    def worse(self) -> bool:
        """Return whether it is larger beyond noise."""
        return self.above >= SURE

    def better(self, least: float) -> bool:
        """Return whether it is smaller beyond noise, and by at least this share."""
        return self.high < 1.0 - LUCK and self.value <= 1.0 - least

    @property
    def equal(self) -> bool:
        """Return whether it is not worse, but for a little that noise explains."""
        return not self.worse and self.value <= 1.0 + SLACK


class Comparison(NamedTuple):
    """A trial against the baseline."""

    score: Ratio  # of the tail and the median; what is ranked
    tail: Ratio  # of the slowest tenth of each block
    p99: Ratio  # of all steps together
    p50: Ratio
    cpu: Ratio

    @property
    def promising(self) -> bool:
        """Return whether it is worth a duel."""
        return not self.p50.worse and (
            min(self.score.value, self.p50.value) <= PROMISING
            or (self.cpu.value <= PROMISING_CPU and self.score.value <= 1.0 + SLACK))


def compare(pairs: Sequence[Pair], seed: int = 0) -> Comparison:
    """
    Compare the sides of some pairs, with intervals by bootstrap.

    Median, tail and processor time are ratios within a pair, so that what disturbs both sides
    cancels out. The bootstrap draws whole pairs, since steps that follow each other are alike.
    """
    chosen = np.random.default_rng(seed).integers(len(pairs), size=(RESAMPLES, len(pairs)))
    baseline, trial = _sides(pairs)
    logs = {'p50': _log(np.median, trial.ms) - _log(np.median, baseline.ms),
            'tail': _log(_tail, trial.ms) - _log(_tail, baseline.ms),
            'cpu': np.log(trial.cpu_ms) - np.log(baseline.cpu_ms)}
    logs['score'] = TAIL_WEIGHT * logs['tail'] + (1 - TAIL_WEIGHT) * logs['p50']
    ratios = {name: _ratio(np.exp(values.mean()), np.exp(values[chosen].mean(axis=1)))
              for name, values in logs.items()}
    return Comparison(**ratios, p99=_ratio(
        _p99(trial.ms.ravel()) / _p99(baseline.ms.ravel()),
        _p99(trial.ms[chosen].reshape(RESAMPLES, -1))
        / _p99(baseline.ms[chosen].reshape(RESAMPLES, -1))))


def verdict(pairs: Sequence[Pair]) -> str:
    """
    Return whether the trial wins, is equal within noise, or slower.

    A winner leads beyond noise over all pairs, and in those of nearly every start of the
    processes: where a process has its memory makes a difference of its own.
    """
    found = compare(pairs)
    parts = [compare(part) for part in by_start(pairs)]
    if _wins(found) and any(np.mean([getattr(part, name).value < 1.0 for part in parts]) >= AHEAD
                            for name in _leads(found)):
        return WINNER
    least = LEAST if len(pairs) >= FEW_PAIRS else FEW_SLOWER
    slower = any(ratio.worse and ratio.value >= 1.0 + least for ratio in (found.p50, found.tail))
    return SLOWER if slower else EQUAL


def by_start(pairs: Sequence[Pair]) -> List[List[Pair]]:
    """Return the pairs of each start."""
    starts = dict.fromkeys(pair.start for pair in pairs)
    return [[pair for pair in pairs if pair.start == start] for start in starts]


def figures(pairs: Sequence[Pair], side: str, period_ms: float) -> Dict[str, float]:
    """Return p50, p95, p99, the share over the period, and processor time a step, of a side."""
    ms, cpu = _sides(pairs)[side == 'trial']
    p50, p95, p99 = np.quantile(ms, (0.5, 0.95, 0.99))
    return {'p50': float(p50), 'p95': float(p95), 'p99': float(p99), 'steps': ms.size,
            'late': float((ms > period_ms).mean()), 'cpu_ms': float(cpu.mean())}


def why(found: Comparison) -> str:
    """Return in words what a trial leads by."""
    names = {'p99': 'p99', 'tail': 'slowest tenth', 'p50': 'median',
             'cpu': 'processor time'}
    return ', '.join(f'{names[name]} {1 - getattr(found, name).value:.0%} less'
                     for name in _leads(found))


def _wins(found: Comparison) -> bool:
    leads = _leads(found)
    if not leads or any(ratio.worse for ratio in (found.p99, found.tail, found.p50)):
        return False
    return leads != ['cpu'] or (found.tail.equal and found.p50.equal)


def _leads(found: Comparison) -> List[str]:
    """Return the figures by which it wins."""
    quicker = [name for name in ('p99', 'tail', 'p50') if getattr(found, name).better(LEAST)]
    return quicker + ['cpu'] * found.cpu.better(LEAST_CPU)


class _Side(NamedTuple):
    """The blocks of one side."""

    ms: np.ndarray  # [pairs, steps]
    cpu_ms: np.ndarray  # [pairs]


def _sides(pairs: Sequence[Pair]) -> Tuple[_Side, _Side]:
    """Return the baseline's and the trial's blocks."""
    def side(blocks: Sequence[Block]) -> _Side:
        return _Side(np.stack([block.ms for block in blocks]),
                     np.array([block.cpu_ms for block in blocks]))
    return side([pair.baseline for pair in pairs]), side([pair.trial for pair in pairs])


def _ratio(value: Any, many: np.ndarray) -> Ratio:
    edge = (1 - CONFIDENCE) / 2
    low, high = np.quantile(many, (edge, 1 - edge))
    return Ratio(float(value), float(low), float(high), float((many > 1.0).mean()))


def _log(figure: Callable[..., np.ndarray], ms: np.ndarray) -> np.ndarray:
    return np.log(figure(ms, axis=-1))


def _tail(ms: np.ndarray, axis: int = -1) -> np.ndarray:
    return np.quantile(ms, TAIL, axis=axis)


def _p99(ms: np.ndarray) -> np.ndarray:
    return np.quantile(ms, 0.99, axis=-1)
