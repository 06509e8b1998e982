"""A camera process that does tricks on command, and prints what it sends."""

import json
import sys
from threading import Thread
import time

import rclpy
from rclpy.qos import qos_profile_sensor_data
from rclpy.time import Time
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Image

from .tricks import Trick, TRICKS


class Camera:
    """Send images until stdin ends; each line there names the next trick."""

    def __init__(self, node, trick: str) -> None:
        """Make the publishers."""
        self._images = node.create_publisher(Image, 'image', qos_profile_sensor_data)
        self._clock = node.create_publisher(Clock, '/clock', 1)
        self._wanted = trick

    def run(self) -> None:
        """Send at the rate of the trick; print each turn."""
        Thread(target=self._listen, daemon=True).start()
        name, number, due = '', 0, time.monotonic()
        while self._wanted:
            if self._wanted != name:
                name, number = self._wanted, 0
            trick = TRICKS[name]
            self._turn(name, trick, number)
            number, due = number + 1, max(due + 1.0 / trick.rate, time.monotonic() - 0.1)
            while time.monotonic() < due and self._wanted == name:
                time.sleep(min(0.005, max(due - time.monotonic(), 0.0)))

    def _turn(self, name: str, trick: Trick, number: int) -> None:
        taken, now_ns = time.monotonic(), time.time_ns() + trick.clock_ns
        if trick.clock_runs:
            self._clock.publish(Clock(clock=Time(nanoseconds=now_ns).to_msg()))
        shots = trick.shoot(number, now_ns)
        for shot in shots:
            self._images.publish(shot.message)
        print(json.dumps([taken, name, any(shot.good for shot in shots)]), flush=True)

    def _listen(self) -> None:
        for line in sys.stdin:
            self._wanted = line.strip()
        self._wanted = ''


def main() -> None:
    """Run a camera; arguments: its name and its first trick."""
    rclpy.init()
    _, name, trick = sys.argv
    Camera(rclpy.create_node(name), trick).run()


if __name__ == '__main__':
    main()
