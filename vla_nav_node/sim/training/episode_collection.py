"""Collect episodes, labelled at every frame with the expert's action, whoever drives (DAgger)."""

from dataclasses import dataclass
import math
import multiprocessing
import os
from pathlib import Path
from typing import Iterator, List, Sequence, Tuple

import cv2
import numpy as np
import torch

from .auxiliary_targets import state_targets
from ..expert.rollout import Conditions, drive, Episode, ExpertDriver, Velocity
from ..world.layout import distance_to_obstacles, Layout, ROBOT_RADIUS, rotate, SCENARIOS
from ..world.world import World
from ...backends.torch.network import load_network, PolicyNetwork
from ...vision.preprocess import InputSpec, Preprocess

FRAME_RATES = (12.0, 55.0)  # Hz: training covers 15 to 50 with a margin
TIME_LIMIT = 12.0  # s; the expert needs less than 8, and a policy that stalls adds little
LINGER = 0.7  # s at the cup, so that the policy learns to stand still there
EXPOSURE = 0.2  # an episode's pictures are up to this share brighter or darker

# Where the policy fails most: the first of two boxes in line hides the second.
HARD_SCENARIOS = tuple(name for name in SCENARIOS if name.startswith('2_'))
HARD_SHARE = 0.5  # of the episodes that the policy drives

# Shortly before a contact the expert takes over for a while, so that the episode shows the way out
# instead of ending there.
FORESIGHT, ALARM = 0.25, 0.04  # s ahead, and m of clearance there
INTERVENTION = 0.7  # s


@dataclass(frozen=True)
class EpisodeSetup:
    """An episode to collect: who drives it, and how it is disturbed."""

    seed: int
    expert: bool  # drives; else the network does
    disturbed: bool  # by random pushes, so that the policy learns to recover
    scenario: str = ''  # one of layout.SCENARIOS; empty: drawn from the seed


def draw_setups(seeds: Sequence[int], expert: bool, disturbed_share: float
                ) -> List[EpisodeSetup]:
    """Draw from each seed whether its episode is disturbed, and whether it is a hard one."""
    return [_draw_setup(seed, expert, disturbed_share) for seed in seeds]


def _draw_setup(seed: int, expert: bool, disturbed_share: float) -> EpisodeSetup:
    rng = _rng(seed, 4)
    disturbed = bool(rng.random() < disturbed_share)
    hard = not expert and rng.random() < HARD_SHARE
    return EpisodeSetup(seed, expert, disturbed, str(rng.choice(HARD_SCENARIOS)) if hard else '')


def collect(setups: Sequence[EpisodeSetup], folder: Path, build: dict, workers: int
            ) -> Iterator[Tuple[EpisodeSetup, Episode, bool]]:
    """
    Drive the episodes in parallel processes, and save each in `folder` (load_episode).

    `build` holds what the workers build the network from: weights, architecture, mean, std,
    input. Yield with each setup its episode, and whether the expert intervened.
    """
    context = multiprocessing.get_context('spawn')
    with context.Pool(workers, _start_worker, (str(folder), build)) as pool:
        yield from pool.imap_unordered(_run_episode, setups)


