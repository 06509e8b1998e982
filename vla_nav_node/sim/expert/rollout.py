"""One episode in lockstep: a driver, the node's command limits, and the world."""

from dataclasses import dataclass
import math
from typing import List, Mapping, Optional, Protocol, Sequence, Tuple, Union

import numpy as np

from .expert import Expert
from ..world.layout import Layout
from ..world.world import World
from ...driving.command_limits import CommandLimits
from ...policy.recurrent_policy import Policy
from ...types import Command
from ...vision.preprocess import Preprocess

Velocity = Union[Sequence[float], np.ndarray]  # vx, vy in m/s, robot's frame
LIMITS = {'linear_x': 0.8, 'linear_y': 0.8}  # m/s, of the policy that is trained here
MAX_ACCELERATION = 2.5  # m/s2, the node's default


@dataclass(frozen=True)
class Conditions:
    """How the camera and the loop behave in an episode."""

    frame_rate: float = 30.0  # Hz
    frame_loss: float = 0.0  # share of the frames that are lost
    jitter: float = 0.0  # share by which the time between frames varies
    delay: float = 0.01  # s from the picture to the command at the wheels
    time_limit: float = 20.0  # s
    linger: float = 0.0  # s to go on for after the cup is reached


@dataclass(frozen=True)
class Episode:
    """How an episode went."""

    seed: int
    scenario: str
    outcome: str  # reached, contact, timeout
    time: float  # s
    distance: float  # m to the cup at the end
    path: Tuple[Tuple[float, float], ...]  # m, where each frame was taken


class Driver(Protocol):
    """Anything that returns a velocity (m/s, robot's frame) for the state of the world."""

    def reset(self, layout: Layout) -> None:
        """Begin an episode."""

    def __call__(self, world: World) -> Velocity:
        """Return (vx, vy)."""


class ExpertDriver:
    """Drives by the map and the true pose."""

    def reset(self, layout: Layout) -> None:
        """Plan the path."""
        self._expert = Expert(layout)

    def __call__(self, world: World) -> Velocity:
        """Follow the plan."""
        return self._expert.command(world.pose)


class PolicyDriver:
    """Drives by the camera, as the node does; `clear_state` clears the state at every frame."""

    def __init__(self, policy: Policy, preprocess: Preprocess, clear_state: bool = False) -> None:
        """Take the policy and its preprocessing."""
        self.policy, self._preprocess, self._clear_state = policy, preprocess, clear_state

    def reset(self, layout: Layout) -> None:
        """Clear the recurrent state."""
        self.policy.reset()

    def __call__(self, world: World) -> Velocity:
        """Run the policy on a new picture."""
        if self._clear_state:
            self.policy.reset()
        return self.policy.act(self._preprocess(world.render()))


def drive(world: World, driver: Driver, seed: int, scenario: Optional[str] = None,
          conditions: Conditions = Conditions(), limits: Mapping[str, float] = LIMITS
          ) -> Episode:
    """Run one episode to its end; the same arguments give exactly the same episode."""
    driver.reset(world.reset(seed, scenario))
    command_limits = CommandLimits(limits['linear_x'], limits['linear_y'], MAX_ACCELERATION)
    rng = np.random.default_rng([seed, 3])
    command, outcome, end = Command(0.0, 0.0), '', math.inf
    path: List[Tuple[float, float]] = []
    while world.time < end and not world.in_contact:
        previous = command
        if not path or rng.random() >= conditions.frame_loss:
            linear_x, linear_y = driver(world)
            command = command_limits.apply((linear_x, linear_y), world.time)
        path.append(world.pose[:2])
        _advance(world, previous, command, conditions, rng)
        if not outcome and (outcome := world.outcome(conditions.time_limit)):
            end = world.time + (conditions.linger if outcome == 'reached' else 0.0)
    return Episode(seed, world.layout.scenario, outcome, world.time, world.distance, tuple(path))


def _advance(world: World, previous: Command, command: Command, conditions: Conditions,
             rng: np.random.Generator) -> None:
    """Advance to the next frame; the previous command holds until the new one is out."""
    period = (1 + conditions.jitter * rng.uniform(-1, 1)) / conditions.frame_rate
    delay = min(conditions.delay, period)
    world.step(previous.linear_x, previous.linear_y, delay)
    world.step(command.linear_x, command.linear_y, period - delay)
