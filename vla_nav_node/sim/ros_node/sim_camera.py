"""The simulated camera's publisher."""

import array

import cv2
import numpy as np
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CompressedImage, Image

from .sim_parameters import SimSettings

CAMERA_FRAME = 'camera_optical_frame'  # REP 103: z forward, x right


class Camera:
    """Publishes pictures as Image, from memory allocated once, or as CompressedImage."""

    def __init__(self, node: Node, settings: SimSettings) -> None:
        """Create the publisher that the settings select."""
        qos = QoSProfile(depth=5, reliability=(
            ReliabilityPolicy.RELIABLE if settings.camera_reliable
            else ReliabilityPolicy.BEST_EFFORT))
        if settings.compressed:
            self.publish = self._publish_compressed
            self._publisher = node.create_publisher(CompressedImage, 'image/compressed', qos)
            return
        self.publish = self._publish_raw
        self._publisher = node.create_publisher(Image, 'image', qos)
        self._image = Image(height=settings.height, width=settings.width, encoding='rgb8',
                            step=3 * settings.width)
        self._image.header.frame_id = CAMERA_FRAME
        # rclpy takes an array as it is; it checks any other type byte by byte, for 41 ms.
        self._image.data = array.array('B', bytes(settings.height * settings.width * 3))
        self._pixels = np.frombuffer(self._image.data, np.uint8).reshape(
            settings.height, settings.width, 3)

    def _publish_raw(self, stamp, rgb: np.ndarray) -> None:
        self._image.header.stamp = stamp
        self._pixels[:] = rgb
        self._publisher.publish(self._image)

    def _publish_compressed(self, stamp, rgb: np.ndarray) -> None:
        _, data = cv2.imencode('.jpg', cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))
        msg = CompressedImage(format='rgb8; jpeg compressed bgr8')
        msg.header.stamp = stamp
        msg.header.frame_id = CAMERA_FRAME
        msg.data = array.array('B', data.tobytes())
        self._publisher.publish(msg)
