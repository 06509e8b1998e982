"""What happens around a policy that falls back: who drives on after a hang, and who is told."""

from contextlib import suppress
import logging
from threading import Event
from typing import Callable

from .driving_thread import DrivingThread
from .fallback import Abandoned, FallbackPolicy

LOG = logging.getLogger(__name__)
# Checks in a row that see a hang. A process that was stopped as a whole (SIGSTOP, a frozen
# container) looks like one at the first check after it, and has made its step at the next.
SEEN = 2


class HangRecovery:
    """See that someone drives, and that everybody knows by what."""

    def __init__(self, loop: DrivingThread, policy: FallbackPolicy,
                 start_driving: Callable[[], None], wake: Callable[[], None]) -> None:
        """Take what starts a thread that drives, and what brings diagnostics about."""
        self._loop = loop
        self._policy = policy
        self._start_driving = start_driving
        self._wake = wake
        self._warned = ''
        self._hangs = 0
        policy.on_fall = self._on_fall

    def drive(self, stopping: Event) -> None:
        """Drive until `stopping`, or until another thread does so; a thread's whole work."""
        with suppress(Abandoned):
            self._loop.run(stopping)

    def check(self) -> None:
        """
        Drive on by a fall-back when the backend hangs and there is one.

        To be called once a period.
        """
        hang = self._loop.hang() if self._policy.spares else ''
        self._hangs = self._hangs + 1 if hang else 0
        if self._hangs >= SEEN and self._policy.rescue(hang, self._loop.settings.image_timeout):
            self._loop.cycle.watch.stop()
            self._start_driving()

    def warning(self) -> str:
        """Return the policy's warning, and log it when it is new; not for the driving thread."""
        warning = self._policy.warning()
        if warning != self._warned:
            LOG.log(logging.WARNING if warning else logging.INFO,
                    warning or 'no fall-back drives, and all are ready')
            self._warned = warning
        return warning

    def _on_fall(self) -> None:
        self._loop.cycle.recent.clear()  # no new backend is held against what has failed
        self._wake()
