"""On how many cores each thread of this process may run: taskset, cpusets, cores switched off."""

from contextlib import suppress
import os
from typing import Callable, Dict, Sequence, Set

from .kernel_files import LINUX, Roots

Masks = Dict[int, int]  # thread: the number of cores that it may use


class MaskReader:
    """Asks for the mask of each thread; they may differ."""

    def __init__(self, roots: Roots = LINUX,
                 mask: Callable[[int], Set[int]] = os.sched_getaffinity) -> None:
        """Take what returns the cores that a thread may use."""
        self._tasks = f'{roots.proc}/self/task'
        self._mask = mask

    def read(self) -> Masks:
        """Return the number of cores for each thread; empty if they cannot be listed."""
        masks: Masks = {}
        with suppress(OSError):
            for task in map(int, os.listdir(self._tasks)):
                with suppress(OSError):  # it has ended
                    masks[task] = len(self._mask(task))
        return masks


def explain(before: Sequence[Masks], now: Sequence[Masks]) -> str:
    """Return that threads may use fewer cores than before."""
    if not before or not now:
        return ''
    fewer = [(cores, before[-1][task]) for task, cores in now[-1].items()
             if cores < before[-1].get(task, 0)]
    if not fewer:
        return ''
    cores, had = min(fewer)
    return (f'{len(fewer)} threads of this process may use {cores} '
            f'core{"s" if cores > 1 else ""} only, {had} before (taskset, cpuset, or cores that '
            'are off)')
