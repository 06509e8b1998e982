"""The one place that decides which command the robot gets, and the only one that publishes it."""

from contextlib import contextmanager
import logging
from threading import Event, Lock
import time
from typing import Callable, Iterator, Optional

from .command_limits import limit
from .parameters import Settings
from ..errors import VlaNavError
from ..types import CAMERA, Command, DRIVING, POLICY

LOG = logging.getLogger(__name__)
# The repetition of a command is late by this share of the period. A camera as fast as the control
# period jitters around it; without this, half of its commands would follow a repetition.
REPEAT_GRACE = 0.1

# How long zero is repeated after the node is disabled: long enough to arrive; then the topic is
# left to another source of commands (a joystick on the same cmd_vel).
DISABLED_REPEAT_NS = 1_000_000_000

FINAL_ZEROS = 3
PUBLISH_TIMEOUT_S = 0.5  # how long a stop waits for a publish that hangs; 50 us are usual


class CommandOutput:
    """
    Publishes commands in a safe order, whichever thread they come from.

    A cycle takes a `ticket` before it starts. Every stop withdraws the tickets, so that a command
    computed before a stop never leaves after it. Limits and acceleration are relative to the
    command that really left last: only a stop or a lowered limit may change it by more.
    """

    def __init__(self, send: Callable[[Command], None], settings: Settings,
                 clock_ns: Callable[[], int] = time.perf_counter_ns) -> None:
        """Take the function that publishes, the limits, and a monotonic clock."""
        self.last = Command(0.0, 0.0, 'no image yet')
        self.enabled = True
        self.closed = False
        self.ticket = 0  # the right to drive until the next stop
        self.stops = 0  # since the start, except while disabled
        self.last_stop = ''  # its reason
        self.on_stop: Callable[[], None] = lambda: None  # called when a moving robot stops
        self.on_resume: Callable[[], None] = lambda: None  # called when it drives again
        self.send = send  # may be wrapped before the first command
        self.sending_ns = 0  # when the current publish began; 0 if there is none
        self.clock_ns = clock_ns
        self.woken = Event()  # set when `tick` is due sooner than it returned
        self._apply(settings)
        self._lock = Lock()
        self._captured_ns = 0  # capture time of the image that the last command is based on
        self._due_ns = self._next_tick_ns = clock_ns()
        self._changed_ns = self._due_ns - self._period_ns  # when a new command last left
        self._silent_ns: Optional[int] = None  # from then on a disabled node is silent

    @property
    def settings(self) -> Settings:
        """Return the limits; they may be replaced at any time, and hold at once."""
        return self._settings

    @settings.setter
    def settings(self, settings: Settings) -> None:
        with self._lock:
            now_ns = self.clock_ns()
            self._apply(settings)
            self._due_ns = min(self._due_ns, now_ns + self._period_ns)
            limited = self._limited(self.last, now_ns)
            if limited != self.last and not self.last.is_stop:
                self._publish(limited, now_ns)
        self.woken.set()

    def drive(self, command: Command, captured_ns: int, ticket: int) -> Command:
        """
        Publish `command` within limits and acceleration, or a stop; return what was published.

        `captured_ns` is when its image was taken, on the clock of this object.
        """
        with self._lock:
            now_ns = self.clock_ns()
            stop = self._stop_instead(command, now_ns, captured_ns, ticket)
            if stop is not None:
                return self._stop(stop.reason, now_ns, stop.owner)
            self._captured_ns = captured_ns
            was_stopped = self.last.is_stop
            command = self._publish(self._limited(command, now_ns), now_ns, REPEAT_GRACE)
            if was_stopped:
                self.on_resume()
            return command

    def stop(self, reason: str) -> None:
        """Publish zero at once and withdraw all tickets."""
        with self._lock:
            self._stop(reason, self.clock_ns())

    @contextmanager
    def hold_still(self, reason: str) -> Iterator[None]:
        """Publish zero at once, and nothing else until the context ends."""
        with self._lock:
            self._stop(reason, self.clock_ns())
            yield

    def enable(self, on: bool) -> None:
        """
        Let the node drive, or publish zero and then leave the topic alone.

        Enabling an enabled node changes nothing; disabling a disabled one repeats the zeros. Raise
        VlaNavError if a publish hangs.
        """
        if on and self.enabled:
            return
        if not on:
            self.enabled = False  # before the lock, which a publish may hold for long
        with self._lock_or_raise():
            now_ns = self.clock_ns()
            self._silent_ns = None if on else now_ns + DISABLED_REPEAT_NS
            self._stop('enabled again, waiting for the next image' if on else 'disabled', now_ns)
            self.enabled = on

    def reopen(self) -> None:
        """Let commands out again, enabled and from standstill."""
        with self._lock:
            self.ticket += 1
            self._silent_ns = None
            self.enabled, self.closed = True, False
            self.last = Command(0.0, 0.0, 'no image yet')
            self._due_ns = self.clock_ns()
        self.woken.set()

    def close(self, reason: str) -> None:
        """Publish FINAL_ZEROS zeros; nothing leaves after them."""
        try:
            with self._lock_or_raise():
                for _ in range(0 if self.closed else FINAL_ZEROS):
                    self._stop(reason, self.clock_ns())
                self.closed = True
        except VlaNavError as error:
            self.closed = True
            LOG.error('the final zero command could not be sent: %s', error)

    def tick(self) -> float:
        """
        Publish what is due again; return the seconds until the next call is due.

        Call it from a thread of its own, which neither the camera nor the policy can block, and
        which waits for `woken` in between.
        """
        with self._lock:
            now_ns = self.clock_ns()
            if not self.last.is_stop and self._too_old(now_ns, self._captured_ns):
                self._stop(f'no usable image for {self.settings.image_timeout:g} s '
                           '(image_timeout)', now_ns, CAMERA)
            elif now_ns >= self._due_ns:
                self._publish(self.last, now_ns)
            self._next_tick_ns = self._deadline_ns()
            return max(self._next_tick_ns - now_ns, 0) / 1e9

    @contextmanager
    def _lock_or_raise(self) -> Iterator[None]:
        """Take the lock for a stop; raise VlaNavError if a publish that hangs holds it."""
        if not self._lock.acquire(timeout=PUBLISH_TIMEOUT_S):
            raise VlaNavError(f'publishing on cmd_vel has not come back for {PUBLISH_TIMEOUT_S:g} '
                              's', fix='stop the robot by other means; then restart the node')
        try:
            yield
        finally:
            self._lock.release()

    def _apply(self, settings: Settings) -> None:
        self._settings = settings
        self._limits = (settings.max_linear_x, settings.max_linear_y)
        self._period_ns = int(settings.period_s * 1e9)
        self._timeout_ns = int(settings.image_timeout * 1e9)

    def _deadline_ns(self) -> int:
        """Return when `tick` is due."""
        if self.last.is_stop:
            return self._due_ns
        return min(self._due_ns, self._captured_ns + self._timeout_ns + 1)

    def _stop_instead(self, command: Command, now_ns: int, captured_ns: int,
                      ticket: int) -> Optional[Command]:
        if not self.enabled:
            return Command(0.0, 0.0, 'disabled')
        if command.is_stop:
            return command
        if ticket != self.ticket:
            return self.last if self.last.is_stop else Command(
                0.0, 0.0, 'stopped while the command was computed')
        if self._too_old(now_ns, captured_ns):  # it was not when it arrived
            return Command(0.0, 0.0, f'the command came {(now_ns - captured_ns) / 1e9:.3g} s after'
                           f' its image (image_timeout is {self.settings.image_timeout:g} s)',
                           POLICY)
        return None

    def _too_old(self, now_ns: int, captured_ns: int) -> bool:
        return now_ns - captured_ns > self._timeout_ns

    def _limited(self, wanted: Command, now_ns: int) -> Command:
        """Return `wanted` within limits, and within acceleration from the last command."""
        elapsed_ns, last = now_ns - self._changed_ns, self.last
        if last.is_stop:  # however long it stood still, it starts with one period's worth
            elapsed_ns = min(elapsed_ns, self._period_ns)
        return Command(*limit(
            (wanted.linear_x, wanted.linear_y), (last.linear_x, last.linear_y), self._limits,
            self._settings.max_acceleration, elapsed_ns / 1e9), stamp_ns=wanted.stamp_ns)

    def _stop(self, reason: str, now_ns: int, owner: str = DRIVING) -> Command:
        self.ticket += 1
        self.last_stop = reason
        self.stops += self.enabled
        was_driving = not self.last.is_stop
        command = self._publish(Command(0.0, 0.0, reason, owner), now_ns)
        if was_driving:
            self.on_stop()
        return command

    def _publish(self, command: Command, now_ns: int, grace: float = 0.0) -> Command:
        self._due_ns = now_ns + int(self._period_ns * (1.0 + grace))
        if self.closed:  # during a cycle: what has left stays the last command
            return self.last
        if command is not self.last:
            self._changed_ns = now_ns
        self.last = command
        if self._silent_ns is None or now_ns <= self._silent_ns:
            self.sending_ns = now_ns
            self.send(command)
            self.sending_ns = 0
        if self._deadline_ns() < self._next_tick_ns:
            self.woken.set()
        return command
