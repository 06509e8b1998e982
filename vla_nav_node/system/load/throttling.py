"""
Whether heat or a power limit slows this machine down.

x86 counts throttling for each core (Documentation/ABI/testing/sysfs-devices-system-cpu); boards
such as Jetson show it as cooling devices that are on (Documentation/driver-api/thermal) and
over-currents as events of a sensor (hwmon).
"""

import re
from typing import Dict, NamedTuple, Optional, Sequence

from .kernel_files import LINUX, matching, read_numbers, read_text, Roots

COUNTERS = 'devices/system/cpu/cpu*/thermal_throttle/*_throttle_count'
OVER_CURRENTS = 'class/hwmon/hwmon*/oc*_event_cnt'
COOLING, ZONES = 'class/thermal/cooling_device*', 'class/thermal/thermal_zone*/temp'
SLOWS = re.compile('cpu|gpu|freq|throttle|processor|powerclamp', re.IGNORECASE)  # not fans


class Throttling(NamedTuple):
    """What slows the machine down."""

    events: int  # throttled since the start of the machine
    currents: int  # over-currents since then
    cooling: Dict[str, int]  # cooling devices that slow something, and how much
    hottest_c: float  # 0 if unknown


class ThrottlingReader:
    """Reads counters and cooling devices; the files stay where they were at the start."""

    def __init__(self, roots: Roots = LINUX) -> None:
        """Find the files."""
        self._counters = matching(roots.sys, COUNTERS)
        self._currents = matching(roots.sys, OVER_CURRENTS)
        self._zones = matching(roots.sys, ZONES)
        kinds = {path: read_text(f'{path}/type') for path in matching(roots.sys, COOLING)}
        self._cooling = {path: kind for path, kind in kinds.items() if SLOWS.search(kind)}

    def read(self) -> Optional[Throttling]:
        """Return the state; None if this kernel shows none of it."""
        if not (self._counters or self._currents or self._cooling):
            return None
        cooling = {f'{kind} ({path.rpartition("/")[2]})': sum(read_numbers([f'{path}/cur_state']))
                   for path, kind in self._cooling.items()}
        hottest = max(read_numbers(self._zones), default=0) / 1000.0
        return Throttling(sum(read_numbers(self._counters)), sum(read_numbers(self._currents)),
                          cooling, hottest)


def explain(before: Sequence[Throttling], now: Sequence[Throttling]) -> str:
    """Return what has begun to slow the machine down."""
    if not before or not now:
        return ''
    was, is_now = before[-1], now[-1]
    start = now[0] if len(now) > 1 else was  # counters also move at times when all is well
    heat = f' at {is_now.hottest_c:.0f} degrees C' if is_now.hottest_c else ''
    for name, state in is_now.cooling.items():
        if state > was.cooling.get(name, 0):
            return f'thermal throttling{heat}: {name} is at {state}, {was.cooling[name]} before'
    currents, events = is_now.currents - start.currents, is_now.events - start.events
    if currents > 0:
        return f'over-current: the power supply limits the machine ({currents} events)'
    if events > 0:
        return f'thermal throttling{heat}: the cores were slowed ({events} events)'
    return ''
