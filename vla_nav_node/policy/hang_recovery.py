"""Recover from a hung backend: start a thread that drives by a fallback."""

from concurrent.futures import Future
from contextlib import suppress
import logging
from threading import Event
from typing import Any, Callable, Protocol

from .fallback import Abandoned, FallbackPolicy

LOG = logging.getLogger(__name__)
REQUEST_TIMEOUT_S = 2.0  # far more than a cycle; the driving thread hangs if it takes longer
# Consecutive checks that must see a hang. A process that was stopped as a whole (SIGSTOP, a frozen
# container) seems to hang at the first check after it, and has finished its step at the next.
CHECKS_OF_A_HANG = 2


class DrivingThread(Protocol):
    """The part of driving.loop.DrivingLoop that the policy package uses."""

    cycle: Any  # recent_steps, stage_timer
    settings: Any

    def run(self, stopping: Event) -> None:
        """Drive until `stopping` is set."""

    def request(self, action: Callable[[], Any]) -> 'Future[Any]':
        """Have `action` run between two cycles."""

    def between_cycles(self, action: Callable[[], Any]) -> Any:
        """Run `action` between two cycles and return its result, or raise VlaNavError."""

    def is_receiving(self) -> bool:
        """Return whether frames arrive fast enough to drive on."""

    def wait_for_cycle(self, timeout_s: float) -> Any:
        """Return the outcome of the next cycle; None if none ends in time."""

    def hang(self) -> str:
        """Return which stage hangs, or ''."""


class HangRecovery:
    """Replaces a driving thread that hangs, and reports every fallback."""

    def __init__(self, loop: DrivingThread, policy: FallbackPolicy,
                 start_driving: Callable[[], None], request_report: Callable[[], None]) -> None:
        """Take what starts a driving thread, and what makes diagnostics report soon."""
        self._loop = loop
        self._policy = policy
        self._start_driving = start_driving
        self._request_report = request_report
        self._logged = ''
        self._hangs_seen = 0
        policy.on_fallback = self._on_fallback

    def drive(self, stopping: Event) -> None:
        """Drive until `stopping` is set or another thread takes over; runs in a thread."""
        with suppress(Abandoned):
            self._loop.run(stopping)

    def check(self) -> None:
        """Switch to a fallback if the backend hangs; call once a control period."""
        hang = self._loop.hang() if self._policy.has_fallback else ''
        self._hangs_seen = self._hangs_seen + 1 if hang else 0
        if self._hangs_seen < CHECKS_OF_A_HANG:
            return
        if self._policy.rescue(hang, self._loop.settings.image_timeout):
            self._loop.cycle.stage_timer.stop()
            self._start_driving()

    def warning(self) -> str:
        """Return the policy's warning, logged when it is new; not for the driving thread."""
        warning = self._policy.warning()
        if warning != self._logged:
            LOG.log(logging.WARNING if warning else logging.INFO,
                    warning or 'no fallback drives, and all are ready')
            self._logged = warning
        return warning

    def _on_fallback(self) -> None:
        # A new backend must not be compared with the one that has failed.
        self._loop.cycle.recent_steps.clear()
        self._request_report()
