"""Hands frames from the camera's thread to the driving thread."""  # noqa: A005, RUF100

from queue import Empty, SimpleQueue
from threading import Lock
from typing import Optional, Union

from ..errors import ImageError
from ..types import Frame

Arrival = Union[Frame, ImageError]  # or why a message holds no frame


class Mailbox:
    """Holds the newest frame; it replaces one that still waits, and each such drop is counted."""

    def __init__(self) -> None:
        """Start empty."""
        self.received = 0
        self.replaced = 0
        self._frame: Optional[Arrival] = None
        self._lock = Lock()
        # Written in C: threading.Condition takes twice as long to wake a thread.
        self._bell: 'SimpleQueue[None]' = SimpleQueue()

    def put(self, frame: Arrival) -> None:
        """Put `frame` in, in place of one that waits."""
        with self._lock:
            self.received += 1
            replaced, self._frame = self._frame, frame
            self.replaced += replaced is not None
        if replaced is None:  # else the bell still rings for the frame before
            self._bell.put(None)

    def wake(self) -> None:
        """Make `take` return at once."""
        self._bell.put(None)

    def take(self, timeout_s: float) -> Optional[Arrival]:
        """Wait for a frame and take it; None after the time-out or a wake without a frame."""
        try:
            self._bell.get(timeout=timeout_s)
        except Empty:
            return None
        with self._lock:
            frame, self._frame = self._frame, None
            return frame
