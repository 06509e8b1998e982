"""What the node consists of from configure to cleanup: the policy, its threads, its topics."""

from dataclasses import replace
from threading import Event
from typing import Any, Callable, List, Mapping, Sequence, Tuple

from geometry_msgs.msg import Twist, TwistStamped
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.time import Time
from std_msgs.msg import Float64MultiArray

from . import messages
from .camera_subscription import Camera
from .heartbeat import Heartbeat
from .nvtx_ranges import show_stages
from .ros_graph import GraphMonitor
from ..backends import open_backend, prepare
from ..bundle.changed_on_disk import BundleChanges
from ..bundle.fingerprint import tuning_problem
from ..bundle.verdicts import verification_status
from ..driving.command_limits import ABSURD_FACTOR, ActionCheck
from ..driving.command_output import CommandOutput
from ..driving.cycle import Cycle
from ..driving.diagnostics.graph import TWIST, TWIST_STAMPED
from ..driving.diagnostics.statuses import policy_status, Status
from ..driving.latency_recorder import FIELDS
from ..driving.loop import DrivingLoop
from ..driving.parameters import Settings
from ..driving.watchdog import DiagnosticsReporter, run_watchdog
from ..errors import BackendError
from ..policy.fallback import FallbackPolicy
from ..policy.hang_recovery import HangRecovery
from ..policy.hot_swap import HotSwap
from ..policy.runtime_opener import close, RuntimeOpener
from ..policy.runtimes import open_backends
from ..system import gc_schedule
from ..system.realtime import Realtime
from ..system.threads import Threads
from ..types import BackendInfo, Command
from ..vision import image_encodings, jpeg
from ..vision.preprocess import Preprocess

BASE_FRAME = 'base_link'  # frame of TwistStamped; the name is REP 105's
LAST_ZERO_S = 0.5  # how long to wait for the base to acknowledge the last zero


