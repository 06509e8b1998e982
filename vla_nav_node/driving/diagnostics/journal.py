"""The log of driving: a line when the robot stops, and a line when it drives again."""

import logging
import re
import time
from typing import Callable, Optional

from .stamps import span

LOG = logging.getLogger(__name__)
PATIENCE_S = 5.0  # after the start, until the log says why the robot does not drive
PAUSE_S = 5.0  # between two lines about stops, however often the robot stops
NUMBERS = re.compile(r'[-+0-9.]+')  # they change while the reason stays the same


class Journal:
    """Log changes between driving and standing; logging takes time: not for the driving thread."""

    def __init__(self, clock_s: Callable[[], float] = time.monotonic) -> None:
        """Use a monotonic clock, s."""
        self._clock_s = clock_s
        self._logged: Optional[str] = None  # the reason logged last; '' while driving
        self._quiet_until_s = clock_s() + PATIENCE_S
        self._stops = 0  # not logged yet

    def forget(self) -> None:
        """Begin from the start, because the node is inactive."""
        self._logged, self._stops = None, 0
        self._quiet_until_s = self._clock_s() + PATIENCE_S

    def note(self, standing: str, enabled: bool, stops: int, last_stop: str,
             stood_s: Optional[float] = None) -> None:
        """
        Log the state of the robot if it has changed.

        `standing` is why the robot stands still, '' if it drives; `stops` counts the stops since
        the previous call, the newest of which has the reason `last_stop`; `stood_s` is how long it
        stood before it drove, None if it had not driven before.
        """
        level = logging.WARNING if enabled and standing else logging.INFO
        self._stops += stops
        reason = NUMBERS.sub('', standing)
        if reason != self._logged:
            again = 'driving' if stood_s is None else f'driving again after {span(stood_s)}'
            self._log_change(reason, standing or again, level)
        elif self._stops and not standing and self._is_due():
            LOG.warning('stopped %d times, now driving: %s', self._stops, last_stop)
            self._stops = 0

    def _log_change(self, reason: str, text: str, level: int) -> None:
        if reason and not self._is_due():
            return
        if self._logged is None:  # the next stop is logged at once
            self._quiet_until_s = self._clock_s()
        LOG.log(level, text)
        self._logged, self._stops = reason, 0

    def _is_due(self) -> bool:
        """Return whether a line about stops is due; if so, begin a new pause."""
        now_s = self._clock_s()
        due = now_s >= self._quiet_until_s
        if due:
            self._quiet_until_s = now_s + PAUSE_S
        return due
