"""The time that there is: what no longer fits is named, and nothing else is measured worse."""

import time
from typing import Iterable, Iterator

from ....errors import VlaNavError


class LimitError(VlaNavError):
    """The time limit is over."""


class Budget:
    """Seconds that run out."""

    def __init__(self, limit_s: float) -> None:
        """Start now."""
        self.limit_s = limit_s
        self._end_s = time.monotonic() + limit_s

    @property
    def left_s(self) -> float:
        """Return what is left, 0 when it is over."""
        return max(self._end_s - time.monotonic(), 0.0)

    def share(self, count: int, reserve_s: float = 0.0) -> 'Budget':
        """Return a part of what is left, as for one of `count`, less what comes after it."""
        return Budget(max(self.left_s / count - reserve_s, 0.0))

    def watch(self, items: Iterable[int]) -> Iterator[int]:
        """Return the items as long as there is time, then raise LimitError."""
        for item in items:
            if not self.left_s:
                raise LimitError(f'the {self.limit_s:.0f} s that there were for it are over')
            yield item
