"""The one place that decides what goes to the wheels, and the only one that publishes it."""

from contextlib import contextmanager
import logging
from threading import Event, Lock
import time
from typing import Callable, Iterator, Optional

from .command_limits import towards
from .settings import Settings
from ..errors import VlaNavError
from ..types import Command

LOG = logging.getLogger(__name__)
# A camera that is as fast as the control period jitters around it; without this grace, half of
# its frames would find their predecessor's command just published a second time.
GRACE = 0.1

# How long zero is repeated after the node has been disabled: long enough to get through, then
# the topic is left to whoever drives instead (a joystick on the same cmd_vel).
DISABLED_REPEAT_NS = 1_000_000_000

STUCK_S = 0.5  # how long a stop waits for a publish that does not come back; usual are 50 us


class CommandOutput:
    """
    Publish commands in an order that is always safe, whichever thread they come from.

    A cycle takes a `ticket` before it starts. Whatever stops the robot in the meantime withdraws
    the ticket, so that a command that was computed before a stop never leaves after it. Limits and
    acceleration are held here, against the command that really left last: whatever happens between
    two commands, only a stop and a lowered limit may change them by more.
    """

    def __init__(self, send: Callable[[Command], None], settings: Settings,
                 clock_ns: Callable[[], int] = time.perf_counter_ns) -> None:
        """Take the function that publishes, the limits, and a clock that only runs forward."""
        self.last = Command(0.0, 0.0, 'no image yet')
        self.enabled = True
        self.closed = False
        self.stops = 0  # since the start, not counting that the node is disabled
        self.last_stop = ''  # its reason
        self.on_stop: Callable[[], None] = _nothing  # called when the robot stops that drove
        self.on_go: Callable[[], None] = _nothing  # called when it drives again
        self.send = send  # may be wrapped before anything drives
        self.sending_ns = 0  # since when a publish is under way; 0 when none is
        self.clock_ns = clock_ns
        self.woken = Event()  # set when `tick` is due sooner than it said
        self._hold_to(settings)
        self._lock = Lock()
        self._ticket = 0
        self._founded_ns = 0  # when the image was taken that the last command is founded on
        self._due_ns = self._next_tick_ns = clock_ns()
        self._changed_ns = self._due_ns - self._period_ns  # when a new command last left
        self._silent_ns: Optional[int] = None  # from then on a disabled node keeps silent

    @property
    def settings(self) -> Settings:
        """Return the limits; they may be replaced at any time, and hold at once."""
        return self._settings

    @settings.setter
    def settings(self, settings: Settings) -> None:
        with self._lock:
            now_ns = self.clock_ns()
            self._hold_to(settings)
            self._due_ns = min(self._due_ns, now_ns + self._period_ns)
            held = self._ramped(self.last, now_ns)
            if held != self.last and not self.last.is_stop:
                self._publish(held, now_ns)
        self.woken.set()

    @property
    def ticket(self) -> int:
        """Return the right to drive until the next stop."""
        return self._ticket

    def drive(self, command: Command, founded_ns: int, ticket: int) -> Command:
        """
        Publish what `command` wants as far as limits and acceleration allow, or stop.

        Give what was published. `founded_ns` is when its image was taken, by the clock.
        """
        with self._lock:
            now_ns = self.clock_ns()
            reason = self._objection(command, now_ns, founded_ns, ticket)
            if reason:
                return self._stop(reason, now_ns)
            self._founded_ns = founded_ns
            stood = self.last.is_stop
            command = self._publish(self._ramped(command, now_ns), now_ns, GRACE)
            if stood:
                self.on_go()
            return command

    def stop(self, reason: str) -> None:
        """Publish zero at once and withdraw all tickets."""
        with self._lock:
            self._stop(reason, self.clock_ns())

    @contextmanager
    def standing(self, reason: str) -> Iterator[None]:
        """Publish zero at once, and let nothing leave until the context is left."""
        with self._lock:
            self._stop(reason, self.clock_ns())
            yield

    def enable(self, on: bool) -> None:
        """
        Let the node drive, or publish zero and then leave the topic alone.

        To enable what is enabled changes nothing; to disable what is disabled repeats the zeros.
        """
        if on and self.enabled:
            return
        if not on:
            self.enabled = False  # before the lock: who holds it may be publishing for long
        with self._soon():
            now_ns = self.clock_ns()
            self._silent_ns = None if on else now_ns + DISABLED_REPEAT_NS
            self._stop('enabled again, waiting for the next image' if on else 'disabled', now_ns)
            self.enabled = on

    def close(self, reason: str, times: int = 3) -> None:
        """Publish the last zeros; nothing leaves after them."""
        try:
            with self._soon():
                for _ in range(0 if self.closed else times):
                    self._stop(reason, self.clock_ns())
                self.closed = True
        except VlaNavError as error:
            self.closed = True
            LOG.error('no last zero could be sent: %s', error)

    def tick(self) -> float:
        """
        Publish again what is due; give the seconds until the next call is due.

        To be called by a thread of its own, which neither the camera nor the policy can hold up,
        and which waits for `woken` in between.
        """
        with self._lock:
            now_ns = self.clock_ns()
            if not self.last.is_stop and self._too_old(now_ns, self._founded_ns):
                self._stop(f'no usable image for {self.settings.image_timeout:g} s '
                           '(image_timeout)', now_ns)
            elif now_ns >= self._due_ns:
                self._publish(self.last, now_ns)
            self._next_tick_ns = self._deadline_ns()
            return max(self._next_tick_ns - now_ns, 0) / 1e9

    @contextmanager
    def _soon(self) -> Iterator[None]:
        """Take the lock for a stop; raise VlaNavError if who has it does not come back."""
        if not self._lock.acquire(timeout=STUCK_S):
            raise VlaNavError(f'publishing on cmd_vel has not come back for {STUCK_S:g} s',
                              fix='stop the robot by other means; then start the node anew')
        try:
            yield
        finally:
            self._lock.release()

    def _hold_to(self, settings: Settings) -> None:
        self._settings = settings
        self._limits = (settings.max_linear_x, settings.max_linear_y)
        self._period_ns = int(settings.period_s * 1e9)
        self._timeout_ns = int(settings.image_timeout * 1e9)

    def _deadline_ns(self) -> int:
        """Return when `tick` has something to do."""
        if self.last.is_stop:
            return self._due_ns
        return min(self._due_ns, self._founded_ns + self._timeout_ns + 1)

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

    def _ramped(self, wanted: Command, now_ns: int) -> Command:
        """Hold limits and acceleration, against what left last."""
        elapsed_ns, last = now_ns - self._changed_ns, self.last
        if last.is_stop:  # however long it stood, it starts with one period's worth
            elapsed_ns = min(elapsed_ns, self._period_ns)
        return Command(*towards(
            (wanted.linear_x, wanted.linear_y), (last.linear_x, last.linear_y), self._limits,
            self._settings.max_acceleration, elapsed_ns / 1e9))

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
        self._due_ns = now_ns + int(self._period_ns * (1.0 + grace))
        if self.closed:  # a cycle was under way: what has left stays the last command
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


def _nothing() -> None:
    """Do nothing."""
