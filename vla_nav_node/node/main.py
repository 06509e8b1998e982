"""The ROS 2 node: wires parameters, topics, services and threads to the cycle."""

from dataclasses import fields
import os
import sys
from threading import Event
from typing import Any, Callable, Dict, List, Optional, Sequence

from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import Twist, TwistStamped
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.duration import Duration
from rclpy.executors import MultiThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.time import Time
from std_msgs.msg import Float64MultiArray
from std_srvs.srv import SetBool, Trigger

from . import messages
from .assembly import policy_and_cycle
from .camera_subscription import Camera
from .nvtx_ranges import show_stages
from .ros_graph import GraphMonitor
from .ros_log import log_to_ros
from .ros_parameters import answer, declare
from .start.reach import refuse_unheard
from .start.ros_arguments import only_ros
from .start.shutdown_context import NodeContext, start
from ..backends import BACKENDS, open_backend
from ..bundle.bundle import load_bundle
from ..bundle.changes import BundleChanges
from ..bundle.verdicts import verification_status
from ..driving.command_output import CommandOutput
from ..driving.diagnostics.graph import TWIST, TWIST_STAMPED
from ..driving.diagnostics.statuses import policy_status, realtime_status, Status
from ..driving.latency_recorder import FIELDS
from ..driving.loop import DrivingLoop
from ..driving.settings import changed, MODEL, parameters, Settings, settings_of
from ..driving.watchdog import Watchdog, watch
from ..errors import VlaNavError
from ..policy.hang_recovery import HangRecovery
from ..policy.hot_swap import HotSwap
from ..policy.runtime_opener import RuntimeOpener
from ..system import gc_schedule
from ..system.realtime import Realtime
from ..system.shutdown_signals import ShutdownSignals, StartupSignals
from ..system.threads import describe, Threads
from ..types import BackendInfo, Command

NAME = 'vla_nav_node'
ABOUT = """Drive a robot by camera: images in, velocity commands out, until a signal ends it.

parameters: """ + ', '.join(field.name for field in fields(Settings)) + """
(meaning and values: README.md, or ros2 param describe /vla_nav_node NAME while it runs)"""
# What can be remapped.
TOPICS = ('image', 'image/compressed', 'cmd_vel', '~/latency', '/diagnostics', '~/enable',
          '~/reset')
BASE_FRAME = 'base_link'  # of TwistStamped: REP 105's name of the frame that the command is in
# How long a thread may hold the interpreter while another one waits for it; Python's own 5 ms is
# a quarter of a control period.
SWITCH_S = 0.0005
IDLE_S = 0.2  # how often the services' thread looks whether it has to end
LAST_ZERO_S = 0.5  # how long to wait until the base has acknowledged the last zero


