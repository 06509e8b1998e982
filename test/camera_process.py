"""A camera in a process of its own: COUNT images at RATE, then it says how many it sent."""

import sys
import time

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
    messages = [image_message(picture(seed, height, width), 1) for seed in range(8)]
    while not images.get_subscription_count():
        time.sleep(0.02)
    time.sleep(0.5)  # discovery is over when both sides know; ours does
    send(node, images, messages, count, 1.0 / float(sys.argv[2]))
    time.sleep(LINGER_S)


def send(node, images, messages, count, period_s):
    """Publish in even time."""
    start = time.monotonic()
    for number in range(count):
        time.sleep(max(start + number * period_s - time.monotonic(), 0.0))
        msg = messages[number % len(messages)]
        stamp = node.get_clock().now().nanoseconds
        msg.header.stamp.sec, msg.header.stamp.nanosec = divmod(stamp, 10 ** 9)
        images.publish(msg)


if __name__ == '__main__':
    main()
