"""The ROS context of the node: it stops the robot before it can no longer be told to stop."""

import os
from typing import Any, Callable, List, Optional, Sequence

import rclpy
from rclpy.context import Context
from rclpy.signals import SignalHandlerOptions

from .fastdds_profile import check_profiles
from .rcl_errors import check_domain, explain


class NodeContext(Context):
    """
    A context that calls `before_shutdown` first, whoever shuts it down.

    Once a context is shut down nothing can be published, and rclpy's own callback comes only then.
    It is not rclpy's default context, so that a `rclpy.shutdown()` elsewhere in the process, which
    means that one, leaves the node alone.
    """

    def __init__(self) -> None:
        """Make it; `start` initialises it."""
        super().__init__()
        self.before_shutdown: Optional[Callable[[], None]] = None
        self.arguments: List[str] = []  # of the command line

    def shutdown(self, *args: Any, **kwargs: Any) -> None:
        """Stop the robot, then shut down."""
        self._prepare()
        super().shutdown(*args, **kwargs)

    def try_shutdown(self, *args: Any, **kwargs: Any) -> None:
        """Stop the robot, then shut down if that has not been done yet."""
        self._prepare()
        super().try_shutdown(*args, **kwargs)

    def _prepare(self) -> None:
        before, self.before_shutdown = self.before_shutdown, None
        if before is not None and self.ok():
            before()


def start(arguments: Sequence[str]) -> NodeContext:
    """Return a context for a command line; signals are left to the node."""
    check_profiles(os.environ)
    check_domain(os.environ)
    context = NodeContext()
    context.arguments = list(arguments)
    try:
        rclpy.init(args=context.arguments, context=context,
                   signal_handler_options=SignalHandlerOptions.NO)
    except (RuntimeError, ValueError) as error:  # rclpy's errors of arguments are private
        raise explain(str(error)) from None
    return context
