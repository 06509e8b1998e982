"""
The node that one would write at first, with the same policy: ours is compared with it.

It takes the whole message, cv_bridge (NumPy without it, which is faster), PIL's resize, NumPy's
normalisation, and torch eager with the parameter `threads` (0: torch's default); everything else
is in the one thread of rclpy.spin. It has none of our checks. A cycle begins with the serialised
message, as ours does. rclpy has deserialised it before the callback is called, so that time is
measured on the same message after the command is published.
"""

import time

from geometry_msgs.msg import Twist
import numpy as np
from PIL import Image as Picture, ImageOps
import rclpy
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import Image
from std_msgs.msg import Float64MultiArray
import torch

from .echo_node import until_interrupted
from ...backends.torch.network import load_network
from ...bundle.bundle import load_bundle, WEIGHTS

try:
    from cv_bridge import CvBridge
except ImportError:  # not on PyPI
    CvBridge = None


class IdiomaticNode(Node):
    """Image in, Twist out, in one callback."""

    def __init__(self) -> None:
        """Load the weights and subscribe."""
        super().__init__('idiomatic_node')
        bundle = load_bundle(self.declare_parameter('model', '').value)
        self.network = load_network(bundle.file(WEIGHTS), bundle.architecture,
                                    bundle.mean, bundle.std)
        self.state = self.network.zero_state()
        threads = self.declare_parameter('threads', 0).value
        torch.set_num_threads(threads or torch.get_num_threads())
        self.size = (bundle.input.width, bundle.input.height)
        self.mean, self.std = (np.array(x, np.float32) for x in (bundle.mean, bundle.std))
        self.bridge = CvBridge() if CvBridge else None
        self.commands = self.create_publisher(Twist, 'cmd_vel', 1)
        self.latencies = self.create_publisher(Float64MultiArray, '~/latency', 10)
        self.create_subscription(Image, 'image', self.on_image, qos_profile_sensor_data)

    def on_image(self, msg: Image) -> None:
        """Run the policy on one image and publish its action."""
        received = time.perf_counter()
        pixels = self.normalise(self.to_rgb(msg))
        before = time.perf_counter()
        action = self.infer(pixels)
        inferred = time.perf_counter()
        command = Twist()
        command.linear.x, command.linear.y = action
        self.commands.publish(command)
        cycle = time.perf_counter() - received
        serialised = serialize_message(msg)
        received = time.perf_counter()
        deserialize_message(serialised, Image)
        deserialise = time.perf_counter() - received
        self.latencies.publish(Float64MultiArray(data=[
            1e3 * (deserialise + cycle), 1e3 * (inferred - before), 1e3 * deserialise]))

    def to_rgb(self, msg: Image) -> np.ndarray:
        """Return uint8 [H, W, 3]."""
        if self.bridge:
            return self.bridge.imgmsg_to_cv2(msg, 'rgb8')
        return np.frombuffer(msg.data, np.uint8).reshape(msg.height, msg.width, 3)

    def normalise(self, rgb: np.ndarray) -> np.ndarray:
        """Return the image cropped to the middle, resized and normalised, float32 [3, H, W]."""
        picture = ImageOps.fit(Picture.fromarray(rgb), self.size, Picture.Resampling.BILINEAR)
        pixels = (np.asarray(picture, dtype=np.float32) - self.mean) / self.std
        return np.ascontiguousarray(pixels.transpose(2, 0, 1))

    @torch.no_grad()
    def infer(self, pixels: np.ndarray) -> list:
        """Return vx and vy in m/s."""
        features = self.network.vision_encoder(torch.from_numpy(pixels)[None])
        hidden, self.state = self.network.sequence(features[:, None], self.state)
        return self.network.actions(hidden[:, 0])[0].tolist()


if __name__ == '__main__':
    rclpy.init()
    until_interrupted(IdiomaticNode())