class VlaNavNode(Node):
    """Images in, commands out; whatever else happens, happens between two cycles."""

    def __init__(self, context: NodeContext) -> None:
        """Load and open everything; nothing runs before `run`."""
        super().__init__(NAME, context=context)
        self._ros = context
        log_to_ros(self.get_logger())
        bundle = load_bundle(declare(self, [MODEL])['model'])
        self._table = parameters(bundle.limits, tuple(BACKENDS), bundle.input.rotation)
        self._settings = settings_of(self._table, {
            'model': self.get_parameter('model').value,
            **declare(self, [row for row in self._table if row is not MODEL])})
        refuse_unheard(self, context.arguments, TOPICS)
        self._failure = ''
        self._ending = ShutdownSignals()
        self._realtime = Realtime(self._settings.realtime, self.get_logger())
        self._threads = Threads(self._on_failure)
        self._make_publishers()
        self._output = CommandOutput(self._send, self._settings)
        opener = RuntimeOpener(bundle, open_backend, self._settings.allow_unverified)
        self._policy, cycle = policy_and_cycle(opener, self._settings)
        self._loop = DrivingLoop(cycle, self._output, self._settings, self._ros_now_ns,
                              self._publish_latency)
        if self._settings.nvtx:
            show_stages(self._loop)
        self._camera = Camera(self, self._settings, self._loop.mailbox)
        self._graph = GraphMonitor(self, self._commands, TWIST_STAMPED if self._stamped else TWIST,
                                 self._camera.node)
        self._on_disk = BundleChanges(bundle)
        self._on_disk.confirm()  # what was opened since is what was checked
        self._hot_swap = HotSwap(self._on_disk, self._loop, self._policy, opener)
        self._watchdog = Watchdog(self._loop, self._camera.report, self._policy_status,
                                self._graph.report, self._report)
        self._hang_recovery = HangRecovery(self._loop, self._policy, self._start_driving, self._watchdog.wake)
        self._make_services()

    def run(self) -> int:
        """Drive until a signal, a shutdown of ROS or a failure; give the exit status."""
        self._ending.catch_signals()
        self._ros.before_shutdown = self._before_shutdown
        info = self._policy.backend.info
        self.get_logger().info(f'driving by {info}, images from {self._camera.topic}')
        self._realtime.lock_memory()
        gc_schedule.settle()
        for name, work in (('watchdog', self._watch), ('driving', self._hang_recovery.drive),
                           ('camera', self._camera.run), ('services', self._serve),
                           ('diagnostics', self._watchdog.run)):
            self._threads.start(name, self._realtime.with_priority(name, work))
        reason = self._ending.wait(self._pause)
        return self._end(reason)

    def _pause(self, name: str, stop_process: Callable[[], None]) -> None:
        """Stop the robot before the process is; it drives on from standing, by fresh images."""
        with self._output.standing(f'the process is stopped by {name}'):
            if self.context.ok():
                self._commands.wait_for_all_acked(Duration(seconds=LAST_ZERO_S))
            stop_process()
        self.get_logger().warning(f'going on after {name}: the robot starts from standing')

    def _stop_for_good(self, reason: str) -> None:
        self._output.close(f'the node ends: {reason}')
        if self.context.ok():
            self._commands.wait_for_all_acked(Duration(seconds=LAST_ZERO_S))

    def _before_shutdown(self) -> None:
        reason = 'ROS was shut down'
        self._stop_for_good(reason)
        self._watchdog.report()
        self._threads.stopping.set()  # what fails from now on has lost ROS, and that is all
        self._ending.request(reason)

    def _end(self, reason: str) -> int:
        self._ros.before_shutdown = None
        self._stop_for_good(reason)
        self.get_logger().info(f'stopped the robot: {reason}')
        status = 1 if self._failure else 0
        self._threads.stopping.set()
        self._watchdog.wake()
        if not self._threads.stop() or self._hot_swap.busy:
            # A thread that hangs in a runtime cannot be ended, and would keep the process.
            sys.stderr.flush()
            os._exit(status)
        self._camera.close()
        self.destroy_node()
        return status

    def _watch(self, stopping: Event) -> None:
        watch(self._loop, stopping, self._hang_recovery.check)

    def _start_driving(self) -> None:
        self._realtime.lower_priority('driving')
        self._threads.start('driving', self._realtime.with_priority('driving', self._hang_recovery.drive))

    def _serve(self, stopping: Event) -> None:
        """Answer services; a group holds one thread at most, so that none waits for another's."""
        groups = (self.default_callback_group, *self._groups)
        executor = MultiThreadedExecutor(num_threads=len(groups) + 1, context=self.context)
        executor.add_node(self)
        while not stopping.is_set():
            executor.spin_once(timeout_sec=IDLE_S)
        executor.shutdown(timeout_sec=IDLE_S)

    def _on_failure(self, what: str) -> None:
        """Stop the robot first, from the thread that failed."""
        self._failure = self._failure or what
        try:
            self._output.close(what)
        finally:
            self.get_logger().fatal(what)
            self._ending.request(what)

    def _make_publishers(self) -> None:
        self._stamped = self._settings.enable_stamped_cmd_vel
        self._commands = self.create_publisher(
            TwistStamped if self._stamped else Twist, 'cmd_vel', QoSProfile(depth=1))
        self._latencies = self.create_publisher(Float64MultiArray, '~/latency', 10)
        self._write_twist = messages.TwistWriter()
        self._write_latency = messages.LatencyWriter(FIELDS)
        self._diagnostics = self.create_publisher(DiagnosticArray, '/diagnostics', 10)

    def _make_services(self) -> None:
        # Each in a group of its own: the robot can be disabled while a swap or a reset waits.
        self._groups = [MutuallyExclusiveCallbackGroup() for _ in range(2)]
        self.create_service(Trigger, '~/reset', self._on_reset, callback_group=self._groups[0])
        self.create_service(SetBool, '~/enable', self._on_enable, callback_group=self._groups[1])
        self.add_on_set_parameters_callback(
            lambda wanted: answer(self._on_parameters, wanted))

    def _ros_now(self) -> Time:
        """Return the time of stamps; from the camera's node, where no service holds /clock up."""
        return self._camera.node.get_clock().now()

    def _ros_now_ns(self) -> int:
        return self._ros_now().nanoseconds

    def _send(self, command: Command) -> None:
        if self._stamped:
            self._commands.publish(messages.twist_stamped(
                command, self._ros_now().to_msg(), BASE_FRAME))
        else:
            self._commands.publish(self._write_twist(command))

    def _publish_latency(self, values: Sequence[float]) -> None:
        self._latencies.publish(self._write_latency(values))

    def _policy_status(self, info: BackendInfo) -> Status:
        bundle = self._on_disk.bundle
        return policy_status(bundle.name, info, *verification_status(bundle, info),
                             changed=self._on_disk.changed(), fallback=self._hang_recovery.warning(),
                             spares=self._policy.told())

    def _report(self, statuses: List[Status]) -> None:
        if self._realtime.on:
            statuses = [*statuses, realtime_status(self._realtime.answers)]
        if self.context.ok():
            self._diagnostics.publish(messages.diagnostics(
                self._ros_now().to_msg(), statuses,
                self.get_fully_qualified_name().lstrip('/'), self._settings.hardware_id))

    def _on_parameters(self, values: Dict[str, Any]) -> None:
        """Take new settings over, all or none; a new runtime first, because it may refuse."""
        settings = changed(self._settings, self._table, values)
        acts = self._policy.fell and 'backend' in values  # to what it is set already, it may be
        first = settings.runtime if acts or settings.runtime != self._settings.runtime else None
        renew = 'fallback_backends' in values or settings.spares != self._settings.spares
        if first or renew:
            self.get_logger().info(
                'driving on by ' + self._hot_swap.swap(first, settings.spares, renew))
        if 'use_sim_time' in values:
            self._camera.use_sim_time(values['use_sim_time'])
        self._settings = settings
        self._loop.apply(settings)

    def _on_reset(self, request: Trigger.Request,
                  response: Trigger.Response) -> Trigger.Response:
        try:
            self._loop.between_cycles(self._loop.reset)
            response.success, response.message = True, 'the state of the policy is reset'
        except VlaNavError as error:
            response.success, response.message = False, str(error)
        return response

    def _on_enable(self, request: SetBool.Request,
                   response: SetBool.Response) -> SetBool.Response:
        try:
            response.message, response.success = self._loop.enable(request.data), True
        except VlaNavError as error:
            response.success, response.message = False, str(error)
        return response


def main(args: Optional[List[str]] = None) -> int:
    """Run the node; exit status 0 after a signal, 1 after a failure, 2 if it cannot start."""
    arguments = sys.argv[1:] if args is None else args
    try:
        only_ros(NAME, ABOUT, arguments)
        sys.setswitchinterval(SWITCH_S)
        return _start_and_run(arguments, StartupSignals())
    except VlaNavError as error:
        print(f'{NAME}: {error}', file=sys.stderr)
        return 2
    except Exception as error:  # noqa: BLE001  # one line and a status, whatever it is
        print(f'{NAME}: {describe(error)}', file=sys.stderr)
        return 1


def _start_and_run(arguments: Sequence[str], starting: StartupSignals) -> int:
    context = None
    try:
        context = start(arguments)
        node = VlaNavNode(context)
        starting.check()
        return node.run()
    except BaseException:
        if not starting.interrupted:
            raise
    finally:
        if context is not None:
            context.try_shutdown()
    # Libraries turn an interrupt into errors of their own, and Python ends by SIGINT although it
    # was handled where it came while code was being compiled.
    os._exit(0)


if __name__ == '__main__':
    sys.exit(main())
