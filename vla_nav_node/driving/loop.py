"""The driving thread: take the newest frame, run the cycle, send the command."""

from collections import deque
from concurrent.futures import Future, TimeoutError as FutureTimeout
from threading import Event
import time
from typing import Any, Callable, Deque, NamedTuple, Optional, Sequence, Tuple

from .command_output import CommandOutput
from .cycle import Cycle, OWNERS, Timing
from .diagnostics.stamps import NO_CLOCK
from .frame_checks import FrameChecks
from .latency_recorder import LatencyRecorder
from .mailbox import Arrival, Mailbox
from .parameters import Settings
from ..errors import ImageError, VlaNavError
from ..policy.hang_recovery import REQUEST_TIMEOUT_S
from ..policy.rehearsal import Rehearsal
from ..system import gc_schedule
from ..types import CAMERA, Command, DRIVING, Frame

IDLE_S = 0.1  # how often the thread checks whether it has to end while no frames come
POLL_S = 0.001


class Outcome(NamedTuple):
    """The result of a frame's cycle."""

    received_ns: int
    command: Command  # as the cycle computed it, before CommandOutput
    timing: Timing


class DrivingLoop:
    """What happens to a frame, in one thread; other threads send requests to it."""

    def __init__(self, cycle: Cycle, output: CommandOutput, settings: Settings,
                 ros_now_ns: Callable[[], int],
                 on_cycle: Callable[[Sequence[float]], None]) -> None:
        """Take the clock of the stamps, and what to call with each cycle's latencies (FIELDS)."""
        self.cycle = cycle
        self.output = output
        self.frame_checks = FrameChecks(settings)
        self.latency = LatencyRecorder()
        self.mailbox = Mailbox()
        self.rehearsal = Rehearsal()
        self.last: Optional[Outcome] = None
        self._ros_now_ns = ros_now_ns
        self._on_cycle = on_cycle
        self._requests: Deque[Tuple[Callable[[], Any], 'Future[Any]']] = deque()
        self._reset_due = False  # before the next frame
        self.active = False
        self.apply(settings)

    def apply(self, settings: Settings) -> None:
        """Limit commands by `settings` at once, and drive by them from the next frame on."""
        self.output.settings = self.frame_checks.settings = self.settings = settings
        self.cycle.blank_guard = settings.blank_guard

    def activate(self) -> None:
        """Let commands out, from standstill and with a new state."""
        self._reset_due = True  # before the output lets any frame drive
        self.active = True
        self.output.reopen()

    def deactivate(self) -> None:
        """Publish zero; no command leaves after it."""
        self.active = False
        self.output.close('deactivated')

    def enable(self, on: bool) -> str:
        """
        Stop the robot, or let it drive from standstill with a new state; return which.

        Raise VlaNavError if a publish hangs.
        """
        if on and self.output.enabled:
            return 'already enabled: nothing changes'
        self._reset_due = True  # before the output lets any frame drive
        self.output.enable(on)
        return 'enabled' if on else 'disabled: standing still'

    def run(self, stopping: Event) -> None:
        """Drive until `stopping` is set."""
        while not stopping.is_set():
            frame = self.mailbox.take(self.rehearsal.wait_s(IDLE_S))
            self._serve_requests()
            if frame is not None:
                self.drive(frame)
            elif self.rehearsal.due():
                self.cycle.rehearse()
            gc_schedule.tidy()  # a command has just left, or there is nothing to do

    def drive(self, frame: Arrival) -> None:
        """Check a frame at its arrival, and run a cycle or stop the robot."""
        ticket = self.output.ticket
        if self._reset_due:  # after taking the ticket, which enabling withdraws
            self._reset_due = False
            self.reset()
        if isinstance(frame, ImageError):
            self.output.drive(Command(0.0, 0.0, f'deserialise: {frame}', CAMERA), 0, ticket)
            return
        now_ns, ros_now_ns = self.output.clock_ns(), self._ros_now_ns()
        decision = self.frame_checks.check(frame, ros_now_ns)
        if decision.reset:
            self.cycle.policy.reset()
        if decision.reason:
            owner = DRIVING if decision.reason == NO_CLOCK else CAMERA
            self.output.drive(Command(0.0, 0.0, decision.reason, owner), 0, ticket)
            return
        # The capture time on the monotonic clock, never later than the arrival: while the frame
        # waited here, the ROS clock may have been set back or run slowly.
        captured_ns = min(now_ns - (ros_now_ns - frame.stamp_ns), frame.received_ns)
        self._run_cycle(frame, captured_ns, ticket)

    def _run_cycle(self, frame: Frame, captured_ns: int, ticket: int) -> None:
        command, timing = self.cycle.run(frame)
        if not command.is_stop:
            self.frame_checks.note_driven(frame)
        before_ns = time.perf_counter_ns()
        self.output.drive(command, captured_ns, ticket)
        self._record(frame, timing, before_ns)
        self.last = Outcome(frame.received_ns, command, timing)
        self.cycle.keep_step()
        self.rehearsal.note(frame.received_ns, self.settings.rehearsal_ms
                            if self.cycle.policy.backend.fits_cache else 0.0)

    def _record(self, frame: Frame, timing: Timing, before_ns: int) -> None:
        done_ns = time.perf_counter_ns()
        cycle = (done_ns - frame.received_ns) / 1e6
        values = (cycle, frame.deserialise_ns / 1e6, *timing, (done_ns - before_ns) / 1e6,
                  (self._ros_now_ns() - frame.stamp_ns) / 1e6,
                  cycle / self.settings.control_period_ms)
        self.latency.record(done_ns / 1e9, values)
        self._on_cycle(values)

    def reset(self) -> None:
        """Clear the state and forget all frames; only between two cycles."""
        self.cycle.policy.reset()
        self.frame_checks.reset()

    def request(self, action: Callable[[], Any]) -> 'Future[Any]':
        """Have the driving thread run `action` between two cycles; return its future result."""
        future: 'Future[Any]' = Future()
        self._requests.append((action, future))
        self.mailbox.wake()
        return future

    def between_cycles(self, action: Callable[[], Any]) -> Any:
        """
        Run `action` in the driving thread between two cycles, and return its result.

        Raise VlaNavError if the driving thread does not answer in time.
        """
        future = self.request(action)
        try:
            return future.result(REQUEST_TIMEOUT_S)
        except FutureTimeout:
            if future.cancel():
                raise VlaNavError(self.hang() or 'the driving thread does not answer',
                                  fix='restart the node') from None
            return future.result()  # it had just begun

    def is_receiving(self) -> bool:
        """Return whether frames arrive fast enough to drive on."""
        silent_ns = time.perf_counter_ns() - (self.last.received_ns if self.last else 0)
        return self.last is not None and silent_ns < self.settings.image_timeout * 1e9

    def wait_for_cycle(self, timeout_s: float) -> Optional[Outcome]:
        """Return the outcome of the next cycle; None if none ends in time."""
        before, deadline = self.last, time.monotonic() + timeout_s
        while self.last is before and time.monotonic() < deadline:
            time.sleep(POLL_S)  # polled, so that the driving thread spends no time on notifying
        return None if self.last is before else self.last

    def hang(self) -> str:
        """Return which stage has been running for longer than image_timeout; '' if none."""
        stop = self.hung_stop(self.settings.image_timeout)
        return '' if stop is None else stop.reason

    def hung_stop(self, after_s: float) -> Optional[Command]:
        """Return a stop that names the stage that has been running for longer than `after_s`."""
        timer, sending_ns = self.cycle.stage_timer, self.output.sending_ns
        stage, since_ns, info = timer.stage, timer.since_ns, f' ({self.cycle.policy.backend.info})'
        if sending_ns:
            stage, since_ns, info = 'publishing on cmd_vel', sending_ns, ''
        busy_s = (time.perf_counter_ns() - since_ns) / 1e9
        if not stage or busy_s <= after_s:
            return None
        return Command(0.0, 0.0, f'{stage} has not come back for {busy_s:.1f} s{info}',
                       OWNERS.get(stage, DRIVING))

    def _serve_requests(self) -> None:
        while self._requests:
            action, future = self._requests.popleft()
            if not future.set_running_or_notify_cancel():
                continue
            try:
                future.set_result(action())
            except Exception as error:  # noqa: BLE001  # raised again in the thread that waits
                future.set_exception(error)
