"""The one place that decides what goes to the wheels, and the only one that publishes it."""

from threading import Lock
import time
from typing import Callable, Optional

from .interfaces import Command
from .settings import Settings

# A camera that is as fast as the control period jitters around it; without this grace, half of
# its frames would find their predecessor's command just published a second time.
GRACE = 0.1

# How long zero is repeated after the node has been disabled: long enough to get through, then
# the topic is left to whoever drives instead (a joystick on the same cmd_vel).
DISABLED_REPEAT_NS = 1_000_000_000


class Wheels:
    """
    Publish commands in an order that is always safe, whichever thread they come from.

    A cycle takes a `ticket` before it starts. Whatever stops the robot in the meantime withdraws
    the ticket, so that a command that was computed before a stop never leaves after it.
    """

    def __init__(self, send: Callable[[Command], None], settings: Settings,
                 clock_ns: Callable[[], int] = time.perf_counter_ns) -> None:
        """Take the function that publishes, the limits, and a clock that only runs forward."""
        self.settings = settings  # may be replaced at any time
        self.last = Command(0.0, 0.0, 'no image yet')
        self.enabled = True
        self.stops = 0  # since the start, not counting that the node is disabled
        self.last_stop = ''  # its reason
        self.on_stop: Callable[[], None] = _nothing  # called when the robot stops that drove
        self.send = send  # may be wrapped before anything drives
        self._clock_ns = clock_ns
        self._lock = Lock()
        self._ticket = 0
        self._founded_ns = 0  # when the image was taken that the last command is founded on
        self._due_ns = clock_ns()
        self._silent_ns: Optional[int] = None  # from then on a disabled node keeps silent
        self._closed = False

    @property
    def ticket(self) -> int:
        """Give the right to drive until the next stop."""
        return self._ticket

    def drive(self, command: Command, founded_ns: int, ticket: int) -> Command:
        """
        Publish `command`, or the stop that it has to give way to; give what was published.

        `founded_ns` is when its image was taken, in the time of the clock.
        """
        with self._lock:
            now_ns = self._clock_ns()
            reason = self._objection(command, now_ns, founded_ns, ticket)
            if reason:
                return self._stop(reason, now_ns)
            self._founded_ns = founded_ns
            return self._publish(command, now_ns, GRACE)

    def stop(self, reason: str) -> None:
        """Publish zero at once and withdraw all tickets."""
        with self._lock:
            self._stop(reason, self._clock_ns())

    def enable(self, on: bool) -> None:
        """Let the node drive, or publish zero and then leave the topic alone."""
        with self._lock:
            now_ns = self._clock_ns()
            self.enabled = on
            self._silent_ns = None if on else now_ns + DISABLED_REPEAT_NS
            self._stop('enabled again, waiting for the next image' if on else 'disabled', now_ns)

    def close(self, reason: str, times: int = 3) -> None:
        """Publish the last zeros; nothing leaves after them."""
        with self._lock:
            for _ in range(0 if self._closed else times):
                self._stop(reason, self._clock_ns())
            self._closed = True

    def tick(self) -> float:
        """
        Publish again what is due; give the seconds until the next call is due.

        To be called by a thread of its own, which neither the camera nor the policy can hold up.
        """
        with self._lock:
            now_ns = self._clock_ns()
            if not self.last.is_stop and self._too_old(now_ns, self._founded_ns):
                self._stop(f'no usable image for {self.settings.image_timeout:g} s '
                           '(image_timeout)', now_ns)
            elif now_ns >= self._due_ns:
                self._publish(self.last, now_ns)
            next_ns = self._due_ns if self.last.is_stop else min(
                self._due_ns, self._founded_ns + self._timeout_ns + 1)
            return max(next_ns - now_ns, 0) / 1e9

    @property
    def _timeout_ns(self) -> int:
        return int(self.settings.image_timeout * 1e9)

    def _objection(self, command: Command, now_ns: int, founded_ns: int, ticket: int) -> str:
        if not self.enabled:
            return 'disabled'
        if command.is_stop:
            return command.reason
        if ticket != self._ticket:
            return self.last.reason or 'stopped while the command was computed'
        if self._too_old(now_ns, founded_ns):
            return (f'the command came {(now_ns - founded_ns) / 1e9:.3g} s after its image '
                    f'(image_timeout is {self.settings.image_timeout:g} s)')
        return ''

    def _too_old(self, now_ns: int, founded_ns: int) -> bool:
        return now_ns - founded_ns > self._timeout_ns

    def _stop(self, reason: str, now_ns: int) -> Command:
        self._ticket += 1
        self.last_stop = reason
        self.stops += self.enabled
        drove = not self.last.is_stop
        command = self._publish(Command(0.0, 0.0, reason), now_ns)
        if drove:
            self.on_stop()
        return command

    def _publish(self, command: Command, now_ns: int, grace: float = 0.0) -> Command:
        self._due_ns = now_ns + int(self.settings.period_s * (1.0 + grace) * 1e9)
        if self._closed:  # a cycle was under way: what has left stays the last command
            return self.last
        self.last = command
        silent = self._silent_ns is not None and now_ns > self._silent_ns
        if not silent:
            self.send(command)
        return command


def _nothing() -> None:
    """Do nothing."""
