"""Collect lessons: whoever drives, the expert says at every frame what it would have done."""

from dataclasses import dataclass
import math
import multiprocessing
import os
from pathlib import Path
from typing import Iterator, List, Sequence, Tuple

import cv2
import numpy as np
import torch

from .auxiliary_targets import around
from ..expert.rollout import Conditions, drive, Episode, ExpertDriver, Velocity
from ..world.layout import distance_to_box, Layout, ROBOT_RADIUS, SCENARIOS
from ..world.world import World
from ...backends.torch.network import load_network, PolicyNetwork
from ...vision.preprocess import InputSpec, Preprocess

RATES = (12.0, 55.0)  # Hz: training covers 15 to 50 with a margin
TIME_LIMIT = 12.0  # s; the expert needs less than 8, and a policy that stalls teaches little
LINGER = 0.7  # s at the cup, so that standing still there is learnt too
EXPOSURE = 0.2  # a lesson's pictures are up to this share brighter or darker

# Where the policy fails most: behind the first of two boxes in line the second is met late.
HARD = tuple(name for name in SCENARIOS if name.startswith('2_'))
HARD_SHARE = 0.5  # of the lessons in which the policy drives

# Where the policy is about to touch something the expert takes over for a while, so that lessons
# hold the way out instead of ending at the contact.
FORESIGHT, ALARM = 0.25, 0.04  # s ahead, and m of clearance there
HELP = 0.7  # s


@dataclass(frozen=True)
class Lesson:
    """An episode to collect: who drives it, and how it is disturbed."""

    seed: int
    expert: bool  # else the network drives
    disturbed: bool  # pushed off its way now and then, so that finding back is learnt
    scenario: str = ''  # one of layout.SCENARIOS, or as the seed draws it


def draw_lessons(seeds: Sequence[int], expert: bool, disturbed_share: float) -> List[Lesson]:
    """Decide for each seed, from the seed, whether it is disturbed, and whether it is hard."""
    return [_draw_lesson(seed, expert, disturbed_share) for seed in seeds]


def _draw_lesson(seed: int, expert: bool, disturbed_share: float) -> Lesson:
    rng = _rng(seed, 4)
    disturbed = bool(rng.random() < disturbed_share)
    hard = not expert and rng.random() < HARD_SHARE
    return Lesson(seed, expert, disturbed, str(rng.choice(HARD)) if hard else '')


def collect(lessons: Sequence[Lesson], folder: Path, build: dict, workers: int
            ) -> Iterator[Tuple[Lesson, Episode, bool]]:
    """
    Drive the lessons in processes of their own; each leaves a file (save_lesson).

    `build` holds what the workers need to build the network: weights, architecture, mean, std,
    input. Give with each lesson its episode, and whether the expert had to help.
    """
    context = multiprocessing.get_context('spawn')
    with context.Pool(workers, _start_worker, (str(folder), build)) as pool:
        yield from pool.imap_unordered(_run_lesson, lessons)


class TaughtDriver:
    """Lets the expert or a network drive, with pushes, and notes what the expert says."""

    def __init__(self, preprocess: Preprocess, network: PolicyNetwork, lesson: Lesson) -> None:
        """Take the network that sees, and that drives unless the expert does."""
        self._preprocess, self._network, self._lesson = preprocess, network, lesson
        self._expert = ExpertDriver()
        self._rng = _rng(lesson.seed, 5)
        self._gain = 1 + self._rng.uniform(-EXPOSURE, EXPOSURE)
        self.features: List[np.ndarray] = []
        self.labels: List[Velocity] = []
        self.hints: List[np.ndarray] = []

    def reset(self, layout: Layout) -> None:
        """Plan, and clear the state."""
        self._expert.reset(layout)
        self._state = self._network.zero_state()
        self._push_until, self._push = 0.0, np.zeros(2)
        self.helped, self._help_until = False, 0.0

    def __call__(self, world: World) -> Velocity:
        """Note what is seen and the expert's advice; give the driver's own, maybe pushed."""
        own = self._see(world.render())
        self.labels.append(self._expert(world))
        self.hints.append(around(world.layout, world.pose))
        if not self._lesson.expert and _alarming(world):
            self.helped, self._help_until = True, world.time + HELP
        if world.time < self._help_until:
            return self.labels[-1]
        action = self.labels[-1] if self._lesson.expert else own
        return np.asarray(action) + (self._pushed(world.time) if self._lesson.disturbed else 0.0)

    def _see(self, picture: np.ndarray) -> np.ndarray:
        """Note the features, go one step, and give the network's action."""
        image = cv2.convertScaleAbs(self._preprocess(picture)[0], alpha=self._gain)
        with torch.inference_mode():
            features = self._network.features(torch.from_numpy(image)[None])
            hidden, self._state = self._network.sequence(features[:, None], self._state)
            self.features.append(features[0].numpy())
            return self._network.actions(hidden[0, 0]).numpy()

    def _pushed(self, now: float) -> np.ndarray:
        """Push for 0.2 to 0.7 s in a random direction, about every 1.3 s."""
        if now > self._push_until + 0.3:
            self._push_until = now + self._rng.uniform(0.2, 0.7)
            strength = self._rng.uniform(0, 0.7) * (self._rng.random() < 0.6)
            angle = self._rng.uniform(-math.pi, math.pi)
            self._push = strength * np.array([math.cos(angle), math.sin(angle)])
        return self._push if now < self._push_until else np.zeros(2)


def _alarming(world: World) -> bool:
    """Tell whether the robot is about to touch a box or a wall."""
    x, y, yaw = world.pose
    forward, left = world.velocity
    x += FORESIGHT * (math.cos(yaw) * forward - math.sin(yaw) * left)
    y += FORESIGHT * (math.sin(yaw) * forward + math.cos(yaw) * left)
    x0, x1, y0, y1 = world.layout.arena
    gaps = [x - x0, x1 - x, y - y0, y1 - y]
    gaps += [float(distance_to_box(box, (x, y))) for box in world.layout.boxes]
    return min(gaps) < ROBOT_RADIUS + ALARM


def draw_conditions(seed: int) -> Conditions:
    """Draw a camera and a loop: 12 to 55 Hz, with and without losses."""
    rng = _rng(seed, 6)
    rate = math.exp(rng.uniform(math.log(RATES[0]), math.log(RATES[1])))
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


def _run_lesson(lesson: Lesson) -> Tuple[Lesson, Episode, bool]:
    driver = TaughtDriver(_worker['preprocess'], _worker['network'], lesson)
    episode = drive(_worker['world'], driver, lesson.seed, lesson.scenario or None,
                    draw_conditions(lesson.seed))
    save_lesson(_worker['folder'], lesson.seed, driver)
    return lesson, episode, driver.helped


def save_lesson(folder: Path, seed: int, driver: TaughtDriver) -> None:
    """Write the features, then the labels and hints, as one file: float32 [T, F + 2 + HINTS]."""
    notes = np.hstack([np.stack(driver.features), np.array(driver.labels),
                       np.stack(driver.hints)]).astype(np.float32)
    np.save(folder / f'{seed}.tmp.npy', notes)
    os.replace(folder / f'{seed}.tmp.npy', folder / f'{seed}.npy')


def load_lesson(folder: Path, seed: int) -> np.ndarray:
    """Return features, labels and hints side by side: float32 [T, F + 2 + HINTS]."""
    return np.load(folder / f'{seed}.npy')