class LabellingDriver:
    """Drives by the expert or a network, with pushes; records the expert's action as label."""

    def __init__(self, preprocess: Preprocess, network: PolicyNetwork, setup: EpisodeSetup
                 ) -> None:
        """Take the network whose features are recorded, and that drives unless the expert does."""
        self._preprocess, self._network, self._setup = preprocess, network, setup
        self._expert = ExpertDriver()
        self._rng = _rng(setup.seed, 5)
        self._gain = 1 + self._rng.uniform(-EXPOSURE, EXPOSURE)
        self.features: List[np.ndarray] = []
        self.labels: List[Velocity] = []
        self.targets: List[np.ndarray] = []  # auxiliary

    def reset(self, layout: Layout) -> None:
        """Begin an episode."""
        self._expert.reset(layout)
        self._state = self._network.zero_state()
        self._push_until, self._push = 0.0, np.zeros(2)
        self.intervened, self._expert_until = False, 0.0

    def __call__(self, world: World) -> Velocity:
        """Record features, label and targets; return the driver's action, maybe with a push."""
        action = self._infer(world.render())
        label = self._expert(world)
        self.labels.append(label)
        self.targets.append(state_targets(world.layout, world.pose))
        if not self._setup.expert and _is_contact_near(world):
            self.intervened, self._expert_until = True, world.time + INTERVENTION
        if world.time < self._expert_until:
            return label
        velocity = np.asarray(label if self._setup.expert else action)
        return velocity + self._draw_push(world.time) if self._setup.disturbed else velocity

    def _infer(self, picture: np.ndarray) -> np.ndarray:
        """Record the features, advance the state, and return the network's action."""
        image = cv2.convertScaleAbs(self._preprocess(picture)[0], alpha=self._gain)
        with torch.inference_mode():
            features = self._network.features(torch.from_numpy(image)[None])
            hidden, self._state = self._network.sequence(features[:, None], self._state)
            self.features.append(features[0].numpy())
            return self._network.actions(hidden[0, 0]).numpy()

    def _draw_push(self, now: float) -> np.ndarray:
        """Return a push (m/s) of 0.2 to 0.7 s in a random direction, about every 1.3 s."""
        if now > self._push_until + 0.3:
            self._push_until = now + self._rng.uniform(0.2, 0.7)
            strength = self._rng.uniform(0, 0.7) * (self._rng.random() < 0.6)
            angle = self._rng.uniform(-math.pi, math.pi)
            self._push = strength * np.array([math.cos(angle), math.sin(angle)])
        return self._push if now < self._push_until else np.zeros(2)


def _is_contact_near(world: World) -> bool:
    """Return whether the robot is about to touch a box or a wall."""
    x, y, yaw = world.pose
    vx, vy = rotate(*world.velocity, yaw)
    gap = distance_to_obstacles(world.layout, x + FORESIGHT * vx, y + FORESIGHT * vy)
    return bool(gap < ROBOT_RADIUS + ALARM)


def draw_conditions(seed: int) -> Conditions:
    """Draw the conditions of a camera and a loop: 12 to 55 Hz, with and without losses."""
    rng = _rng(seed, 6)
    rate = math.exp(rng.uniform(*np.log(FRAME_RATES)))
    loss = rng.uniform(0, 0.35) if rng.random() < 0.5 else 0.0
    return Conditions(rate, loss, rng.uniform(0, 0.15), rng.uniform(0, 0.04),
                      TIME_LIMIT, LINGER)


def _rng(seed: int, stream: int) -> np.random.Generator:
    return np.random.default_rng([seed, stream])


_worker: dict = {}  # what each worker process builds once


def _start_worker(folder: str, build: dict) -> None:
    torch.set_num_threads(1)
    network = load_network(Path(build['weights']), build['architecture'], build['mean'],
                           build['std'])
    _worker.update(folder=Path(folder), network=network, world=World(),
                   preprocess=Preprocess(InputSpec(**build['input'])))


def _run_episode(setup: EpisodeSetup) -> Tuple[EpisodeSetup, Episode, bool]:
    driver = LabellingDriver(_worker['preprocess'], _worker['network'], setup)
    episode = drive(_worker['world'], driver, setup.seed, setup.scenario or None,
                    draw_conditions(setup.seed))
    rows = np.hstack([np.stack(driver.features), np.array(driver.labels),
                      np.stack(driver.targets)]).astype(np.float32)
    unfinished = _worker['folder'] / f'{setup.seed}.tmp.npy'
    np.save(unfinished, rows)
    os.replace(unfinished, _worker['folder'] / f'{setup.seed}.npy')
    return setup, episode, driver.intervened


def load_episode(folder: Path, seed: int) -> np.ndarray:
    """Return features, labels and targets: float32 [T, F + ACTIONS + STATE_TARGETS]."""
    return np.load(folder / f'{seed}.npy')
