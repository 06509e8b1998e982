"""Whether all images come from one camera, by the sender's count of them and their frame_id."""

from typing import NamedTuple, Optional

from ..types import Frame

# A camera that starts anew counts from 1. Until so many images have followed one another they may
# as well be those of a second camera, and nobody drives on them.
PROVEN = 3
# A count may run ahead by what was lost: a few images, and more the longer none came.
MOST_LOST, MOST_RATE = 10, 1000.0  # images, images a second
# After the last proof that a second camera sends, the robot stands for so long.
MIXED_NS = 3_000_000_000


class Stream(NamedTuple):
    """The images of one sender, up to its newest."""

    frame_id: bytes
    sequence: int
    received_ns: int

    def goes_on(self, frame: Frame) -> bool:
        """Tell whether `frame` can be its next image."""
        if frame.frame_id != self.frame_id or (frame.sequence > 0) != (self.sequence > 0):
            return False
        if not frame.sequence:  # the middleware does not tell
            return True
        lost = MOST_LOST + MOST_RATE * max(frame.received_ns - self.received_ns, 0) / 1e9
        return 0 < frame.sequence - self.sequence <= 1 + lost


class OneSender:
    """Follow one camera; images of another one are told apart from those of one that restarts."""

    def __init__(self) -> None:
        """Take the first image's sender for the camera."""
        self._camera: Optional[Stream] = None
        self._other: Optional[Stream] = None  # may be a second camera, or this one, started anew
        self._count = 0  # images of the other one
        self._mixed_ns: Optional[int] = None  # when the other one was last proved to be another

    def check(self, frame: Frame) -> str:
        """Say why nobody may drive on `frame`; '' if one may."""
        stream, leapt = Stream(frame.frame_id, frame.sequence, frame.received_ns), False
        if self._camera is None or self._camera.goes_on(frame):
            if self._other is not None:  # and yet the camera goes on: they are two
                self._mixed_ns, self._other = frame.received_ns, None
            self._camera = stream
        else:
            leapt = self._is_other(frame, stream)
        if self._mixed_ns is not None and frame.received_ns - self._mixed_ns < MIXED_NS:
            return ('two cameras send on one topic, and their images are mixed; stop one, or '
                    'remap it (diagnostics name them, under camera)')
        return ('the count or the frame_id of the images leapt: the camera started anew, or a '
                'second one sends on this topic') if leapt else ''

    def _is_other(self, frame: Frame, stream: Stream) -> bool:
        """Follow the other sender; it becomes the camera where that has gone silent meanwhile."""
        follows = self._other is not None and self._other.goes_on(frame)
        self._count = self._count + 1 if follows else 1
        self._other = stream
        if self._count < PROVEN:
            return True
        self._camera, self._other = stream, None
        return False
