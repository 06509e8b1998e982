"""Which other processes use the most CPU time. proc(5)."""

import os
import time
from typing import Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple

from .cpu_use import LEAST_S, TICKS_PER_S
from .kernel_files import LINUX, read_text, Roots

MOST = 3  # processes in one sentence
LEAST_CORES = 0.1  # below, a process is not named
MOST_S = 15.0  # an older reading says nothing about now
STARTED = 19  # column behind the name; with the pid it tells processes apart, which rename

Process = Tuple[int, str]  # pid, start


class Busy(NamedTuple):
    """One process and the cores that it uses."""

    name: str
    pid: int
    cores: float


class BusyReader:
    """Reads the times of all processes: milliseconds, so only when something is wrong."""

    def __init__(self, roots: Roots = LINUX,
                 clock_s: Callable[[], float] = time.monotonic) -> None:
        """Take the clock."""
        self._roots = roots
        self._clock_s = clock_s
        self._before: Tuple[float, Dict[Process, int]] = (0.0, {})

    def read(self) -> Optional[List[Busy]]:
        """Return the busiest other processes since the last call; None at the first."""
        (before_s, before), now_s = self._before, self._clock_s()
        if before and now_s - before_s < LEAST_S:
            return None
        names, ticks = self._ticks()
        self._before = (now_s, ticks)
        if not before or now_s - before_s > MOST_S:
            return None
        span = (now_s - before_s) * TICKS_PER_S
        # One that has just begun has no time before.
        busy = [Busy(names[one], one[0], (spent - before.get(one, 0)) / span)
                for one, spent in ticks.items()]
        return sorted(busy, key=lambda one: -one.cores)[:MOST]

    def _ticks(self) -> Tuple[Dict[Process, str], Dict[Process, int]]:
        """Return the names and the CPU time of the other processes."""
        names, ticks, own = {}, {}, str(os.getpid())
        for entry in _listed(self._roots.proc):
            if entry.isdigit() and entry != own:
                head, _, tail = read_text(f'{self._roots.proc}/{entry}/stat').rpartition(')')
                numbers = tail.split()
                if len(numbers) > STARTED:  # else it has ended
                    process = int(entry), numbers[STARTED]
                    names[process] = head.partition('(')[2]
                    ticks[process] = int(numbers[11]) + int(numbers[12])
        return names, ticks


def _listed(directory: str) -> List[str]:
    try:
        return os.listdir(directory)
    except OSError:
        return []


def explain(before: Sequence[List[Busy]], now: Sequence[List[Busy]]) -> str:
    """Return the busiest of the newest sample."""
    named = [f'{one.name} (pid {one.pid}) {one.cores:.1f}' for one in (now[-1] if now else ())
             if one.cores >= LEAST_CORES]
    return 'most: ' + ', '.join(named) if named else ''
