"""Subscribe to cmd_vel as Twist and as TwistStamped at once."""

from threading import Event, Thread
from typing import Any, Callable, List

from geometry_msgs.msg import Twist, TwistStamped
import rclpy
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

TOPIC = 'cmd_vel'
IDLE_S = 0.1  # how often the thread checks whether it has to end


class CommandSubscriptions:
    """
    Take commands of both types, and log which arrive.

    In Fast DDS a topic has one type per participant, which is a context in ROS. So a second
    context with a hidden node subscribes to TwistStamped, in a thread of its own.
    """

    def __init__(self, node: Node, take: Callable[[Twist], None]) -> None:
        """Subscribe; `take` gets the velocity of each command, from two threads."""
        self._logger = node.get_logger()
        self._take = take
        self._arrived: List[str] = []  # types
        node.create_subscription(Twist, TOPIC, self._on_twist, 1)
        self._context = Context()
        rclpy.init(args=[], context=self._context, domain_id=node.context.get_domain_id(),
                   signal_handler_options=SignalHandlerOptions.NO)
        self._hidden = Node(f'_{node.get_name()}_stamped', context=self._context,
                            namespace=node.get_namespace(), enable_rosout=False,
                            start_parameter_services=False)
        # The full name: remappings hold only for the first context.
        self._hidden.create_subscription(
            TwistStamped, node.resolve_topic_name(TOPIC), self._on_stamped, 1)
        self._ending = Event()
        self._thread = Thread(target=self._serve, name='stamped commands', daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Leave the graph."""
        self._ending.set()
        self._thread.join()
        self._hidden.destroy_node()
        self._context.try_shutdown()

    def _serve(self) -> None:
        executor = SingleThreadedExecutor(context=self._context)
        executor.add_node(self._hidden)
        while not self._ending.is_set():
            executor.spin_once(timeout_sec=IDLE_S)
        executor.shutdown()

    def _on_twist(self, msg: Twist) -> None:
        self._note(msg)
        self._take(msg)

    def _on_stamped(self, msg: TwistStamped) -> None:
        self._note(msg)
        self._take(msg.twist)

    def _note(self, msg: Any) -> None:
        kind = type(msg).__name__
        if kind in self._arrived:
            return
        self._arrived.append(kind)
        self._logger.info(f'{TOPIC} arrives as {kind}')
        if len(self._arrived) > 1:
            self._logger.warning(f'{TOPIC} has arrived as {" and as ".join(self._arrived)}: the '
                                 'robot obeys both; fix: stop one publisher if both still send')
