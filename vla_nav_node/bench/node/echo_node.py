"""A node that answers every image with the same Twist, unread: what the transport alone costs."""

from geometry_msgs.msg import Twist
import rclpy
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import Image


class EchoNode(Node):
    """Raw bytes in, a fixed Twist out."""

    def __init__(self) -> None:
        """Create the answer, once."""
        super().__init__('echo_node')
        self.answer = Twist()
        self.answer.linear.x = 0.1
        self.commands = self.create_publisher(Twist, 'cmd_vel', 1)
        self.create_subscription(Image, 'image', self.on_image, qos_profile_sensor_data, raw=True)

    def on_image(self, data: bytes) -> None:
        """Answer."""
        self.commands.publish(self.answer)


def until_interrupted(node: Node) -> None:
    """Spin as rclpy's examples do, until SIGINT or SIGTERM."""
    try:
        rclpy.spin(node)
    except (KeyboardInterrupt, ExternalShutdownException):
        node.destroy_node()
    finally:
        rclpy.try_shutdown()


if __name__ == '__main__':
    rclpy.init()
    until_interrupted(EchoNode())
