"""Who uses the cores that this process may use: itself, others, or the host. proc(5)."""

import os
import time
from typing import Callable, Dict, FrozenSet, List, NamedTuple, Optional, Sequence, Tuple

from .kernel_files import LINUX, read_text, Roots

TICKS_PER_S = os.sysconf('SC_CLK_TCK')
LEAST_S = 0.2  # between two samples; below, the ticks of 10 ms are too coarse
BUSY, STOLEN = (0, 1, 2, 5, 6), 7  # user, nice, system, irq, softirq; taken by the host
# Changes that count. Less is what a machine does for itself.
MORE_CORES, MORE_SHARE = 0.4, 0.1  # cores, and share of those that this process may use
MORE_STOLEN = 0.03  # share of the time
LOADED = 0.25  # share of these cores; a camera's driver and the like use less


class CpuUse(NamedTuple):
    """The use of the cores between two readings."""

    cores: int  # that this process may use
    others: float  # of them, in use by other processes
    own: float  # in use by this process
    stolen: float  # share of their time that the host took away


class _Times(NamedTuple):
    at_s: float
    cores: Dict[str, List[int]]  # ticks of each core
    own: int  # ticks


class CpuReader:
    """Reads /proc/stat and /proc/self/stat."""

    def __init__(self, roots: Roots = LINUX, clock_s: Callable[[], float] = time.monotonic,
                 allowed: Callable[[], FrozenSet[int]] = lambda: frozenset(
                     os.sched_getaffinity(os.getpid()))) -> None:
        """Take the clock, and what returns the cores that this process may use."""
        self._roots = roots
        self._clock_s = clock_s
        self._allowed = allowed
        self._before: Optional[_Times] = None

    def read(self) -> Optional[CpuUse]:
        """Return the use since the last call; None at the first, or if it cannot be read."""
        now, before = self._times(), self._before
        if now is None or before is None or now.at_s - before.at_s >= LEAST_S:
            self._before = now
        if now is None or before is None or now.at_s - before.at_s < LEAST_S:
            return None
        return _use(before, now)

    def _times(self) -> Optional[_Times]:
        own = read_text(f'{self._roots.proc}/self/stat').rpartition(')')[2].split()
        lines = [line.split() for line in read_text(f'{self._roots.proc}/stat').splitlines()]
        allowed = {f'cpu{core}' for core in self._allowed()}
        cores = {name: list(map(int, ticks)) for name, *ticks in filter(None, lines)
                 if name in allowed}
        if len(own) < 13 or not cores:
            return None
        return _Times(self._clock_s(), cores, int(own[11]) + int(own[12]))


def _use(before: _Times, now: _Times) -> CpuUse:
    span = (now.at_s - before.at_s) * TICKS_PER_S
    common = now.cores.keys() & before.cores.keys()
    used, stolen = (sum(now.cores[core][row] - before.cores[core][row]
                        for core in common for row in rows if row < len(now.cores[core]))
                    for rows in (BUSY, (STOLEN,)))
    own = (now.own - before.own) / span
    return CpuUse(len(now.cores), max(used / span - own, 0.0), own,
                  stolen / span / max(len(common), 1))


def explain_others(before: Sequence[CpuUse], now: Sequence[CpuUse]) -> str:
    """Return that other processes use more of the cores than before."""
    return _grown(before, now, 'others', 'other processes use')


def explain_own(before: Sequence[CpuUse], now: Sequence[CpuUse]) -> str:
    """Return that this process itself uses more of the cores than before."""
    return _grown(before, now, 'own', 'this process itself uses')


def explain_stolen(before: Sequence[CpuUse], now: Sequence[CpuUse]) -> str:
    """Return that the host of this virtual machine takes more of its time than before."""
    was, is_now = _change('stolen', before, now)
    if is_now - was < MORE_STOLEN:
        return ''
    return (f'the host of this virtual machine takes {is_now:.0%} of its time (steal), '
            f'{was:.0%} before')


def explain_load(uses: Sequence[CpuUse]) -> str:
    """Return what disturbs a measurement; '' on a quiet machine."""
    others, stolen = (sum(getattr(use, field) for use in uses) / max(len(uses), 1)
                      for field in ('others', 'stolen'))
    if uses and others > LOADED * uses[-1].cores:
        return f'other processes used {others:.1f} of {uses[-1].cores} cores'
    return f'the host took {stolen:.0%} of the time' if stolen > MORE_STOLEN else ''


def explain_idler(before: Sequence[CpuUse], now: Sequence[CpuUse]) -> str:
    """Return that other processes use less than before: what sleeps has to wake up first."""
    was, is_now = _change('others', before, now)
    if not now or was - is_now < max(MORE_CORES, MORE_SHARE * now[-1].cores):
        return ''
    return (f'other processes use {is_now:.1f} cores, {was:.1f} before, so the cores sleep in '
            'between')


def _grown(before: Sequence[CpuUse], now: Sequence[CpuUse], field: str, text: str) -> str:
    was, is_now = _change(field, before, now)
    cores = now[-1].cores if now else 0
    if is_now - was < max(MORE_CORES, MORE_SHARE * cores):
        return ''
    return f'{text} {is_now:.1f} of {cores} core{"s" if cores > 1 else ""}, {was:.1f} before'


def _change(field: str, before: Sequence[CpuUse], now: Sequence[CpuUse]) -> Tuple[float, float]:
    """Return the mean of a field before, and what it is at least now; 0 without samples."""
    was = sum(getattr(use, field) for use in before) / max(len(before), 1)
    return was, min((getattr(use, field) for use in now), default=0.0)
