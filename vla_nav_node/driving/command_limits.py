"""The last gate before the wheels: what may be driven by, how fast, and how soon."""

import math
from typing import Optional, Sequence, Tuple

from ..types import Command

# A command that comes long after the one before may not jump by the whole gap's worth of
# acceleration: the robot may have been stopped by its own time-out in between.
LONGEST_SLEW_S = 0.1
# A policy overshoots its limits by a little. One that wants many times as much is broken, and
# clamping would make full speed of it.
ABSURD = 10.0


class ActionCheck:
    """Tell whether a policy's output may be driven by at all."""

    def __init__(self, absurd: float = math.inf) -> None:
        """More than `absurd` m/s on either axis is taken for a malfunction."""
        self.absurd = absurd

    def objection(self, action: Sequence[float]) -> str:
        """Say why nobody may drive by `action` (vx, vy in m/s); '' where one may."""
        if not (math.isfinite(action[0]) and math.isfinite(action[1])):
            return 'the policy gave a number that is not finite'
        if max(abs(action[0]), abs(action[1])) > self.absurd:
            return (f'the policy gave ({action[0]:.3g}, {action[1]:.3g}) m/s, more than '
                    f'{ABSURD:g} times what it was trained for')
        return ''


class CommandLimits(ActionCheck):
    """Let a policy's output through only if it is finite, and within limits and slew."""

    def __init__(self, max_linear_x: float, max_linear_y: float, max_acceleration: float,
                 period_s: float = 0.02, absurd: float = math.inf) -> None:
        """Take limits in m/s, the slew limit of each axis in m/s2, the usual period in s."""
        super().__init__(absurd)
        self.limits = (max_linear_x, max_linear_y)
        self.max_acceleration = max_acceleration
        self.period_s = period_s
        self._last = (0.0, 0.0)
        self._last_s: Optional[float] = None

    def apply(self, action: Sequence[float], now_s: float) -> Command:
        """
        Clamp `action` (vx, vy in m/s) and limit its change since the last command.

        `now_s` is any clock that runs forward, in seconds.
        """
        objection = self.objection(action)
        if objection:
            self._last, self._last_s = (0.0, 0.0), None
            return Command(0.0, 0.0, objection)
        elapsed_s = self.period_s if self._last_s is None else now_s - self._last_s
        self._last = towards(action, self._last, self.limits, self.max_acceleration, elapsed_s)
        self._last_s = now_s
        return Command(*self._last)


def towards(wanted: Sequence[float], last: Sequence[float], limits: Sequence[float],
            max_acceleration: float, elapsed_s: float) -> Tuple[float, float]:
    """
    Give the velocity that is nearest to `wanted`, within `limits` and the slew since `last`.

    Where the slew does not lead back within the limits, the limits win: one that is lowered holds
    at once.
    """
    most = max_acceleration * min(max(elapsed_s, 0.0), LONGEST_SLEW_S)
    x, y = (min(max(min(max(float(want), was - most), was + most), -limit), limit)
            for want, limit, was in zip(wanted, limits, last))
    return x, y
