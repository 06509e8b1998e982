"""A camera in a process of its own: COUNT images at RATE, then it says how many it sent."""

from array import array
import sys
import time

import numpy as np
import rclpy
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rig import image_message, picture
from sensor_msgs.msg import Image

LINGER_S = 1.0  # the last images must not die with their shared memory


def main():
    """Publish as the arguments say: COUNT RATE HEIGHT WIDTH [reliable]."""
    count, height, width = int(sys.argv[1]), int(sys.argv[3]), int(sys.argv[4])
    reliable = sys.argv[5:] == ['reliable']
    rclpy.init()
    node = rclpy.create_node('camera')
    qos = QoSProfile(depth=5, reliability=(
        ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT))
    images = node.create_publisher(Image, 'image', qos)
    # A new picture for each image would take longer than its turn at 50 Hz.
    messages = [image_message(scene(seed, height, width), 1) for seed in range(8)]
    while not images.get_subscription_count():
        time.sleep(0.02)
    time.sleep(0.5)  # discovery is over when both sides know; ours does
    send(node, images, messages, count, 1.0 / float(sys.argv[2]))
    time.sleep(LINGER_S)


def scene(seed, height, width):
    """Return noise with a light side, since noise alone is even gray once it is made small."""
    return picture(seed, height, width) // 2 + np.linspace(0, 127, width).astype(np.uint8)[:, None]


def send(node, images, messages, count, period_s):
    """Publish in even time."""
    start = time.monotonic()
    for number in range(count):
        time.sleep(max(start + number * period_s - time.monotonic(), 0.0))
        msg = messages[number % len(messages)]
        msg.data[:8] = array('B', number.to_bytes(8, 'little'))  # or the camera would be frozen
        stamp = node.get_clock().now().nanoseconds
        msg.header.stamp.sec, msg.header.stamp.nanosec = divmod(stamp, 10 ** 9)
        images.publish(msg)


if __name__ == '__main__':
    main()
