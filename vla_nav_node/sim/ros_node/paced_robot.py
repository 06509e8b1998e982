"""The simulated robot in real time: commands expire, episodes end, frames fall due. No ROS."""

import math
from typing import Any, Dict, Tuple, TYPE_CHECKING

from ..world.layout import Layout
from ..world.scene import TIMESTEP

if TYPE_CHECKING:
    from ..world.world import World

# The longest time to catch up with at once; the rest is lost, and counted. If it were longer, a
# robot held up by its machine would jump when it comes back.
CATCH_UP_S = 0.1


class PacedRobot:
    """A World in step with a monotonic clock, whose seconds all times here are."""

    def __init__(self, world: 'World', seed: int, scenario: str, time_limit: float,
                 cmd_vel_timeout: float, now: float) -> None:
        """Start the episode of `seed`; an empty `scenario` is drawn from the seed."""
        self.world = world
        self.time_limit = time_limit
        self.cmd_vel_timeout = cmd_vel_timeout
        self.lost_s = 0.0  # not simulated; the reader sets it back to 0
        self._scenario = scenario
        self._next_seed = seed
        self.reset(now)

    def reset(self, now: float) -> Layout:
        """Start the next episode, standing still."""
        self.layout = self.world.reset(self._next_seed, self._scenario or None)
        self._next_seed += 1
        self.outcome = ''
        self.time = 0.0  # s, of the episode; stops when it ends
        self._command = (0.0, 0.0, -math.inf)
        self._simulated_until = now
        return self.layout

    def command(self, linear_x: float, linear_y: float, now: float) -> None:
        """Take a velocity (m/s, robot's frame); any thread may call this."""
        self._command = (linear_x, linear_y, now)

    def advance(self, now: float) -> None:
        """Advance the world to `now`, in whole physics steps."""
        late = now - self._simulated_until - CATCH_UP_S
        if late > 0.0:
            self.lost_s += late
            self._simulated_until += late
        duration = math.floor((now - self._simulated_until) / TIMESTEP) * TIMESTEP
        self.world.step(*self._current_command(now), duration)
        self._simulated_until += duration
        if not self.outcome:
            self.time = self.world.time
            self.outcome = self.world.outcome(self.time_limit)

    def _current_command(self, now: float) -> Tuple[float, float]:
        linear_x, linear_y, received = self._command
        if self.outcome or now - received > self.cmd_vel_timeout:
            return 0.0, 0.0
        return linear_x, linear_y

    def episode(self) -> Dict[str, Any]:
        """Return the state of the episode; `outcome` is empty while it runs."""
        x, y, yaw = self.world.pose
        return {'seed': self.layout.seed, 'scenario': self.layout.scenario,
                'time': round(self.time, 3), 'outcome': self.outcome,
                'distance': round(self.world.distance, 4),
                'x': round(x, 4), 'y': round(y, 4), 'yaw': round(yaw, 4)}


class FrameClock:
    """Tells when a frame is due; skips and counts frames a whole period late."""

    def __init__(self, rate: float, now: float) -> None:
        """Take the rate (Hz); the first frame is due at once."""
        self.period = 1.0 / rate
        self.next = now
        self.skipped = 0

    def due(self, now: float) -> bool:
        """Return whether a frame is due; if so, schedule the next one."""
        if now < self.next:
            return False
        behind = int((now - self.next) / self.period)
        self.skipped += behind
        self.next += (behind + 1) * self.period
        return True
