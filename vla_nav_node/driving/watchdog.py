"""The threads beside the driving thread: one repeats or stops commands, one reports."""

from collections import deque
from threading import Event, Lock
import time
from typing import Callable, List, Optional, Tuple

from .diagnostics.driving_status import blame, DriveTimes, driving_status, DrivingReport
from .diagnostics.graph import GraphReport
from .diagnostics.journal import Journal
from .diagnostics.statuses import (
    camera_status, CameraReport, graph_status, inactive_status, latency_status, no_image_reason,
    Slowdown, Status)
from .loop import DrivingLoop
from .slowdown.duty import Duty
from .slowdown.slowdown_watch import SlowdownWatch
from ..types import BackendInfo, CAMERA, Command, DRIVING

REPORT_S = 1.0
SOONEST_S = 0.1  # between two reports, however often the robot stops and resumes


def run_watchdog(loop: DrivingLoop, stopping: Event, check_hang: Callable[[], None]) -> None:
    """Repeat or stop commands and check for a hang whenever due; runs in a thread of its own."""
    output = loop.output
    while not stopping.is_set():
        output.woken.clear()
        output.woken.wait(output.tick())
        check_hang()


class DiagnosticsReporter:
    """Reports once a second, and as soon as the robot stops or resumes."""

    def __init__(self, loop: DrivingLoop, camera: Callable[[], CameraReport],
                 policy: Callable[[BackendInfo], Status], graph: Callable[[], GraphReport],
                 publish: Callable[[List[Status]], None],
                 slowdown: Optional[SlowdownWatch] = None) -> None:
        """
        Take the sources of the reports, and the function that publishes the statuses.

        `slowdown` watches the times of `loop`; None: one that learns what is expected.
        """
        self._loop = loop
        self._camera = camera
        self._policy = policy
        self._graph = graph
        self._publish = publish
        self._woken = Event()
        self._lock = Lock()
        self._history = deque([(time.monotonic(), camera())])
        self._stops = 0
        self._journal = Journal()
        self._slowdown = SlowdownWatch(loop.latency) if slowdown is None else slowdown
        self._times = DriveTimes()
        loop.output.on_stop, loop.output.on_resume = self._on_stop, self._on_resume

    def run(self, stopping: Event) -> None:
        """Report until `stopping` is set, and once more; runs in a thread of its own."""
        while not stopping.is_set():
            self.report()
            stopping.wait(SOONEST_S)
            self._woken.wait(REPORT_S - SOONEST_S)
            self._woken.clear()
        self.report()

    def report(self) -> None:
        """Report now; any thread may call this."""
        with self._lock:
            self._publish(self.statuses())

    def wake(self) -> None:
        """Report as soon as SOONEST_S allows."""
        self._woken.set()

    def statuses(self) -> List[Status]:
        """Return the five statuses."""
        loop, camera, graph = self._loop, self._camera(), self._graph()
        report = self._driving_report(camera, graph) if loop.active else None
        statuses = [
            self._camera_status(camera),
            self._policy(loop.cycle.policy.backend.info),
            latency_status(loop.latency.summary(time.perf_counter_ns() / 1e9),
                           loop.settings.control_period_ms, camera.replaced,
                           self._slowdown_of(camera) if loop.active else None),
            self._driving_status(report), graph_status(graph)]
        return statuses if report is None else blame(statuses, report)

    def _camera_status(self, camera: CameraReport) -> Status:
        before = self._a_second_ago(camera)
        if not self._loop.active:
            return inactive_status('camera', f'not subscribed to {camera.subscribed.name}')
        return camera_status(camera, *before, self._loop.settings.image_timeout)

    def _slowdown_of(self, camera: CameraReport) -> Slowdown:
        policy = self._loop.cycle.policy
        return self._slowdown.update(Duty(
            self._loop.settings.runtime, policy.backend.info, policy.has_fallen_back,
            camera.picture, camera.received, time.perf_counter_ns() / 1e9,
            self._loop.settings.rehearsal_ms))

    def _driving_status(self, report: Optional[DrivingReport]) -> Status:
        """Return whether the robot drives, and log what is new about it; None: it is inactive."""
        if report is None:
            self._journal.forget()
            return inactive_status(DRIVING, 'publishes no commands until it is activated')
        if not self._loop.output.closed:  # else the node itself logs why it ends
            self._journal.note(report.standing, report.enabled, report.stops, report.last_stop,
                               self._times.stood_s)
        return driving_status(report)

    def _driving_report(self, camera: CameraReport, graph: GraphReport) -> DrivingReport:
        output = self._loop.output
        command, enabled, seen = self._command(camera), output.enabled, output.stops
        stops, self._stops = seen - self._stops, seen
        return DrivingReport(command, enabled, stops, output.last_stop, self._hung_stop(command),
                             graph, self._times.since_stop_s(), self._times.driving_s(), seen)

    def _hung_stop(self, command: Command) -> Optional[Command]:
        """Return the stop that names a stage that hangs; None if none does."""
        # The age of an image includes its transport, so a hang stops the robot as "no usable
        # image" shortly before the stage itself has taken image_timeout.
        seems_camera = command.is_stop and command.owner == CAMERA
        return self._loop.hung_stop(
            self._loop.settings.image_timeout * (0.5 if seems_camera else 1.0))

    def _command(self, camera: CameraReport) -> Command:
        """Return the newest command; before the first image, a stop that says why none comes."""
        if not camera.received:
            return Command(0.0, 0.0, no_image_reason(camera), CAMERA)
        return self._loop.output.last

    def _on_stop(self) -> None:
        self._times.note_stop()
        self._woken.set()

    def _on_resume(self) -> None:
        self._times.note_start()
        self._woken.set()

    def _a_second_ago(self, camera: CameraReport) -> Tuple[CameraReport, float]:
        """Return the report of one to two seconds ago, and its age in s."""
        now_s = time.monotonic()
        self._history.append((now_s, camera))
        while self._history[1][0] <= now_s - REPORT_S:
            self._history.popleft()
        before_s, before = self._history[0]
        return before, now_s - before_s
