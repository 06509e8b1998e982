"""The ROS 2 node: its parameters, its services, its states, and its end."""

from dataclasses import fields
import os
import sys
from threading import Event, Lock
from typing import Any, Callable, Dict, List, Optional

from diagnostic_msgs.msg import DiagnosticArray
from rcl_interfaces.msg import SetParametersResult
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.executors import MultiThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from std_srvs.srv import SetBool, Trigger

from . import messages
from .configured import Configured
from .lifecycle import Lifecycle, SERVICES
from .parameter_calls import (
    answer, changed_parameters, declare, set_parameters, stored)
from .start.distribution import has_stamped_commands
from .start.ros_log import log_to_ros
from .start.shutdown_context import NodeContext
from .start.unused_settings import refuse_unused
from ..backends import BACKENDS
from ..bundle.bundle import load_bundle
from ..bundle.changed_on_disk import BundleChanges
from ..driving.diagnostics.statuses import OK, realtime_status, Status, STATUSES
from ..driving.parameters import MODEL, parameters, Settings, settings_of, updated
from ..errors import BackendError, VlaNavError
from ..policy.retune import Retune
from ..system.realtime import Realtime
from ..system.shutdown_signals import ShutdownSignals, StartupSignals
from ..system.threads import Threads

NAME = 'vla_nav_node'
ABOUT = """Drive a robot by camera: subscribe to images, publish velocity commands.

parameters: """ + ', '.join(field.name for field in fields(Settings)) + """
(described in README.md, and by ros2 param describe /vla_nav_node NAME while the node runs)"""
# Topics and services, which can be remapped.
TOPICS = ('image', 'image/compressed', 'cmd_vel', 'bond', '~/latency', '/diagnostics', '~/enable',
          '~/reset', '~/retune', '~/transition_event', *(f'~/{name}' for name in SERVICES))
IDLE_S = 0.2  # how often the services' thread checks whether it has to end
REPORT_S = 1.0
NO_BOND = ('the ROS package bond is not installed: nav2_lifecycle_manager needs it, or its '
           'parameter bond_timeout set to 0.0')


