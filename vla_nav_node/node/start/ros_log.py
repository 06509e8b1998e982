"""Send the package's log records to the node's ROS log."""

import logging
from typing import Any


class RosLog(logging.Handler):
    """Pass records on to a ROS logger."""

    def __init__(self, logger: Any) -> None:
        """Take the node's logger."""
        super().__init__()
        self._logger = logger

    def emit(self, record: logging.LogRecord) -> None:
        """Log at the same level; rclpy needs a source line of its own for each level."""
        if record.levelno >= logging.ERROR:
            self._logger.error(record.getMessage())
        elif record.levelno >= logging.WARNING:
            self._logger.warning(record.getMessage())
        else:
            self._logger.info(record.getMessage())


def log_to_ros(logger: Any) -> None:
    """Send everything that this package logs to `logger`."""
    package = logging.getLogger(__package__.partition('.')[0])
    package.setLevel(logging.INFO)
    package.handlers[:] = [RosLog(logger)]
    package.propagate = False