class Configured:
    """The parts that drive the robot; they publish no command until `activate`."""

    def __init__(self, node: Node, bundle_changes: BundleChanges, settings: Settings,
                 realtime: Realtime, publish: Callable[[List[Status]], None],
                 on_failure: Callable[[str], None]) -> None:
        """
        Open the policy and start the threads.

        `publish` takes the statuses, `on_failure` what a thread died of. Raise VlaNavError if the
        bundle changed or a runtime cannot be opened; then nothing stays open.
        """
        self._node = node
        self._realtime = realtime
        self._settings = settings
        self._bundle_changes = bundle_changes
        self.threads = Threads(on_failure)
        bundle_changes.confirm()  # the node has read and hashed the files already
        opener = RuntimeOpener(bundle_changes.bundle, open_backend, settings.allow_unverified)
        self.policy, cycle = self._open(opener)
        try:
            bundle_changes.confirm()  # the opened files are the checked ones
            self._build(opener, cycle, publish)
        except BaseException:
            self._close_backends()
            raise

    def _open(self, opener: RuntimeOpener) -> Tuple[FallbackPolicy, Cycle]:
        """Open by the tuned settings if they were tuned for this, else by the defaults."""
        self.untuned, settings = '', self._settings
        if not settings.tuned_for:
            return _policy_and_cycle(opener, settings)
        try:
            self.policy, cycle = _policy_and_cycle(opener, settings)
            self.untuned = tuning_problem(opener.bundle, settings.tuned_for,
                                          self.policy.backend.info)
            if not self.untuned:
                return self.policy, cycle
            self._close_backends()
        except BackendError as error:
            self.untuned = f'the tuned ones do not open here ({error})'
        self._settings = settings.untuned()
        self._node.get_logger().warning(f'drives by the default options: {self.untuned}')
        return _policy_and_cycle(opener, self._settings)

    @property
    def settings(self) -> Settings:
        """Return the settings that drive."""
        return self._settings

    def _build(self, opener: RuntimeOpener, cycle: Cycle,
               publish: Callable[[List[Status]], None]) -> None:
        node, settings = self._node, self._settings
        self._make_publishers()
        self.output = CommandOutput(self._send, settings)
        self.output.closed = True
        self.loop = DrivingLoop(cycle, self.output, settings, lambda: self.now().nanoseconds,
                                self._publish_latency)
        if settings.nvtx:
            show_stages(self.loop)
        self.camera = Camera(node, settings, self.loop.mailbox)
        graph = GraphMonitor(node, self._commands, TWIST_STAMPED if self._stamped else TWIST,
                             self.camera.node)
        self.hot_swap = HotSwap(self._bundle_changes, self.loop, self.policy, opener)
        self.reporter = DiagnosticsReporter(self.loop, self.camera.report, self._policy_status,
                                            graph.report, publish)
        self._hang_recovery = HangRecovery(self.loop, self.policy, self._start_driving,
                                           self.reporter.wake)
        self.heartbeat = Heartbeat(node)
        gc_schedule.settle()
        for name, work in (('watchdog', self._run_watchdog), ('camera', self.camera.run),
                           ('driving', self._hang_recovery.drive),
                           ('diagnostics', self.reporter.run)):
            self._start_thread(name, work)

    def activate(self) -> None:
        """Subscribe to images, and drive from standstill with a new state."""
        self.loop.activate()
        self.camera.subscribe(True)
        self.heartbeat.start()

    def deactivate(self) -> None:
        """Publish zero, wait for its acknowledgement, and publish no command after it."""
        self.loop.deactivate()
        self._wait_until_acknowledged()
        self.camera.subscribe(False)
        self.heartbeat.stop()

    def stop_for_good(self, reason: str) -> None:
        """Publish the last zero, because the node ends."""
        self.output.close(f'the node ends: {reason}')
        self._wait_until_acknowledged()

    def pause(self, reason: str, stop_process: Callable[[], None]) -> None:
        """Stop the robot while `stop_process` runs."""
        with self.output.hold_still(reason):
            self._wait_until_acknowledged()
            stop_process()

    def apply(self, settings: Settings, values: Mapping[str, Any]) -> None:
        """Drive by new settings; `values` are those that were set. On failure, change nothing."""
        # Setting `backend`, even to its present value, ends driving on a fallback.
        swap = ('backend' in values and self.policy.has_fallen_back
                or settings.runtime != self._settings.runtime)
        renew = ('fallback_backends' in values
                 or settings.fallbacks != self._settings.fallbacks)
        if swap or renew:
            self._node.get_logger().info('now driving by ' + self.hot_swap.swap(
                settings.runtime if swap else None, settings.fallbacks, renew))
        if 'use_sim_time' in values:
            self.camera.use_sim_time(values['use_sim_time'])
        self._settings = settings
        self.loop.apply(settings)

    def close(self) -> bool:
        """Stop the threads and release everything; return False if a thread hangs."""
        self.heartbeat.stop()
        self.threads.stopping.set()
        self.reporter.wake()
        if not self.threads.stop() or self.hot_swap.busy:
            return False
        self.camera.close()
        self._close_backends()
        for publisher in (self._commands, self._latencies):
            self._node.destroy_publisher(publisher)
        self.heartbeat.close()
        return True

    def now(self) -> Time:
        """Return the time of the camera's node, where no service delays /clock."""
        return self.camera.node.get_clock().now()

    def _close_backends(self) -> None:
        for backend in open_backends(self.policy.chain.links):
            close(backend)

    def _make_publishers(self) -> None:
        self._stamped = self._settings.enable_stamped_cmd_vel
        self._commands = self._node.create_publisher(
            TwistStamped if self._stamped else Twist, 'cmd_vel', QoSProfile(depth=1))
        self._latencies = self._node.create_publisher(Float64MultiArray, '~/latency', 10)
        self._write_twist = messages.TwistWriter()
        self._write_stamped = messages.TwistStampedWriter(BASE_FRAME)
        self._write_latency = messages.LatencyWriter(FIELDS)

    def _send(self, command: Command) -> None:
        if not self._stamped:
            self._commands.publish(self._write_twist(command))
            return
        image_ns = command.stamp_ns if self._settings.stamp_source == 'image' else 0
        self._commands.publish(self._write_stamped(command, image_ns or self.now().nanoseconds))

    def _publish_latency(self, values: Sequence[float]) -> None:
        self._latencies.publish(self._write_latency(values))

    def _wait_until_acknowledged(self) -> None:
        if self._node.context.ok():
            self._commands.wait_for_all_acked(Duration(seconds=LAST_ZERO_S))

    def _run_watchdog(self, stopping: Event) -> None:
        run_watchdog(self.loop, stopping, self._check)

    def _check(self) -> None:
        self._hang_recovery.check()
        self.heartbeat.beat()

    def _start_driving(self) -> None:
        self._realtime.lower_priority('driving')
        self._start_thread('driving', self._hang_recovery.drive)

    def _start_thread(self, name: str, work: Callable[[Event], None]) -> None:
        self.threads.start(name, self._realtime.with_priority(name, work))

    def _policy_status(self, info: BackendInfo) -> Status:
        bundle = self._bundle_changes.bundle
        return policy_status(bundle.name, info, *verification_status(bundle, info),
                             changed=self._bundle_changes.changed(),
                             tuned=self._settings.tuned_for, untuned=self.untuned,
                             fallback=self._hang_recovery.warning(),
                             spares=self.policy.list_fallbacks())


def _policy_and_cycle(opener: RuntimeOpener,
                      settings: Settings) -> Tuple[FallbackPolicy, Cycle]:
    """Open the runtimes, and return the policy and its cycle; raise VlaNavError on failure."""
    prepare()
    image_encodings.stay_in_one_thread()
    if settings.image_transport == 'compressed':
        jpeg.require()
    bundle = opener.bundle
    action_check = ActionCheck(ABSURD_FACTOR * max(bundle.limits.values()))
    policy = FallbackPolicy(opener.open_chain(settings.runtime, settings.fallbacks),
                            bundle.zero_state(), action_check.problem)
    recipe = replace(bundle.input, rotation=settings.image_rotation)
    return policy, Cycle(policy, Preprocess(recipe), action_check, messages.decoder())
