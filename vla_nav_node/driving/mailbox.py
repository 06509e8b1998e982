"""Where the camera's thread leaves frames for the driving thread."""  # noqa: A005, RUF100

from queue import Empty, SimpleQueue
from threading import Lock
from typing import Optional, Union

from ..errors import ImageError
from ..types import Frame

Arrival = Union[Frame, ImageError]  # the error of a message that no frame can be read from


class Mailbox:
    """One place: a newer frame replaces the one that waits, and each such drop is counted."""

    def __init__(self) -> None:
        """Start empty."""
        self.received = 0
        self.replaced = 0
        self._frame: Optional[Arrival] = None
        self._lock = Lock()
        # Written in C, unlike threading's Condition, which takes twice as long to wake a thread.
        self._bell: 'SimpleQueue[None]' = SimpleQueue()

    def put(self, frame: Arrival) -> None:
        """Leave `frame`, whether or not the one before was taken."""
        with self._lock:
            self.received += 1
            replaced, self._frame = self._frame, frame
            self.replaced += replaced is not None
        if replaced is None:  # else the bell still rings for the one before
            self._bell.put(None)

    def wake(self) -> None:
        """Let `take` return at once, if only with nothing."""
        self._bell.put(None)

    def take(self, timeout_s: float) -> Optional[Arrival]:
        """Wait for a frame and take it; None after the time-out or when woken without one."""
        try:
            self._bell.get(timeout=timeout_s)
        except Empty:
            return None
        with self._lock:
            frame, self._frame = self._frame, None
            return frame
