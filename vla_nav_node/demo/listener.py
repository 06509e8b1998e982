"""The demo's ROS 2 node: records what the robot and the node publish, and resets both."""

import json
import time
from typing import Any, Callable, Dict

from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import Twist
import rclpy
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.signals import SignalHandlerOptions
from std_msgs.msg import Float64MultiArray, String
from std_srvs.srv import Trigger

from .record import Episode, Record
from ..errors import VlaNavError

ROBOT, DRIVER = 'sim_robot', 'vla_nav_node'  # names of the nodes
RESET_S = 10.0  # the longest that a reset may take


class Listener:
    """Fills a record; callbacks run in the calling thread, inside `listen`."""

    def __init__(self, record: Record) -> None:
        """Join the ROS graph."""
        rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
        self.record = record
        self.recording = False  # only the cycles of an episode count, not those between two
        self._state: Dict[str, Any] = {}  # of the robot's episode, the newest
        self._first_s = 0.0
        self._node = rclpy.create_node('vla_nav_demo')
        self._resets = {name: self._node.create_client(Trigger, f'{name}/reset')
                        for name in (ROBOT, DRIVER)}
        self._subscribe(String, f'{ROBOT}/episode', self._on_episode)
        self._subscribe(Float64MultiArray, f'{DRIVER}/latency', self._on_latency)
        self._subscribe(Twist, 'cmd_vel', self._on_command)
        self._subscribe(DiagnosticArray, '/diagnostics', self._on_diagnostics)

    def close(self) -> None:
        """Leave the ROS graph."""
        self._node.destroy_node()
        rclpy.try_shutdown()

    def listen(self, seconds: float) -> None:
        """Take messages for `seconds`."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0.0:
            rclpy.spin_once(self._node, timeout_sec=left)

    def missing(self) -> str:
        """Return what is still missing before the robot can drive, or ''."""
        absent = [name for name, client in self._resets.items() if not client.service_is_ready()]
        if absent:
            return 'waiting for ' + ' and '.join(absent)
        if not self._state:
            return f'waiting for the first message from {ROBOT}'
        return '' if self.record.arrivals else f'waiting for the first cycle of {DRIVER}'

    def check_alone(self) -> None:
        """Raise VlaNavError if another robot or driver shares this ROS domain."""
        names = self._node.get_node_names()
        for name in (ROBOT, DRIVER):
            if names.count(name) > 1:
                raise VlaNavError(f'{names.count(name)} nodes named {name} in this ROS domain',
                                  'one', 'end the other one, or set another ROS_DOMAIN_ID')

    def begin(self, number: int) -> Episode:
        """Reset the robot, then the policy's state; return the new episode."""
        before = self._state
        self._reset(ROBOT)
        self._reset(DRIVER)
        self._listen_until(lambda: self._state is not before and not self._state['outcome'],
                           'new episode')
        episode = Episode(number, int(self._state['seed']), str(self._state['scenario']))
        self.record.episodes.append(episode)
        self.recording = True
        return episode

    def _reset(self, name: str) -> None:
        future = self._resets[name].call_async(Trigger.Request())
        self._listen_until(future.done, f'response from {name}/reset')
        response = future.result()
        if not response.success:
            raise VlaNavError(f'{name}/reset refused: {response.message}')

    def _listen_until(self, is_true: Callable[[], bool], what: str) -> None:
        until = time.monotonic() + RESET_S
        while not is_true():
            if time.monotonic() > until:
                raise VlaNavError(f'no {what}', f'one within {RESET_S:g} s')
            self.listen(0.02)

    def _subscribe(self, kind: Any, topic: str, callback: Callable[[Any], None]) -> None:
        # Best effort, which matches every publisher.
        qos = QoSProfile(depth=200, reliability=ReliabilityPolicy.BEST_EFFORT)
        self._node.create_subscription(kind, topic, callback, qos)

    def _on_episode(self, message: String) -> None:
        self._state = json.loads(message.data)
        if self.recording and self.record.episodes[-1].seed == self._state['seed']:
            self.record.episodes[-1].update(self._state)

    def _on_latency(self, message: Float64MultiArray) -> None:
        now_s = time.monotonic()
        self.record.arrivals.append(now_s)
        if self.recording:
            self._first_s = self._first_s or now_s
            self.record.times.append(now_s - self._first_s)
            self.record.cycles.append(tuple(message.data))

    def _on_command(self, message: Twist) -> None:
        self.record.command = (message.linear.x, message.linear.y)

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            self.record.health[status.name.split()[-1]] = status.message
            self.record.counts.update({pair.key: pair.value for pair in status.values})
