"""What cameras do wrong: late, early, out of order, two on one topic, one picture for ever."""

from typing import NamedTuple, Optional

from .diagnostics import stamps
from .frozen_check import FrozenCheck
from .parameters import Settings
from .sender_check import SenderCheck
from ..types import Frame

# How far a stamp may lie in the future. Simulators publish /clock at 10 Hz or more, so that "now"
# lags by up to 0.1 s; clocks of cameras on other machines are synchronised to milliseconds. All of
# it is age that stays unseen, so it is less than the usual image_timeout.
FUTURE_TOLERANCE_NS = 150_000_000


class FrameDecision(NamedTuple):
    """Whether to drive on a frame."""

    reason: str = ''  # why not; '' to drive on it
    reset: bool = False  # clear the recurrent state first


class FrameChecks:
    """Checks each frame's stamp, sender and content against the clock and the frames before."""

    def __init__(self, settings: Settings) -> None:
        """Take the limits from `settings`, which may be replaced at any time."""
        self.settings = settings
        self.reset()

    def reset(self) -> None:
        """Forget all frames: the next one is the first."""
        self._newest_ns: Optional[int] = None  # stamp of the newest frame in order
        self._driven_ns: Optional[int] = None  # stamp of the newest frame that was driven on
        self._frozen_check = FrozenCheck()
        self._sender_check = SenderCheck()

    def check(self, frame: Frame, now_ns: int) -> FrameDecision:
        """Decide on `frame` at its arrival; `now_ns` and its stamp are of the ROS clock."""
        # Always both: they have to see every frame.
        frozen, mixed = self._frozen(frame), self._sender_check.check(frame)
        reason = mixed or self._untimely(frame.stamp_ns, now_ns)
        if reason:  # the state may be based on images of the other camera
            return FrameDecision(reason, reset=bool(mixed))
        order = self._order(frame.stamp_ns)
        return FrameDecision(order.reason or frozen, order.reset)

    def note_driven(self, frame: Frame) -> None:
        """Note that the policy has driven on `frame`."""
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

    def _order(self, stamp_ns: int) -> FrameDecision:
        gap_ns = self.settings.state_reset_gap * 1e9
        advance_ns = 0 if self._newest_ns is None else stamp_ns - self._newest_ns
        if -gap_ns <= advance_ns < 0:
            return FrameDecision(f'image stamps run backwards ({-advance_ns / 1e9:.3g} s): frames '
                                 'out of order, or two cameras on one topic')
        self._newest_ns = stamp_ns
        if advance_ns < 0:  # far enough to be a new time: a bag that loops, a simulator's reset
            self._driven_ns = None
            return FrameDecision(f'image stamps jumped back by {-advance_ns / 1e9:.3g} s; '
                                 'restarting from there', reset=True)
        return FrameDecision(reset=self._driven_ns is None or stamp_ns - self._driven_ns > gap_ns)

    def _frozen(self, frame: Frame) -> str:
        frozen_s = self._frozen_check.frozen_ns(frame.data, frame.received_ns) / 1e9
        if 0.0 < self.settings.frozen_timeout < frozen_s:
            return (f'the picture is frozen: none was new for {frozen_s:.1f} s (frozen_timeout is '
                    f'{self.settings.frozen_timeout:g} s)')
        return ''
