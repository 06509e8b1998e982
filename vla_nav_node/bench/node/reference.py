"""What the reference nodes share: how they run and end."""

import rclpy
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node


def until_interrupted(node: Node) -> None:
    """Spin as rclpy's examples do, until SIGINT or SIGTERM."""
    try:
        rclpy.spin(node)
    except (KeyboardInterrupt, ExternalShutdownException):
        node.destroy_node()
    finally:
        rclpy.try_shutdown()
