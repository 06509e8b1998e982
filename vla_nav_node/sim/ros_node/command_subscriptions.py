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

    In Fast DDS a topic has one type per participant, which is a context in ROS, so TwistStamped
    needs a second context. Both subscriptions belong to hidden nodes of one name: to a publisher
    of either type, this name receives it.
    """

    def __init__(self, node: Node, take: Callable[[Twist], None]) -> None:
        """Subscribe; `take` gets the velocity of each command, from a thread for each type."""
        self._logger = node.get_logger()
        self._take = take
        self._arrived: List[str] = []  # types
        self._context = Context()
        rclpy.init(args=[], context=self._context, domain_id=node.context.get_domain_id(),
                   signal_handler_options=SignalHandlerOptions.NO)
        self._ending = Event()
        self._threads = [
            Thread(target=self._serve, args=(context, node, kind, callback), daemon=True,
                   name=f'commands as {kind.__name__}')
            for context, kind, callback in ((node.context, Twist, self._on_twist),
                                            (self._context, TwistStamped, self._on_stamped))]
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """Leave the graph."""
        self._ending.set()
        for thread in self._threads:
            thread.join()
        self._context.try_shutdown()

    def _serve(self, context: Context, node: Node, kind: Any,
               callback: Callable[[Any], None]) -> None:
        # Without the command line, whose __node:= would rename it; hence the topic's full name.
        hidden = Node(f'_{node.get_name()}_base', context=context,
                      namespace=node.get_namespace(), use_global_arguments=False,
                      enable_rosout=False, start_parameter_services=False)
        hidden.create_subscription(kind, node.resolve_topic_name(TOPIC), callback, 1)
        executor = SingleThreadedExecutor(context=context)
        executor.add_node(hidden)
        while not self._ending.is_set():
            executor.spin_once(timeout_sec=IDLE_S)
        executor.shutdown()
        hidden.destroy_node()

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
