"""The node's side of the bond to nav2_lifecycle_manager: a heartbeat of the watchdog."""

from threading import Lock
import time
from typing import Any, Optional
from uuid import uuid4

from rclpy.node import Node

# bond/msg/Constants and nav2_util::LifecycleNode: how often, and how long the manager waits.
PERIOD_S, TIMEOUT_S = 0.1, 4.0
TOPIC = 'bond'


class Heartbeat:
    """
    Publish bond/Status while the node is active.

    bondpy beats in a thread of its own and would prove that the process lives. Here the watchdog
    beats: when it no longer does, the manager sees it within TIMEOUT_S. As in Nav2's own nodes,
    the node does not time the manager out, so it needs no subscription.
    """

    def __init__(self, node: Node) -> None:
        """Make the publisher, if the ROS package bond is installed."""
        self._node = node
        self._lock = Lock()  # no beat may follow the broken bond
        self._next_s: Optional[float] = None
        self._status: Any = None
        self._publisher: Any = None
        try:
            from bond.msg import Status
        except ImportError:
            return
        self._publisher = node.create_publisher(Status, TOPIC, 1)
        self._status = Status(id=node.get_name(), heartbeat_timeout=TIMEOUT_S,
                              heartbeat_period=PERIOD_S)

    @property
    def is_possible(self) -> bool:
        """Return whether a manager can form a bond with this node."""
        return self._status is not None

    def start(self) -> None:
        """Beat from now on, as a new instance: a manager takes no second bond with an old one."""
        if self.is_possible:
            self._status.instance_id = str(uuid4())
            self._next_s = 0.0

    def stop(self) -> None:
        """Break the bond."""
        with self._lock:
            if self._next_s is not None:
                self._next_s = None
                self._publish(False)

    def close(self) -> None:
        """Destroy the publisher."""
        if self._publisher is not None:
            self._node.destroy_publisher(self._publisher)

    def beat(self) -> None:
        """Publish if it is due; for the watchdog's thread."""
        with self._lock:
            if self._next_s is not None and time.monotonic() >= self._next_s:
                self._next_s = time.monotonic() + PERIOD_S
                self._publish(True)

    def _publish(self, active: bool) -> None:
        self._status.header.stamp = self._node.get_clock().now().to_msg()
        self._status.active = active
        self._publisher.publish(self._status)
