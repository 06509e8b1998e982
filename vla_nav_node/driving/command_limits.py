"""The checks of a policy's output: finite, plausible, within limits and acceleration."""

import math
from typing import Optional, Sequence, Tuple

from ..types import Command

# After a longer gap between two commands, acceleration counts only this much of it: the robot may
# have been stopped by its own time-out in between.
LONGEST_SLEW_S = 0.1
# A policy overshoots its limits by a little. One that asks for many times as much is broken, and
# clamping would make full speed of it.
ABSURD_FACTOR = 10.0


class ActionCheck:
    """Checks whether a policy's output is safe to drive by."""

    def __init__(self, max_plausible: float = math.inf) -> None:
        """Take more than `max_plausible` m/s on either axis for a malfunction."""
        self.max_plausible = max_plausible

    def problem(self, action: Sequence[float]) -> str:
        """Return why `action` (vx, vy in m/s) is unsafe; '' if it is safe."""
        if not (math.isfinite(action[0]) and math.isfinite(action[1])):
            return 'the policy gave a number that is not finite'
        if max(abs(action[0]), abs(action[1])) > self.max_plausible:
            return (f'the policy gave ({action[0]:.3g}, {action[1]:.3g}) m/s, more than '
                    f'{ABSURD_FACTOR:g} times what it was trained for')
        return ''


class CommandLimits(ActionCheck):
    """Makes commands of a policy's outputs: a stop if unsafe, else limited."""

    def __init__(self, max_linear_x: float, max_linear_y: float, max_acceleration: float,
                 period_s: float = 0.02, max_plausible: float = math.inf) -> None:
        """Take limits in m/s, the acceleration of each axis in m/s2, the usual period in s."""
        super().__init__(max_plausible)
        self.limits = (max_linear_x, max_linear_y)
        self.max_acceleration = max_acceleration
        self.period_s = period_s
        self._last = (0.0, 0.0)
        self._last_s: Optional[float] = None

    def apply(self, action: Sequence[float], now_s: float) -> Command:
        """Return the limited command for `action` (vx, vy in m/s) at `now_s` of a steady clock."""
        problem = self.problem(action)
        if problem:
            self._last, self._last_s = (0.0, 0.0), None
            return Command(0.0, 0.0, problem)
        elapsed_s = self.period_s if self._last_s is None else now_s - self._last_s
        self._last = limit(action, self._last, self.limits, self.max_acceleration, elapsed_s)
        self._last_s = now_s
        return Command(*self._last)


def limit(wanted: Sequence[float], last: Sequence[float], limits: Sequence[float],
          max_acceleration: float, elapsed_s: float) -> Tuple[float, float]:
    """
    Return the velocity nearest to `wanted` within `limits` and within acceleration from `last`.

    Limits take precedence over acceleration, so that a lowered limit holds at once.
    """
    change = max_acceleration * min(max(elapsed_s, 0.0), LONGEST_SLEW_S)
    x, y = (min(max(min(max(float(want), was - change), was + change), -most), most)
            for want, most, was in zip(wanted, limits, last))
    return x, y
