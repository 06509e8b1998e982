"""Listen to the cameras for some seconds: rate, size, losses, and stamps against this clock."""

from statistics import median
import time
from typing import Any, Callable, Dict, List

import rclpy
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.subscription import Subscription
from sensor_msgs.msg import CompressedImage, Image

from ..cdr import read_compressed_image, read_image
from ...driving.diagnostics.graph import RELIABLE
from ...errors import ImageError
from ...types import Frame

DEPTH = 100  # a probe of the lowest priority must not lose what arrived
MOST_TOPICS = 3
COMPRESSED = 'sensor_msgs/msg/CompressedImage'


class Ear:
    """What was heard on one topic."""

    def __init__(self, node: Node, facts: Dict[str, Any]) -> None:
        """Subscribe as the node does: reliable if every publisher offers it."""
        self.frames: List[Frame] = []
        self.ages_s: List[float] = []
        self.problem = ''
        self._clock = node.get_clock()
        compressed = facts['kind'] == COMPRESSED
        self._read: Callable[..., Frame] = read_compressed_image if compressed else read_image
        offers = {entry[2] for entry in facts['publishers'] if entry[1] == facts['kind']}
        policy = (ReliabilityPolicy.RELIABLE if offers == {RELIABLE}
                  else ReliabilityPolicy.BEST_EFFORT)
        # Humble passes only the message.
        callback: Any = self._with_info if hasattr(Subscription, 'CallbackType') else self._hear
        node.create_subscription(
            CompressedImage if compressed else Image, facts['topic'], callback,
            QoSProfile(depth=DEPTH, reliability=policy), raw=True)

    def _with_info(self, raw: bytes, info: Dict[str, Any]) -> None:
        self._hear(raw, info.get('publication_sequence_number') or 0)

    def _hear(self, raw: bytes, sequence: int = 0) -> None:
        now_ns = self._clock.now().nanoseconds
        try:
            frame = self._read(raw, time.perf_counter_ns(), sequence)
        except ImageError as error:
            self.problem = str(error)
            return
        self.ages_s.append((now_ns - frame.stamp_ns) / 1e9)
        # Only what the figures need: the picture itself would be kept, too.
        self.frames.append(Frame(b'', frame.encoding, frame.height, frame.width, frame.step,
                                 frame.stamp_ns, frame.received_ns, sequence=sequence,
                                 compressed=frame.compressed))

    def facts(self) -> Dict[str, Any]:
        """Return what was heard in figures."""
        frames = self.frames
        if len(frames) < 2:
            return {'images': len(frames), 'problem': self.problem}
        spans = [(later.received_ns - earlier.received_ns) / 1e9
                 for earlier, later in zip(frames, frames[1:])]
        first = frames[0]
        return {'images': len(frames), 'problem': self.problem, 'hz': 1 / max(median(spans), 1e-6),
                'size': [first.width, first.height], 'encoding': first.encoding,
                'age_s': median(self.ages_s), 'lost': self._lost(),
                'numbered': first.sequence > 0}

    def _lost(self) -> int:
        """Return the missing sequence numbers; without them, the missing periods of the stamps."""
        frames = self.frames
        if frames[0].sequence:
            return max(frames[-1].sequence - frames[0].sequence + 1 - len(frames), 0)
        steps = [later.stamp_ns - earlier.stamp_ns for earlier, later in zip(frames, frames[1:])]
        period = max(median(steps), 1)
        return sum(max(round(step / period) - 1, 0) for step in steps)


def listen(node: Node, images: List[Dict[str, Any]], seconds: float) -> Dict[str, Dict[str, Any]]:
    """Listen to the first topics, and return the figures of each."""
    if seconds <= 0:
        return {}
    ears = {facts['topic']: Ear(node, facts) for facts in images[:MOST_TOPICS]}
    end_s = time.monotonic() + (seconds if ears else 0.0)
    while (left_s := end_s - time.monotonic()) > 0:
        rclpy.spin_once(node, timeout_sec=left_s)
    return {topic: ear.facts() for topic, ear in ears.items()}
