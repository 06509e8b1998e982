"""What pairs of short blocks say: ratios with their confidence intervals, and a verdict."""

from typing import Callable, Dict, List, NamedTuple, Optional, Sequence

import numpy as np

RESAMPLES = 1000
CONFIDENCE = 0.99  # of an interval; a duel looks at three of them
LEAST = 0.03  # by which a winner is quicker, beside being beyond noise
LEAST_CPU = 0.10  # less processor time that wins alone, at the same times
# A winner's other figures may not be worse than this, nor worse beyond noise.
SLACK = 0.03
# The tail is the geometric mean of these quantiles: p99 alone hangs on a few steps.
TAIL, TAIL_OF_FEW = (0.95, 0.99), (0.90, 0.95)
FEW_STEPS = 200
FEW_PAIRS = 6  # fewer say nothing of how a tail varies
TAIL_WEIGHT = 2 / 3  # in the score; the rest is the median
PROMISING, PROMISING_CPU = 0.985, 0.93  # ratios that are worth a duel
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

    @property
    def worse(self) -> bool:
        """Return whether it is larger beyond noise."""
        return self.low > 1.0

    def better(self, least: float) -> bool:
        """Return whether it is smaller beyond noise, and by at least this share."""
        return self.high < 1.0 and self.value <= 1.0 - least

    @property
    def equal(self) -> bool:
        """Return whether it is not worse, but for a little that noise explains."""
        return not self.worse and self.value <= 1.0 + SLACK


class Comparison(NamedTuple):
    """A trial against the baseline."""

    score: Ratio  # p99 first: of the tail and the median
    tail: Ratio
    p99: Ratio
    p50: Ratio
    cpu: Ratio

    @property
    def promising(self) -> bool:
        """Return whether it is worth a duel."""
        return not self.p50.worse and (
            min(self.score.value, self.p50.value) <= PROMISING
            or (self.cpu.value <= PROMISING_CPU and self.score.value <= 1.0 + SLACK))


Figure = Callable[[np.ndarray, np.ndarray], np.ndarray]  # ms [..., steps], cpu [..., blocks]
FIGURES: Dict[str, Figure] = {
    'score': lambda ms, cpu: _tail(ms) ** TAIL_WEIGHT * np.median(ms, axis=-1) ** (
        1 - TAIL_WEIGHT),
    'tail': lambda ms, cpu: _tail(ms),
    'p99': lambda ms, cpu: np.quantile(ms, 0.99, axis=-1),
    'p50': lambda ms, cpu: np.median(ms, axis=-1),
    'cpu': lambda ms, cpu: cpu.mean(axis=-1)}


def compare(pairs: Sequence[Pair], seed: int = 0) -> Comparison:
    """
    Compare the sides of some pairs.

    The bootstrap draws whole pairs, since steps that follow each other are alike.
    """
    chosen = np.random.default_rng(seed).integers(len(pairs), size=(RESAMPLES, len(pairs)))
    baseline, trial = ([_side(pairs, side), _side(pairs, side, chosen)]
                       for side in ('baseline', 'trial'))
    return Comparison(**{name: _ratio(baseline, trial, figure)
                         for name, figure in FIGURES.items()})


def verdict(pairs: Sequence[Pair]) -> str:
    """
    Return whether the trial wins, is equal within noise, or slower.

    A winner leads beyond noise over all pairs, and in those of every start of the processes:
    where a process has its memory makes a difference of its own.
    """
    found = compare(pairs)
    if _wins(found) and all(getattr(compare(part), name).value < 1.0
                            for part in by_start(pairs) for name in _leads(found)[:1]):
        return WINNER
    judged = (found.p50, found.tail) if len(pairs) >= FEW_PAIRS else (found.p50,)
    slower = any(ratio.worse and ratio.value >= 1.0 + LEAST for ratio in judged)
    return SLOWER if slower else EQUAL


def by_start(pairs: Sequence[Pair]) -> List[List[Pair]]:
    """Return the pairs of each start."""
    starts = dict.fromkeys(pair.start for pair in pairs)
    return [[pair for pair in pairs if pair.start == start] for start in starts]


def figures(pairs: Sequence[Pair], side: str, period_ms: float) -> Dict[str, float]:
    """Return p50, p95, p99, the share over the period, and processor time a step, of a side."""
    ms, cpu = _side(pairs, side)
    p50, p95, p99 = np.quantile(ms, (0.5, 0.95, 0.99))
    return {'p50': float(p50), 'p95': float(p95), 'p99': float(p99), 'steps': ms.size,
            'late': float((ms > period_ms).mean()), 'cpu_ms': float(cpu.mean())}


def why(found: Comparison) -> str:
    """Return in words what a trial leads by."""
    names = {'tail': 'p95 to p99', 'p50': 'median', 'cpu': 'processor time'}
    return ', '.join(f'{1 - getattr(found, name).value:.0%} less {names[name]}'
                     for name in _leads(found))


def _wins(found: Comparison) -> bool:
    return bool(_leads(found)) and found.tail.equal and not found.p50.worse and (
        found.p50.equal or 'tail' in _leads(found))


def _leads(found: Comparison) -> List[str]:
    """Return the figures by which it wins."""
    quicker = [name for name in ('p50', 'tail') if getattr(found, name).better(LEAST)]
    return quicker + ['cpu'] * found.cpu.better(LEAST_CPU)


def _side(pairs: Sequence[Pair], side: str,
          chosen: Optional[np.ndarray] = None) -> List[np.ndarray]:
    """Return the times and the processor times of one side, of all pairs or of chosen ones."""
    blocks: List[Block] = [getattr(pair, side) for pair in pairs]
    least = min(block.ms.size for block in blocks)
    ms, cpu = np.stack([block.ms[:least] for block in blocks]), np.array(
        [block.cpu_ms for block in blocks])
    if chosen is None:
        return [ms.ravel(), cpu]
    return [ms[chosen].reshape(len(chosen), -1), cpu[chosen]]


def _ratio(baseline: Sequence[Sequence[np.ndarray]], trial: Sequence[Sequence[np.ndarray]],
           figure: Figure) -> Ratio:
    value, many = (figure(*one) / figure(*other) for one, other in zip(trial, baseline))
    edge = (1 - CONFIDENCE) / 2
    low, high = np.quantile(many, (edge, 1 - edge))
    return Ratio(float(value), float(low), float(high))


def _tail(ms: np.ndarray) -> np.ndarray:
    quantiles = TAIL if ms.shape[-1] >= FEW_STEPS else TAIL_OF_FEW
    return np.exp(np.log(np.quantile(ms, quantiles, axis=-1)).mean(axis=0))
