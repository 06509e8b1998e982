"""A camera and a base in one thread: send an image, wait for the command, record the time."""

from array import array
from dataclasses import dataclass, field
import math
from struct import Struct
import time
from typing import List, Optional, Sequence, Tuple

import cv2
from geometry_msgs.msg import Twist
import numpy as np
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import qos_profile_sensor_data, QoSProfile
from rclpy.serialization import serialize_message
from sensor_msgs.msg import Image
from std_msgs.msg import Float64MultiArray

from .sides import Side

RATE_HZ = 50.0
PERIOD_S = 1.0 / RATE_HZ
PATIENCE_S = 1.0  # an answer that takes longer does not count
KEPT = 4000  # latencies of one block that the middleware keeps until they are read
QUIET_S = 0.5  # without another latency: all have been read
STALE_S = 0.02  # the same for those from before a block, which have long arrived
PICTURES = 8
STOP = (0.0, 0.0)
STAMP, STAMP_AT = Struct('<iI'), 4  # in a serialised message, after the four bytes of CDR's header
# In its first pixels: the node calls a camera frozen that sends the same picture again.
NUMBER, NUMBER_AT = Struct('<Q'), 48


@dataclass
class Block:
    """The results of some images to one side."""

    waits_ms: List[Optional[float]] = field(default_factory=list)  # None: no answer
    skipped: int = 0  # periods of the camera that passed while waiting for an answer
    cycles: List[Sequence[float]] = field(default_factory=list)  # as the side's `fields`

    def add(self, other: 'Block') -> None:
        """Add the results of another block."""
        self.waits_ms += other.waits_ms
        self.skipped += other.skipped
        self.cycles += other.cycles


class Probe:
    """
    Measure one side.

    Only one image is ever on its way, so that each answer belongs to one image. Periods that
    pass meanwhile are counted against a late node. Everything is in one thread and one process,
    so that both ends share a clock and nothing here competes with what is measured.
    """

    def __init__(self, side: Side) -> None:
        """Join the graph; call rclpy.init first."""
        self.side = side
        self._node = _bare_node(f'probe_{side.name}', side.namespace)
        self._images = self._node.create_publisher(Image, 'image', qos_profile_sensor_data)
        self._node.create_subscription(Twist, 'cmd_vel', self._on_command, QoSProfile(depth=100))
        self._executor = _executor(self._node)
        # Read from the middleware after a block, so that it costs nothing meanwhile.
        self._latency_node = _bare_node(f'latency_{side.name}', side.namespace)
        self._cycles: List[Sequence[float]] = []
        if side.fields:
            self._latency_node.create_subscription(
                Float64MultiArray, f'{side.node}/latency', self._on_latency,
                QoSProfile(depth=KEPT))
        self._latency_executor = _executor(self._latency_node)
        self._last: Optional[Tuple[float, float]] = None
        self._answer_s: Optional[float] = None

    def close(self) -> None:
        """Leave the graph."""
        for executor, node in ((self._executor, self._node),
                               (self._latency_executor, self._latency_node)):
            executor.shutdown(timeout_sec=1.0)
            node.destroy_node()

    def measure(self, pictures: Sequence[bytearray], frames: int, warm_up: int = 0,
                period_s: float = PERIOD_S) -> Block:
        """
        Send `warm_up` images that do not count, then `frames` that do.

        One follows the other after `period_s`, or as soon as it is answered if that is 0.
        """
        self._read_cycles(math.inf, STALE_S)
        self._cycles.clear()
        block, slot, start_s = Block(), 0, time.perf_counter()
        for number in range(-warm_up, frames):
            self._spin(start_s + slot * period_s)
            wait_ms = self.send(pictures[number % len(pictures)])
            elapsed_s = time.perf_counter() - start_s
            passed = math.ceil(elapsed_s / period_s) if period_s else slot + 1
            skipped, slot = max(passed - slot - 1, 0), max(passed, slot + 1)
            if number >= 0:
                block.waits_ms.append(wait_ms)
                block.skipped += skipped
        if self.side.fields:
            self._read_cycles(warm_up + frames, QUIET_S)
            block.cycles = self._cycles[warm_up:]
        return block

    def send(self, picture: bytearray, patience_s: float = PATIENCE_S) -> Optional[float]:
        """Send one image; return the ms from its stamp to the command, None without an answer."""
        self._answer_s = None
        sent_s = time.perf_counter()
        renew(picture)
        self._images.publish(bytes(picture))
        self._spin(sent_s + patience_s, until_answer=True)
        if self._answer_s is not None:
            return 1e3 * (self._answer_s - sent_s)
        if patience_s >= PATIENCE_S:  # a late answer must not count for the next image
            self._spin(time.perf_counter() + PATIENCE_S)
        return None

    def _spin(self, until_s: float, until_answer: bool = False) -> None:
        while (left_s := until_s - time.perf_counter()) > 0.0:
            if until_answer and self._answer_s is not None:
                return
            self._executor.spin_once(timeout_sec=left_s)

    def _on_command(self, msg: Twist) -> None:
        now_s = time.perf_counter()
        command = (msg.linear.x, msg.linear.y)
        if command == STOP:  # a stop is no answer
            self._last = None
        elif not (self.side.repeats and command == self._last):
            self._last = command
            self._answer_s = self._answer_s or now_s

    def _on_latency(self, msg: Float64MultiArray) -> None:
        self._cycles.append(tuple(msg.data))

    def _read_cycles(self, wanted: float, quiet_s: float) -> None:
        """Read until there are as many as `wanted`, or none has come for `quiet_s`."""
        until_s = time.perf_counter() + quiet_s
        while len(self._cycles) < wanted and (left_s := until_s - time.perf_counter()) > 0.0:
            seen = len(self._cycles)
            self._latency_executor.spin_once(timeout_sec=left_s)
            if len(self._cycles) > seen:
                until_s = time.perf_counter() + quiet_s


def renew(picture: bytearray) -> None:
    """Set the stamp of a serialised picture to now, and make it unlike all before."""
    STAMP.pack_into(picture, STAMP_AT, *divmod(time.time_ns(), 10 ** 9))
    NUMBER.pack_into(picture, NUMBER_AT, time.perf_counter_ns())


def make_pictures(width: int, height: int) -> List[bytearray]:
    """
    Return serialised rgb8 messages of smooth random pictures, each unlike the one before it.

    They are serialised, so that the sender costs as little as a camera's driver in C++.
    """
    messages = []
    for seed in range(PICTURES):
        coarse = np.random.default_rng(seed).integers(0, 256, (9, 12, 3), dtype=np.uint8)
        rgb = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
        msg = Image(height=height, width=width, encoding='rgb8', step=3 * width)
        msg.data = array('B', rgb.tobytes())
        messages.append(bytearray(serialize_message(msg)))
    return messages


def _bare_node(name: str, namespace: str) -> Node:
    """Return a node without services, whose executor handles our subscription only."""
    return rclpy.create_node(
        name, namespace=namespace, use_global_arguments=False, enable_rosout=False,
        start_parameter_services=False,
        parameter_overrides=[Parameter('start_type_description_service', value=False)])


def _executor(node: Node) -> SingleThreadedExecutor:
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    return executor
