"""What the node's times should be: given by a tuning, or learned while the machine is quiet."""

from typing import Dict, List, NamedTuple, Sequence

import numpy as np

from .blocks import Block

WARM_UP_S = 5.0  # of driving, which are slower: caches fill, the camera has just started
LEARN_S = 60.0  # of driving on a quiet machine
PATIENCE_S = 180.0  # of driving; then what was seen counts, and it is told under which load
MOST_BLOCKS = 200
STRETCH_S = 15.0  # the medians of such stretches show how the times drift while all is well


class Expected(NamedTuple):
    """A tuning's times of infer, ms; they hold for pictures that come every `period_ms`."""

    p50: float
    p99: float
    period_ms: float


class Normal(NamedTuple):
    """What one time is like while all is well; noise is a share of p50."""

    p50: float  # ms
    short_noise: float = 0.0  # how far three seconds in a row are above it, but for one in 20
    long_noise: float = 0.0  # how far the medians of longer stretches are apart


class Learning:
    """Collects blocks until they suffice."""

    def __init__(self) -> None:
        """Begin without any."""
        self._warm_up_s = WARM_UP_S
        self.quiet: List[Block] = []
        self.all: List[Block] = []

    def add(self, block: Block, is_quiet: bool) -> None:
        """Add a block; quiet: nothing else loads the machine."""
        if self._warm_up_s > 0.0:
            self._warm_up_s -= block.seconds
            return
        self.all = [*self.all[-MOST_BLOCKS:], block]
        if is_quiet:
            self.quiet.append(block)

    @property
    def quiet_s(self) -> float:
        """Return how long it has driven on a quiet machine, s."""
        return sum(block.seconds for block in self.quiet)

    @property
    def is_quiet(self) -> bool:
        """Return whether the quiet blocks are enough."""
        return self.quiet_s >= LEARN_S

    def suffices(self, loaded_too: bool) -> bool:
        """Return whether the quiet blocks are enough, or all of them if `loaded_too`."""
        return self.is_quiet or (
            loaded_too and sum(block.seconds for block in self.all) >= PATIENCE_S)

    def normal(self) -> Dict[str, Normal]:
        """Return what each time is like."""
        blocks = self.quiet if self.is_quiet else self.all
        return {name: normal([block.medians[name] for block in blocks],
                             [block.seconds for block in blocks])
                for name in blocks[0].medians}


def normal(medians: Sequence[float], seconds: Sequence[float]) -> Normal:
    """Return what a time is like whose blocks had these medians (ms) and lengths (s)."""
    values = np.array(medians)
    p50 = float(np.median(values))
    threes = np.lib.stride_tricks.sliding_window_view(values, min(3, len(values))).min(axis=1)
    stretches = (np.cumsum(seconds) // STRETCH_S).astype(int)
    longer = [float(np.median(values[stretches == number])) for number in np.unique(stretches)]
    return Normal(p50, max(float(np.percentile(threes, 95)) / p50 - 1.0, 0.0),
                  (max(longer) - min(longer)) / p50)
