"""The clocks of the cores and of an integrated GPU, and their governors: cpufreq and devfreq."""

import os
from statistics import median
from typing import Dict, List, NamedTuple, Sequence

from .kernel_files import LINUX, matching, read_number, read_text, Roots

LOWER = 0.9  # of the clock before; between two readings clocks move by less under a fixed load
# Patterns of the directories, and what the names of their files begin with; kHz and Hz.
PLACES = (('devices/system/cpu/cpufreq/policy*', 'scaling_{}', 'scaling_{}_freq', 1e3),
          ('class/devfreq/*gpu*', '{}', '{}_freq', 1.0),
          ('class/devfreq/*.g[akpv]*', '{}', '{}_freq', 1.0))  # Jetson's names of its GPUs


class Clock(NamedTuple):
    """One clock; 0 or '' where the kernel does not tell."""

    governor: str
    most_hz: float  # that the governor may choose
    hz: float


Clocks = Dict[str, Clock]  # by the name of the directory


class ClockReader:
    """Reads all clocks that this kernel shows; virtual machines have none."""

    def __init__(self, roots: Roots = LINUX) -> None:
        """Find the clocks."""
        self._places = [(path, *place[1:]) for place in PLACES
                        for path in matching(roots.sys, place[0])]

    def read(self) -> Clocks:
        """Return the clocks by name."""
        return {os.path.basename(path): Clock(
            read_text(os.path.join(path, text.format('governor'))),
            *(unit_hz * (read_number(os.path.join(path, number.format(kind))) or 0)
              for kind in ('max', 'cur')))
            for path, text, number, unit_hz in self._places}


def explain(before: Sequence[Clocks], now: Sequence[Clocks]) -> str:
    """Return the first clock whose governor, limit or clock is another than before."""
    if not before or not now:
        return ''
    for name in now[-1].keys() & before[-1].keys():
        was, is_now = before[-1][name], now[-1][name]
        if is_now.governor != was.governor:
            return (f'the governor of {name} is {is_now.governor}, {was.governor} before')
        if is_now.most_hz < LOWER * was.most_hz:
            return f'the clock of {name} is limited to {_mhz(is_now.most_hz, was.most_hz)}'
    had, has = _typical(before), _typical(now)
    slower = {name: has[name] / had[name] for name in has.keys() & had.keys() if had[name]}
    if not slower or min(slower.values()) >= LOWER:
        return ''
    name = min(slower, key=lambda one: slower[one])
    return f'the clock of {name} is {_mhz(has[name], had[name])}'


def _typical(samples: Sequence[Clocks]) -> Dict[str, float]:
    """Return the median of each clock, Hz."""
    seen: Dict[str, List[float]] = {}
    for clocks in samples:
        for name, clock in clocks.items():
            seen.setdefault(name, []).append(clock.hz)
    return {name: median(values) for name, values in seen.items()}


def _mhz(now_hz: float, before_hz: float) -> str:
    return f'{now_hz / 1e6:.0f} MHz, {before_hz / 1e6:.0f} before'
