"""A camera and wheels in one thread: sends an image, waits for the command, notes how long."""

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
PATIENCE_S = 1.0  # an answer that takes longer is none
KEPT = 4000  # latencies of one block that the middleware keeps until they are read
QUIET_S = 0.5  # without another one: all that there are have been read
STALE_S = 0.02  # the same for those from before a block, which arrived long ago
PICTURES = 8
STANDING = (0.0, 0.0)
STAMP, STAMP_AT = Struct('<iI'), 4  # in a serialised message, after the four bytes of CDR's header
# In its first pixels, so that no picture comes twice: the node would call the camera frozen.
NUMBER, NUMBER_AT = Struct('<Q'), 48


@dataclass
class Block:
    """What came of some images to one side; `add` joins two."""

    waits_ms: List[Optional[float]] = field(default_factory=list)  # None: no answer
    skipped: int = 0  # turns of the camera that passed while an answer was waited for
    cycles: List[Sequence[float]] = field(default_factory=list)  # as the side's `fields`

    def add(self, other: 'Block') -> None:
        """Take the other's figures in."""
        self.waits_ms += other.waits_ms
        self.skipped += other.skipped
        self.cycles += other.cycles


class Probe:
    """
    Measure one side.

    Of two images only one is ever on its way, so that an answer belongs to one image without
    doubt. Turns that pass meanwhile are counted: a node that is late does not get away with it.
    Everything is in one thread and one process, so that the two ends share a clock and nothing of
    ours competes with what is measured.
    """

    def __init__(self, side: Side) -> None:
        """Join the graph; rclpy.init comes before."""
        self.side = side
        self._node = _bare_node(f'probe_{side.name}', side.namespace)
        self._images = self._node.create_publisher(Image, 'image', qos_profile_sensor_data)
        self._node.create_subscription(Twist, 'cmd_vel', self._on_command, QoSProfile(depth=100))
        self._executor = _executor(self._node)
        # Read after a block, from the middleware: it shall not cost anything meanwhile.
        self._ear = _bare_node(f'ear_{side.name}', side.namespace)
        self._cycles: List[Sequence[float]] = []
        if side.fields:
            self._ear.create_subscription(Float64MultiArray, f'{side.node}/latency',
                                          self._on_latency, QoSProfile(depth=KEPT))
        self._ear_executor = _executor(self._ear)
        self._last: Optional[Tuple[float, float]] = None
        self._answer_s: Optional[float] = None

    def close(self) -> None:
        """Leave the graph."""
        for executor, node in ((self._executor, self._node), (self._ear_executor, self._ear)):
            executor.shutdown(timeout_sec=1.0)
            node.destroy_node()

    def film(self, pictures: Sequence[bytearray], frames: int, warm_up: int = 0,
             period_s: float = PERIOD_S) -> Block:
        """
        Send `warm_up` images that do not count, then `frames` that do.

        One follows the other after `period_s`, or when it has been answered if that is 0.
        """
        self._read_cycles(math.inf, STALE_S)
        self._cycles.clear()
        block, slot, start_s = Block(), 0, time.perf_counter()
        for number in range(-warm_up, frames):
            self._listen(start_s + slot * period_s)
            wait_ms = self.ask(pictures[number % len(pictures)])
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

    def ask(self, picture: bytearray, patience_s: float = PATIENCE_S) -> Optional[float]:
        """Send one image; give the ms from its stamp to the command, None if none came."""
        self._answer_s = None
        sent_s = time.perf_counter()
        STAMP.pack_into(picture, STAMP_AT, *divmod(time.time_ns(), 10 ** 9))
        NUMBER.pack_into(picture, NUMBER_AT, time.perf_counter_ns())
        self._images.publish(bytes(picture))
        self._listen(sent_s + patience_s, until_answer=True)
        if self._answer_s is not None:
            return 1e3 * (self._answer_s - sent_s)
        if patience_s >= PATIENCE_S:  # what comes late must not be taken for the next one's
            self._listen(time.perf_counter() + PATIENCE_S)
        return None

    def _listen(self, until_s: float, until_answer: bool = False) -> None:
        while (left_s := until_s - time.perf_counter()) > 0.0:
            if until_answer and self._answer_s is not None:
                return
            self._executor.spin_once(timeout_sec=left_s)

    def _on_command(self, msg: Twist) -> None:
        now_s = time.perf_counter()
        command = (msg.linear.x, msg.linear.y)
        if command == STANDING:  # a stop is no answer
            self._last = None
        elif not (self.side.repeats and command == self._last):
            self._last = command
            self._answer_s = self._answer_s or now_s

    def _on_latency(self, msg: Float64MultiArray) -> None:
        self._cycles.append(tuple(msg.data))

    def _read_cycles(self, wanted: float, quiet_s: float) -> None:
        """Read until as many are there as are wanted, or none has come for `quiet_s`."""
        until_s = time.perf_counter() + quiet_s
        while len(self._cycles) < wanted and (left_s := until_s - time.perf_counter()) > 0.0:
            seen = len(self._cycles)
            self._ear_executor.spin_once(timeout_sec=left_s)
            if len(self._cycles) > seen:
                until_s = time.perf_counter() + quiet_s


def make_pictures(width: int, height: int) -> List[bytearray]:
    """
    Give serialised rgb8 messages of smooth random pictures; none is like the one before it.

    Serialised, so that the sender costs as little as a camera's driver in C++ does.
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
    """Make a node without services, whose executor has nothing but our subscription to look at."""
    return rclpy.create_node(
        name, namespace=namespace, use_global_arguments=False, enable_rosout=False,
        start_parameter_services=False,
        parameter_overrides=[Parameter('start_type_description_service', value=False)])


def _executor(node: Node) -> SingleThreadedExecutor:
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    return executor