class VlaNavNode(Node):
    """A managed node: images in and commands out while it is active."""

    def __init__(self, context: NodeContext) -> None:
        """Check the bundle's files and all parameters, or raise VlaNavError; open nothing."""
        super().__init__(NAME, context=context)
        self._ros_context = context
        log_to_ros(self.get_logger())
        bundle = load_bundle(declare(self, [MODEL])['model'])
        self._table = parameters(bundle.limits, tuple(BACKENDS), bundle.input.rotation,
                                 has_stamped_commands(os.environ))
        self._settings = settings_of(self._table, {
            'model': self.get_parameter('model').value,
            **declare(self, [row for row in self._table if row is not MODEL])})
        refuse_unused(self, context.arguments, TOPICS)
        self.configured: Optional[Configured] = None
        self._bundle_changes = BundleChanges(bundle)
        self._changing = Lock()  # what exists, or the settings it is built from
        self._failure = ''
        self._ending = ShutdownSignals()
        self._realtime = Realtime(self._settings.realtime, self.get_logger())
        self._threads = Threads(self._on_failure)
        self._diagnostics = self.create_publisher(DiagnosticArray, '/diagnostics', 10)
        self.lifecycle = Lifecycle(self, {
            'configure': self._configure, 'activate': self._activate,
            'deactivate': self._deactivate, 'cleanup': self._release, 'shutdown': self._release,
            'error': self._release})
        self._retune = Retune(bundle.directory, self._is_disabled, self._apply_tuned,
                              self.get_logger())
        self._make_services()

    def run(self, starting: StartupSignals) -> int:
        """Run until a signal, a shutdown of ROS or a failure; return the exit status."""
        self._ros_context.before_shutdown = self._before_shutdown
        self._realtime.lock_memory()
        try:
            self._threads.start('services', self._serve)
            self._threads.start('states', self._report_state)
            self._threads.start('retune', self._retune.run)
            if self._settings.autostart:
                self._start_by_itself('configure')
                starting.check()
            self._ending.catch_signals()  # from here on the robot may drive
            if self._settings.autostart:
                self._start_by_itself('activate')
        except BaseException:
            self._threads.stopping.set()  # a failure from now on only means that ROS is gone
            if not starting.interrupted:  # else the process ends at once
                self._threads.stop()  # a thread that spins while Python ends aborts the process
            raise
        return self._end(self._ending.wait(self._pause))

    def _start_by_itself(self, label: str) -> None:
        error = self.lifecycle.trigger(label)
        if error is not None:
            raise error

    def _configure(self) -> None:
        with self._changing:
            self.configured = Configured(self, self._bundle_changes, self._settings,
                                         self._realtime, self._publish, self._on_failure)
            wanted, self._settings = self._settings, self.configured.settings
        if wanted != self._settings:  # so that `ros2 param get` tells what drives
            super().set_parameters_atomically(changed_parameters(wanted, self._settings))
        if not self._settings.autostart and not self.configured.heartbeat.is_possible:
            self.get_logger().warning(NO_BOND)

    def _activate(self) -> None:
        assert self.configured is not None
        self.configured.activate()
        self.get_logger().info(f'ready: {self.configured.policy.backend.info}, waiting for images '
                               f'on {self.configured.camera.topic}')

    def _deactivate(self) -> None:
        assert self.configured is not None
        self.configured.deactivate()

    def _release(self) -> None:
        """Stop the robot and release what `_configure` opened; after an error, too."""
        configured = self.configured
        if configured is None:
            return
        configured.deactivate()
        with self._changing:
            if not configured.close():
                raise BackendError('a backend hangs and cannot be closed', fix='restart the node')
            self.configured = None

    def _pause(self, name: str, stop_process: Callable[[], None]) -> None:
        """Stop the robot, then the process; resume from standstill, on new images."""
        if self.configured is None:
            stop_process()
            return
        self.configured.pause(f'the process is stopped by {name}', stop_process)
        self.get_logger().warning(f'resumed after {name}: the robot starts from standstill')

    def _before_shutdown(self) -> None:
        reason = 'ROS was shut down'
        if self.configured is not None:
            self.configured.stop_for_good(reason)
            self.configured.reporter.report()
            self.configured.threads.stopping.set()
        self._threads.stopping.set()  # a failure from now on only means that ROS is gone
        self._ending.request(reason)

    def _end(self, reason: str) -> int:
        self._ros_context.before_shutdown = None
        configured, status = self.configured, 1 if self._failure else 0
        if configured is not None:
            configured.stop_for_good(reason)
        self.get_logger().info(f'stopped the robot: {reason}')
        self._threads.stopping.set()
        if not (configured is None or configured.close()) or not self._threads.stop():
            # A thread that hangs in a runtime cannot be ended, and would keep the process alive.
            sys.stderr.flush()
            os._exit(status)
        self.destroy_node()
        return status

    def _serve(self, stopping: Event) -> None:
        """Answer services, in a thread for each callback group so that none waits for another."""
        groups = (self.default_callback_group, *self._groups, *self.lifecycle.groups)
        executor = MultiThreadedExecutor(num_threads=len(groups) + 1, context=self.context)
        executor.add_node(self)
        while not stopping.is_set():
            executor.spin_once(timeout_sec=IDLE_S)
        executor.shutdown(timeout_sec=IDLE_S)

    def _report_state(self, stopping: Event) -> None:
        """Publish the state while nothing is configured that could report more."""
        while not stopping.is_set():
            if self.configured is None:
                self._publish([Status(name, OK, f'{self.lifecycle.label}: publishes no commands '
                                      'until it is configured and activated', {})
                               for name in STATUSES])  # else they would go stale
            stopping.wait(REPORT_S)

    def _on_failure(self, failure: str) -> None:
        """Stop the robot at once, in the thread that failed."""
        self._failure = self._failure or failure
        try:
            if self.configured is not None:
                self.configured.output.close(failure)
        finally:
            self.get_logger().fatal(failure)
            self._ending.request(failure)

    def _make_services(self) -> None:
        # In separate groups: the robot can be disabled while a swap or a reset waits.
        self._groups = [MutuallyExclusiveCallbackGroup() for _ in range(2)]
        self.create_service(Trigger, '~/reset', self._on_reset, callback_group=self._groups[0])
        self.create_service(SetBool, '~/enable', self._on_enable, callback_group=self._groups[1])
        self.create_service(Trigger, '~/retune', self._on_retune, callback_group=self._groups[0])
        self.add_on_set_parameters_callback(
            lambda wanted: answer(self._on_parameters, wanted))

    def _publish(self, statuses: List[Status]) -> None:
        if self._realtime.on:
            statuses = [*statuses, realtime_status(self._realtime.answers)]
        if self.context.ok():
            self._diagnostics.publish(messages.diagnostics(
                (self.configured or self.get_clock()).now().to_msg(), statuses,
                self.get_fully_qualified_name().lstrip('/'), self._settings.hardware_id))

    def set_parameters_atomically(self, parameter_list: List[Parameter]) -> SetParametersResult:
        """Set parameters, all or none; ROS's services for one and for several call this."""
        return set_parameters(self, self._table, self._settings, parameter_list,
                              super().set_parameters_atomically)

    def _on_parameters(self, values: Dict[str, Any]) -> None:
        """Apply new settings, all or none."""
        settings = updated(self._settings, self._table, values)
        if not self._changing.acquire(blocking=False):
            raise VlaNavError(f'the node is {self.lifecycle.label}',
                              fix='set the parameter when that has ended')
        try:
            if self.configured is not None:
                self.configured.apply(settings, values)
            self._settings = settings
        finally:
            self._changing.release()

    def _active(self) -> Configured:
        """
        Return what drives, or raise VlaNavError if nothing does.

        Commands leave shortly before the state is active, and the robot must be stoppable then.
        """
        if self.configured is None or not self.configured.loop.active:
            raise VlaNavError(f'the node is {self.lifecycle.label}', 'an active node',
                              f'ros2 lifecycle set {self.get_fully_qualified_name()} activate')
        return self.configured

    def _on_reset(self, request: Trigger.Request,
                  response: Trigger.Response) -> Trigger.Response:
        try:
            loop = self._active().loop
            loop.between_cycles(loop.reset)
            response.success, response.message = True, 'policy state reset'
        except VlaNavError as error:
            response.success, response.message = False, str(error)
        return response

    def _on_enable(self, request: SetBool.Request,
                   response: SetBool.Response) -> SetBool.Response:
        try:
            response.message, response.success = self._active().loop.enable(request.data), True
        except VlaNavError as error:
            response.success, response.message = False, str(error)
        return response

    def _on_retune(self, request: Trigger.Request,
                   response: Trigger.Response) -> Trigger.Response:
        try:
            response.message, response.success = self._retune.start(
                self._settings.runtime, self._settings.control_period_ms), True
        except VlaNavError as error:
            response.success, response.message = False, str(error)
        return response

    def _is_disabled(self) -> bool:
        """Return whether no command can leave until somebody asks for it."""
        configured = self.configured
        return configured is None or not configured.loop.active or not configured.output.enabled

    def _apply_tuned(self, values: Dict[str, Any]) -> str:
        """Set parameters that were tuned; return why they are refused, or ''."""
        result = self.set_parameters_atomically(
            [Parameter(name, value=stored(value)) for name, value in values.items()])
        return str(result.reason)
