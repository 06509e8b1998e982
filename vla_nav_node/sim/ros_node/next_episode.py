"""What follows an episode of the simulated robot: the next one, by itself or on request."""

import math

from rclpy.node import Node
from std_srvs.srv import Trigger

PAUSE_S = 2.0  # between the end of an episode and the start of the next one
LOOP, ONE = 'loop', 'one'
DRIVER_RESET = 'vla_nav_node/reset'  # of the node that drives, in the same namespace


class NextEpisode:
    """Log how the next episode starts, tell when it is due, and clear the policy's memory."""

    def __init__(self, node: Node, loop: bool) -> None:
        """With `loop` the next episode is due by itself."""
        self._node, self._loop = node, loop
        self._due_at = math.inf
        self._driver = node.create_client(Trigger, DRIVER_RESET)

    def after(self, outcome: str, now: float) -> None:
        """Take the end of an episode."""
        if self._loop:
            self._due_at = now + PAUSE_S
            follows = f'the next episode starts in {PAUSE_S:g} s'
        else:
            follows = ('to start the next episode: ros2 service call '
                       f'{self._node.resolve_service_name("~/reset")} std_srvs/srv/Trigger')
        self._node.get_logger().info(f'{outcome}; {follows}')

    def is_due(self, now: float) -> bool:
        """Return whether the next episode should start."""
        return now >= self._due_at

    def started(self) -> None:
        """Clear the policy's memory of the episode before, if a node drives."""
        self._due_at = math.inf
        if self._driver.service_is_ready():
            self._driver.call_async(Trigger.Request())  # an inactive node has no memory
