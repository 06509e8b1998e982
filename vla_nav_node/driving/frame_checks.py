"""What cameras may do wrong: late, early, out of order, two at once, one picture for ever."""

from typing import NamedTuple, Optional

from .diagnostics import stamps
from .senders import OneSender
from .settings import Settings
from .stale import Freshness
from ..types import Frame

# How far a stamp may lie in the future. Simulators publish /clock at 10 Hz at the least, so that
# "now" lags by up to 0.1 s, and cameras on other machines are synchronised to milliseconds. Each
# bit of it is age that is not seen, so it stays below the usual image_timeout.
FUTURE_TOLERANCE_NS = 150_000_000


class FrameResult(NamedTuple):
    """Whether a frame may be driven on."""

    reason: str = ''  # why not; empty if it may
    reset: bool = False  # the recurrent state has to be cleared first


class FrameChecks:
    """Check each frame's stamp and content against the clock and the frames before it."""

    def __init__(self, settings: Settings) -> None:
        """Take the limits from `settings`, which may be replaced at any time."""
        self.settings = settings
        self.restart()

    def restart(self) -> None:
        """Forget all frames: the next one is the first."""
        self._newest_ns: Optional[int] = None  # stamp of the newest frame that was let through
        self._driven_ns: Optional[int] = None  # stamp of the newest frame that was driven on
        self._freshness = Freshness()
        self._sender = OneSender()

    def check(self, frame: Frame, now_ns: int) -> FrameResult:
        """Judge `frame` on its arrival; `now_ns` is the ROS clock, as its stamp is."""
        # Always: they see every frame.
        frozen, mixed = self._frozen(frame), self._sender.check(frame)
        reason = mixed or self._untimely(frame.stamp_ns, now_ns)
        if reason:  # what the policy remembers may be of the other camera
            return FrameResult(reason, reset=bool(mixed))
        verdict = self._order(frame.stamp_ns)
        return FrameResult(frozen, verdict.reset) if frozen and not verdict.reason else verdict

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

    def _order(self, stamp_ns: int) -> FrameResult:
        gap_ns = self.settings.state_reset_gap * 1e9
        step_ns = 0 if self._newest_ns is None else stamp_ns - self._newest_ns
        if -gap_ns <= step_ns < 0:
            return FrameResult(f'image stamps run backwards ({-step_ns / 1e9:.3g} s): frames out of '
                           'order, or two cameras on one topic')
        self._newest_ns = stamp_ns
        if step_ns < 0:  # so far back that it is a new time: a bag that loops, a simulator's reset
            self._driven_ns = None
            return FrameResult(f'image stamps jumped back by {-step_ns / 1e9:.3g} s; starting anew '
                           'from there', reset=True)
        return FrameResult(reset=self._driven_ns is None or stamp_ns - self._driven_ns > gap_ns)

    def _frozen(self, frame: Frame) -> str:
        stale_s = self._freshness.stale_ns(frame.data, frame.received_ns) / 1e9
        if 0.0 < self.settings.frozen_timeout < stale_s:
            return (f'the picture is frozen: none was new for {stale_s:.1f} s (frozen_timeout is '
                    f'{self.settings.frozen_timeout:g} s)')
        return ''
