"""
When a time counts as slower than expected, and when no longer.

A shared machine's times drift by more than 10 % while nothing is wrong. So a cause that shows in
the same seconds is believed at once, and a slow-down without one has to last.
"""

from collections import deque
from math import inf
from statistics import median
from typing import Deque, Optional

from .blocks import Block
from .expected import Normal

SLOWER = 0.10  # more than expected
SHORT = 3  # blocks of a second in a row, with a cause
CLEAR, CLEAR_BLOCKS = 2.5, 2  # times the threshold, for which fewer blocks are enough
LONG_S = 60.0  # of driving, without one: neighbours on a host slow it down for half of that
MARGIN = 1.5  # times the drift that was seen while learning, without one
OVER = 0.7  # share of the threshold below which it is over
OVER_BLOCKS = 5
MOST_BLOCKS = 90
GAP_S = 10.0  # without a block: what was before is forgotten


class Judge:
    """Judges one time by its blocks."""

    def __init__(self, name: str) -> None:
        """Judge the time of this name in a block."""
        self.name = name
        self.since_s: Optional[float] = None  # when it became slower; None while it is not
        self._blocks: Deque[Block] = deque(maxlen=MOST_BLOCKS)

    def add(self, block: Block) -> None:
        """Take a block; one after a longer gap begins anew."""
        if self._blocks and block.at_s - self._blocks[-1].at_s > GAP_S + block.seconds:
            self.forget()
        self._blocks.append(block)

    def forget(self) -> None:
        """Begin anew, because something else is expected now."""
        self._blocks.clear()
        self.since_s = None

    def slower(self, normal: Normal) -> float:
        """Return by which share the newest blocks are slower than expected."""
        newest = [block.medians[self.name] for block in list(self._blocks)[-SHORT:]]
        return median(newest) / normal.p50 - 1.0 if newest else 0.0

    def is_suspicious(self, normal: Normal) -> bool:
        """Return whether the newest block alone is slower."""
        return bool(self._blocks) and self._excess(self._blocks[-1], normal) > SLOWER

    @property
    def newest_s(self) -> float:
        """Return the end of the newest block."""
        return self._blocks[-1].at_s if self._blocks else -inf

    def judge(self, normal: Normal, has_cause: bool, unknown: bool = True) -> bool:
        """
        Return whether it is slower.

        `has_cause`: something changed that explains it; `unknown`: without that too, if it lasts.
        """
        if self.since_s is not None:
            if self._is_over(normal):
                self.forget()
        elif (has_cause and self._is_short(normal)) or (unknown and self._is_long(normal)):
            self.since_s = self._onset(normal)
        return self.since_s is not None

    def describe(self, normal: Normal) -> str:
        """Return how much slower it is, in words."""
        slower = max(self.slower(normal), 0.0)
        return (f'{self.name} is {slower:.0%} slower than expected (p50 '
                f'{normal.p50 * (1.0 + slower):.2f} ms, not {normal.p50:.2f})')

    def _is_short(self, normal: Normal) -> bool:
        threshold = max(SLOWER, normal.short_noise)
        return self._least(SHORT, normal) > threshold or (
            self._least(CLEAR_BLOCKS, normal) > CLEAR * threshold)

    def _least(self, count: int, normal: Normal) -> float:
        """Return the least that the newest blocks are slower by; 0 if they are too few."""
        newest = [self._excess(block, normal) for block in list(self._blocks)[-count:]]
        return min(newest) if len(newest) == count else 0.0

    def _is_long(self, normal: Normal) -> bool:
        seconds, newest = 0.0, []
        for block in reversed(self._blocks):
            newest.append(self._excess(block, normal))
            seconds += block.seconds
            if seconds >= LONG_S:  # and still
                return not self._is_over(normal) and median(newest) > max(
                    SLOWER, MARGIN * normal.long_noise)
        return False

    def _is_over(self, normal: Normal) -> bool:
        newest = [self._excess(block, normal) for block in list(self._blocks)[-OVER_BLOCKS:]]
        return len(newest) == OVER_BLOCKS and median(newest) < OVER * max(
            SLOWER, normal.short_noise)

    def _onset(self, normal: Normal) -> float:
        """Return when the blocks began to be slower."""
        since_s = self._blocks[-1].at_s
        for block in reversed(self._blocks):
            if self._excess(block, normal) <= SLOWER / 2:
                break
            since_s = block.at_s - block.seconds
        return since_s

    def _excess(self, block: Block, normal: Normal) -> float:
        return block.medians[self.name] / normal.p50 - 1.0
