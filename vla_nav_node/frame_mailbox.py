"""Where the camera's thread leaves frames for the driving thread."""

from threading import Condition
from typing import Optional, Union

from .errors import ImageError
from .interfaces import Frame

Arrival = Union[Frame, ImageError]  # the error of a message that no frame can be read from


class Mailbox:
    """One place: a newer frame replaces the one that waits, and each such drop is counted."""

    def __init__(self) -> None:
        """Start empty."""
        self.received = 0
        self.replaced = 0
        self._frame: Optional[Arrival] = None
        self._woken = False
        self._condition = Condition()

    def put(self, frame: Arrival) -> None:
        """Leave `frame`, whether or not the one before was taken."""
        with self._condition:
            self.received += 1
            self.replaced += self._frame is not None
            self._frame = frame
            self._condition.notify()

    def wake(self) -> None:
        """Let `take` return at once, if only with nothing."""
        with self._condition:
            self._woken = True
            self._condition.notify()

    def take(self, timeout_s: float) -> Optional[Arrival]:
        """Wait for a frame and take it; None after the time-out or when woken without one."""
        with self._condition:
            if self._frame is None and not self._woken:
                self._condition.wait(timeout_s)
            frame, self._frame, self._woken = self._frame, None, False
            return frame
