"""The last gate before the wheels."""

import math
from typing import Optional, Sequence

from .interfaces import Command

# A command that comes long after the one before may not jump by the whole gap's worth of
# acceleration: the robot may have been stopped by its own time-out in between.
LONGEST_SLEW_S = 0.1
# A policy overshoots its limits by a little. One that wants many times as much is broken, and
# clamping would make full speed of it.
ABSURD = 10.0


class Gate:
    """Let a policy's output through only if it is finite, and within limits and slew."""

    def __init__(self, max_linear_x: float, max_linear_y: float, max_acceleration: float,
                 period_s: float = 0.02, absurd: float = math.inf) -> None:
        """
        Take limits in m/s, the slew limit of each axis in m/s2, the usual period in s.

        More than `absurd` m/s on either axis is taken for a malfunction, and stops.
        """
        self.limits = (max_linear_x, max_linear_y)
        self.absurd = absurd
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
            return self.stop(objection, now_s)
        elapsed = self.period_s if self._last_s is None else now_s - self._last_s
        most = self.max_acceleration * min(max(elapsed, 0.0), LONGEST_SLEW_S)
        velocity = tuple(
            min(max(min(max(float(wanted), -limit), limit), last - most), last + most)
            for wanted, limit, last in zip(action, self.limits, self._last))
        self._last, self._last_s = (velocity[0], velocity[1]), now_s
        return Command(velocity[0], velocity[1])

    def objection(self, action: Sequence[float]) -> str:
        """Say why nobody may drive by `action` (vx, vy in m/s); '' where one may."""
        if not (math.isfinite(action[0]) and math.isfinite(action[1])):
            return 'the policy gave a number that is not finite'
        if max(abs(action[0]), abs(action[1])) > self.absurd:
            return (f'the policy gave ({action[0]:.3g}, {action[1]:.3g}) m/s, more than '
                    f'{ABSURD:g} times what it was trained for')
        return ''

    def stop(self, reason: str, now_s: Optional[float] = None) -> Command:
        """Give zero at once, whatever the slew limit, and start the next ramp from zero."""
        self._last, self._last_s = (0.0, 0.0), now_s
        return Command(0.0, 0.0, reason)
