"""What cameras may do wrong: late, early, out of order, two at once, one picture for ever."""

from collections import deque
from typing import Deque, NamedTuple, Optional, Union

import numpy as np

from . import stamps
from .interfaces import Frame
from .settings import Settings

# How far a stamp may lie in the future. Simulators publish /clock at 10 Hz at the least, so that
# "now" lags by up to 0.1 s, and cameras on other machines are synchronised to milliseconds. Each
# bit of it is age that is not seen, so it stays below the usual image_timeout.
FUTURE_TOLERANCE_NS = 150_000_000

# Pictures that differ mostly differ early, sensor noise alone sees to that: the first bytes are
# compared alone (0.7 us), then the rest in pieces (70 us for a whole VGA picture, only when it
# is frozen). `bytes` are compared by memcmp; array and memoryview go item by item, 4 to 20 times
# slower.
FIRST_PIECE, PIECE = 4096, 65536

# A camera that starts anew counts its images from 1, once; of two cameras on one topic, every few
# images one has a lower number than the one before. Two such steps within this are no restart.
TWO_SENDERS_NS = 1_000_000_000

Buffer = Union[bytes, memoryview, np.ndarray]  # flat, of bytes


class Verdict(NamedTuple):
    """Whether a frame may be driven on."""

    reason: str = ''  # why not; empty if it may
    reset: bool = False  # the recurrent state has to be cleared first


class FrameGuard:
    """Check each frame's stamp and content against the clock and the frames before it."""

    def __init__(self, settings: Settings) -> None:
        """Take the limits from `settings`, which may be replaced at any time."""
        self.settings = settings
        self.restart()

    def restart(self) -> None:
        """Forget all frames: the next one is the first."""
        self._newest_ns: Optional[int] = None  # stamp of the newest frame that was let through
        self._driven_ns: Optional[int] = None  # stamp of the newest frame that was driven on
        self._picture: Optional[Buffer] = None
        self._same_since_ns = 0
        self._sequence = 0  # of the frame before
        self._steps_back: Deque[int] = deque(maxlen=2)  # when the sequence last ran back

    def check(self, frame: Frame, now_ns: int) -> Verdict:
        """Judge `frame` on its arrival; `now_ns` is the ROS clock, as its stamp is."""
        frozen, mixed = self._frozen(frame), self._mixed(frame)  # always: they see every frame
        reason = mixed or self._untimely(frame.stamp_ns, now_ns)
        if reason:
            return Verdict(reason)
        verdict = self._order(frame.stamp_ns)
        return Verdict(frozen, verdict.reset) if frozen and not verdict.reason else verdict

    def drove(self, frame: Frame) -> None:
        """Note that the policy has seen `frame`."""
        self._driven_ns = frame.stamp_ns

    def _untimely(self, stamp_ns: int, now_ns: int) -> str:
        if now_ns <= 0:
            return stamps.NO_CLOCK
        if stamp_ns <= 0:
            return 'the image has no time stamp (it is zero); the camera driver must set it'
        if stamp_ns > now_ns + FUTURE_TOLERANCE_NS:
            return stamps.in_future(stamp_ns, now_ns)
        if (now_ns - stamp_ns) / 1e9 > self.settings.image_timeout:
            return stamps.too_old(stamp_ns, now_ns, self.settings.image_timeout)
        return ''

    def _order(self, stamp_ns: int) -> Verdict:
        gap_ns = self.settings.state_reset_gap * 1e9
        step_ns = 0 if self._newest_ns is None else stamp_ns - self._newest_ns
        if -gap_ns <= step_ns < 0:
            return Verdict(f'image stamps run backwards ({-step_ns / 1e9:.3g} s): frames out of '
                           'order, or two cameras on one topic')
        self._newest_ns = stamp_ns
        if step_ns < 0:  # so far back that it is a new time: a bag that loops, a simulator's reset
            self._driven_ns = None
            return Verdict(f'image stamps jumped back by {-step_ns / 1e9:.3g} s; starting anew '
                           'from there', reset=True)
        return Verdict(reset=self._driven_ns is None or stamp_ns - self._driven_ns > gap_ns)

    def _mixed(self, frame: Frame) -> str:
        """Tell whether the images of two cameras are mixed: they are not one view of the world."""
        before, self._sequence = self._sequence, frame.sequence
        steps = self._steps_back
        if 0 < frame.sequence <= before:
            steps.append(frame.received_ns)
        if (len(steps) == 2 and steps[1] - steps[0] < TWO_SENDERS_NS
                and frame.received_ns - steps[1] < TWO_SENDERS_NS):
            return ('two cameras send on one topic, and their images are mixed; stop one, or '
                    'remap it (diagnostics name them, under camera)')
        return ''

    def _frozen(self, frame: Frame) -> str:
        picture, self._picture = self._picture, frame.data
        if picture is None or not same_bytes(picture, frame.data):
            self._same_since_ns = frame.received_ns
            return ''
        same_s = (frame.received_ns - self._same_since_ns) / 1e9
        if 0.0 < self.settings.frozen_timeout < same_s:
            return (f'the picture is frozen: identical for {same_s:.1f} s (frozen_timeout is '
                    f'{self.settings.frozen_timeout:g} s)')
        return ''


def same_bytes(one: Buffer, other: Buffer) -> bool:
    """Tell whether two buffers are identical; it ends at the first difference."""
    a, b = memoryview(one), memoryview(other)  # type: ignore[arg-type]  # ndarray is a buffer
    if a.nbytes != b.nbytes or bytes(a[:FIRST_PIECE]) != bytes(b[:FIRST_PIECE]):
        return False
    return all(bytes(a[start:start + PIECE]) == bytes(b[start:start + PIECE])
               for start in range(FIRST_PIECE, a.nbytes, PIECE))
