"""The simulated robot in real time: commands grow old, episodes end, frames fall due. No ROS."""

import math
from typing import Any, Dict, Tuple, TYPE_CHECKING

from ..world.layout import Layout
from ..world.scene import TIMESTEP

if TYPE_CHECKING:
    from ..world.world import World

# The longest stretch of time made up for at once; what is beyond is lost, and told. Longer, and a
# robot held up by its machine would jump when it comes back.
CATCH_UP_S = 0.1


class PacedRobot:
    """A World whose time is the clock's. Times are seconds of one clock that runs forward."""

    def __init__(self, world: 'World', seed: int, scenario: str, time_limit: float,
                 cmd_vel_timeout: float, now: float) -> None:
        """Start the first episode, of `seed`; `scenario` may be empty: any."""
        self.world = world
        self.time_limit = time_limit
        self.cmd_vel_timeout = cmd_vel_timeout
        self.lost_s = 0.0  # time that has not been simulated, since it was last asked for
        self._scenario = scenario
        self._next_seed = seed
        self.reset(now)

    def reset(self, now: float) -> Layout:
        """Start the next episode, standing still."""
        self.layout = self.world.reset(self._next_seed, self._scenario or None)
        self._next_seed += 1
        self.outcome = ''
        self.time = 0.0  # s, of the episode; stands still once it has ended
        self._command = (0.0, 0.0, -math.inf)
        self._reached = now
        return self.layout

    def command(self, linear_x: float, linear_y: float, now: float) -> None:
        """Take a velocity (m/s, robot's frame); any thread may call this."""
        self._command = (linear_x, linear_y, now)

    def advance(self, now: float) -> None:
        """Let the world come up to `now`, in whole steps of its physics."""
        late = now - self._reached - CATCH_UP_S
        if late > 0.0:
            self.lost_s += late
            self._reached += late
        duration = math.floor((now - self._reached) / TIMESTEP) * TIMESTEP
        self.world.step(*self._wanted(now), duration)
        self._reached += duration
        if not self.outcome:
            self.time = self.world.time
            self.outcome = self.world.outcome(self.time_limit)

    def _wanted(self, now: float) -> Tuple[float, float]:
        linear_x, linear_y, since = self._command
        if self.outcome or now - since > self.cmd_vel_timeout:
            return 0.0, 0.0
        return linear_x, linear_y

    def episode(self) -> Dict[str, Any]:
        """Tell how the episode stands; `outcome` is empty while it runs."""
        x, y, yaw = self.world.pose
        return {'seed': self.layout.seed, 'scenario': self.layout.scenario,
                'time': round(self.time, 3), 'outcome': self.outcome,
                'distance': round(self.world.distance, 4),
                'x': round(x, 4), 'y': round(y, 4), 'yaw': round(yaw, 4)}


class FrameClock:
    """Tell when a frame is due. One that comes a whole period late is skipped, not made up for."""

    def __init__(self, rate: float, now: float) -> None:
        """Take the rate in Hz; the first frame is due at once."""
        self.period = 1.0 / rate
        self.next = now
        self.skipped = 0

    def due(self, now: float) -> bool:
        """Tell whether a frame is due; if so, the next one is a period later."""
        if now < self.next:
            return False
        behind = int((now - self.next) / self.period)
        self.skipped += behind
        self.next += (behind + 1) * self.period
        return True
