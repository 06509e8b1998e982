"""What the package's modules log goes to the node's own log."""

import logging
from typing import Any


class RosLog(logging.Handler):
    """Pass records on to a ROS logger."""

    def __init__(self, logger: Any) -> None:
        """Take the node's logger."""
        super().__init__()
        self._logger = logger

    def emit(self, record: logging.LogRecord) -> None:
        """Log it at the same level; rclpy wants a line of its own for each."""
        if record.levelno >= logging.ERROR:
            self._logger.error(record.getMessage())
        elif record.levelno >= logging.WARNING:
            self._logger.warning(record.getMessage())
        else:
            self._logger.info(record.getMessage())


def log_to_ros(logger: Any) -> None:
    """Have all that this package logs in the ROS log of the process's one node."""
    ours = logging.getLogger(__package__.partition('.')[0])
    ours.setLevel(logging.INFO)
    ours.handlers[:] = [RosLog(logger)]
    ours.propagate = False
