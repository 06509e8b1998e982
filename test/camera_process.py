"""A camera process that sends COUNT images at RATE."""

from array import array
import sys
import time

import numpy as np
import rclpy
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rig import image_message, picture
from sensor_msgs.msg import Image

LINGER_S = 1.0  # the last images would be lost with their shared memory


def main():
    """Publish images; arguments: COUNT RATE HEIGHT WIDTH [reliable]."""
    count, height, width = int(sys.argv[1]), int(sys.argv[3]), int(sys.argv[4])
    reliable = sys.argv[5:] == ['reliable']
    rclpy.init()
    node = rclpy.create_node('camera')
    qos = QoSProfile(depth=5, reliability=(
        ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT))
    images = node.create_publisher(Image, 'image', qos)
    # Making a new picture for each image would be too slow for 50 Hz.
    messages = [image_message(scene(seed, height, width), 1) for seed in range(8)]
    while not images.get_subscription_count():
        time.sleep(0.02)
    time.sleep(0.5)  # until the other side has discovered this one too
    send(node, images, messages, count, 1.0 / float(sys.argv[2]))
    time.sleep(LINGER_S)


def scene(seed, height, width):
    """Return noise on a gradient; noise alone is uniform gray when it is scaled down."""
    return picture(seed, height, width) // 2 + np.linspace(0, 127, width).astype(np.uint8)[:, None]


def send(node, images, messages, count, period_s):
    """Publish at a steady rate."""
    start = time.monotonic()
    for number in range(count):
        time.sleep(max(start + number * period_s - time.monotonic(), 0.0))
        msg = messages[number % len(messages)]
        msg.data[:8] = array('B', number.to_bytes(8, 'little'))  # else the picture is frozen
        stamp = node.get_clock().now().nanoseconds
        msg.header.stamp.sec, msg.header.stamp.nanosec = divmod(stamp, 10 ** 9)
        images.publish(msg)


if __name__ == '__main__':
    main()
