"""The ROS context of the node, which stops the robot before ROS shuts down."""

import os
from typing import Any, Callable, List, Optional, Sequence

import rclpy
from rclpy.context import Context
from rclpy.signals import SignalHandlerOptions

from .fastdds_profile import check_profiles
from .rcl_errors import check_domain, explain


class NodeContext(Context):
    """
    A context that calls `before_shutdown` before it shuts down.

    rclpy's own callback comes after the shutdown, when nothing can be published any more. This is
    not rclpy's default context, so `rclpy.shutdown()` elsewhere in the process does not affect it.
    """

    def __init__(self) -> None:
        """Make a context that `start` initialises."""
        super().__init__()
        self.before_shutdown: Optional[Callable[[], None]] = None
        self.arguments: List[str] = []  # the command line

    def shutdown(self, *args: Any, **kwargs: Any) -> None:
        """Stop the robot, then shut down."""
        self._prepare()
        super().shutdown(*args, **kwargs)

    def try_shutdown(self, *args: Any, **kwargs: Any) -> None:
        """Stop the robot, then shut down unless it is shut down."""
        self._prepare()
        super().try_shutdown(*args, **kwargs)

    def _prepare(self) -> None:
        before, self.before_shutdown = self.before_shutdown, None
        if before is not None and self.ok():
            before()


def start(arguments: Sequence[str]) -> NodeContext:
    """Return a context for a command line, without signal handlers; raise SettingError."""
    check_profiles(os.environ)
    check_domain(os.environ)
    context = NodeContext()
    context.arguments = list(arguments)
    try:
        rclpy.init(args=context.arguments, context=context,
                   signal_handler_options=SignalHandlerOptions.NO)
    except (RuntimeError, ValueError) as error:  # rclpy's argument errors are private
        raise explain(str(error)) from None
    return context
