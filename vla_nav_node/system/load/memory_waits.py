"""Whether memory is short: pages that this process has to read back, and waits for memory."""

import time
from typing import Callable, NamedTuple, Optional, Sequence, Tuple

from .cpu_use import LEAST_S
from .kernel_files import LINUX, read_text, Roots

MORE_FAULTS = 5.0  # a second; each costs a read from the disk
MORE_WAITING = 0.05  # share of the time


class MemoryWaits(NamedTuple):
    """Waits between two readings."""

    faults: float  # major page faults of this process, 1/s
    waiting: float  # share of the time in which some process waited for memory


class MemoryReader:
    """Reads /proc/self/stat and /proc/pressure/memory (proc(5), Documentation/accounting/psi)."""

    def __init__(self, roots: Roots = LINUX,
                 clock_s: Callable[[], float] = time.monotonic) -> None:
        """Take the clock."""
        self._roots = roots
        self._clock_s = clock_s
        self._before: Optional[Tuple[float, int, int]] = None

    def read(self) -> Optional[MemoryWaits]:
        """Return the waits since the last call; None at the first, or if it cannot be read."""
        stat = read_text(f'{self._roots.proc}/self/stat').rpartition(')')[2].split()
        if len(stat) < 10:
            return None
        now = (self._clock_s(), int(stat[9]), self._waited_us())
        before, self._before = self._before, now
        if before is None or now[0] - before[0] < LEAST_S:
            return None
        span_s = now[0] - before[0]
        return MemoryWaits((now[1] - before[1]) / span_s, (now[2] - before[2]) / 1e6 / span_s)

    def _waited_us(self) -> int:
        some = read_text(f'{self._roots.proc}/pressure/memory').partition('\n')[0]
        total = some.rpartition('total=')[2]
        return int(total) if total.isdigit() else 0


def explain(before: Sequence[MemoryWaits], now: Sequence[MemoryWaits]) -> str:
    """Return that memory is shorter than before."""
    was, is_now = _mean(before), _mean(now)
    if is_now.faults - was.faults >= MORE_FAULTS:
        return (f'memory is short: {is_now.faults:.0f} major page faults a second, '
                f'{was.faults:.0f} before')
    if is_now.waiting - was.waiting >= MORE_WAITING:
        return (f'memory is short: processes wait for it {is_now.waiting:.0%} of the time, '
                f'{was.waiting:.0%} before')
    return ''


def _mean(samples: Sequence[MemoryWaits]) -> MemoryWaits:
    count = max(len(samples), 1)
    return MemoryWaits(sum(one.faults for one in samples) / count,
                       sum(one.waiting for one in samples) / count)
