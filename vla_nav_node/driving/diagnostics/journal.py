"""What the log says of the driving: a line when the robot stops, and one when it goes on."""

import logging
import re
import time
from typing import Callable, Optional

LOG = logging.getLogger(__name__)
PATIENCE_S = 5.0  # how long it may stand after the start until the log says why
PAUSE_S = 5.0  # between two lines about stops, however often it stops
NUMBERS = re.compile(r'[-+0-9.]+')  # they change while the reason stays


class Journal:
    """Log what is new; for the thread of the diagnostics, since logging takes its time."""

    def __init__(self, clock_s: Callable[[], float] = time.monotonic) -> None:
        """Take a clock that only runs forward."""
        self._clock_s = clock_s
        self._told: Optional[str] = None  # why it stands; '' while it drives
        self._quiet_s = clock_s() + PATIENCE_S  # nothing about stops until then
        self._stops = 0  # that no line tells of

    def note(self, standing: str, enabled: bool, stops: int, last_stop: str) -> None:
        """
        Take the state of the robot, and log it where it is news.

        `standing` says why it stands, '' if it drives; `stops` counts the stops since the call
        before, the newest for `last_stop`.
        """
        level = logging.WARNING if enabled and standing else logging.INFO
        self._stops += stops
        reason = NUMBERS.sub('', standing)
        if self._told is None or reason != self._told:
            self._turn(reason, standing, level)
        elif self._stops and not standing and self._may():
            LOG.warning('stopped %d times, and drives on: %s', self._stops, last_stop)
            self._stops = 0

    def _turn(self, reason: str, standing: str, level: int) -> None:
        if reason and not self._may():
            return
        first = self._told is None
        if first:  # the next stop is news at once
            self._quiet_s = self._clock_s()
        LOG.log(level, standing or ('drives' if first else 'drives again'))
        self._told, self._stops = reason, 0

    def _may(self) -> bool:
        """Tell whether a line about stops is due, which begins a new pause."""
        now_s = self._clock_s()
        due = now_s >= self._quiet_s
        if due:
            self._quiet_s = now_s + PAUSE_S
        return due
