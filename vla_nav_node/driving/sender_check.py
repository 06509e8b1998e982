"""Whether all images come from one camera, by the sender's sequence numbers and frame_id."""

from typing import NamedTuple, Optional

from ..types import Frame

# A camera that restarts counts from 1. Until this many of its images are in sequence they may be
# those of a second camera, and are not driven on.
PROOF_IMAGES = 3
# A number may be ahead by lost images: a few, and more the longer none came.
MAX_LOST, MAX_RATE = 10, 1000.0  # images, images a second
# How long the robot stands still after the last proof of a second camera.
MIXED_NS = 3_000_000_000


class Stream(NamedTuple):
    """The newest image of one sender."""

    frame_id: bytes
    sequence: int
    received_ns: int

    def continues_with(self, frame: Frame) -> bool:
        """Return whether `frame` can be the sender's next image."""
        if frame.frame_id != self.frame_id or (frame.sequence > 0) != (self.sequence > 0):
            return False
        if not frame.sequence:  # the middleware does not number images
            return True
        lost = MAX_LOST + MAX_RATE * max(frame.received_ns - self.received_ns, 0) / 1e9
        return 0 < frame.sequence - self.sequence <= 1 + lost


class SenderCheck:
    """Follows one camera, and tells a second camera from one that restarts."""

    def __init__(self) -> None:
        """Take the first image's sender for the camera."""
        self._camera: Optional[Stream] = None
        self._other: Optional[Stream] = None  # a second camera, or this one after a restart
        self._other_images = 0  # in sequence
        self._mixed_ns: Optional[int] = None  # when there was last proof of two cameras

    def check(self, frame: Frame) -> str:
        """Return why `frame` must not be driven on; '' if it may be."""
        stream, leapt = Stream(frame.frame_id, frame.sequence, frame.received_ns), False
        if self._camera is None or self._camera.continues_with(frame):
            if self._other is not None:  # and yet the camera continues: there are two
                self._mixed_ns, self._other = frame.received_ns, None
            self._camera = stream
        else:
            leapt = not self._has_replaced_camera(frame, stream)
        if self._mixed_ns is not None and frame.received_ns - self._mixed_ns < MIXED_NS:
            return ('two cameras send on one topic, and their images are mixed; stop one, or '
                    'remap it (diagnostics name them, under camera)')
        return ('the count or the frame_id of the images leapt: the camera restarted, or a '
                'second one sends on this topic') if leapt else ''

    def _has_replaced_camera(self, frame: Frame, stream: Stream) -> bool:
        """Follow the other sender; it becomes the camera if that has been silent meanwhile."""
        follows = self._other is not None and self._other.continues_with(frame)
        self._other_images = self._other_images + 1 if follows else 1
        self._other = stream
        if self._other_images < PROOF_IMAGES:
            return False
        self._camera, self._other = stream, None
        return True
