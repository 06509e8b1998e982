"""Collect lessons: whoever drives, the expert says at every frame what it would have done."""

from dataclasses import dataclass
import math
import multiprocessing
from pathlib import Path
from typing import Iterator, List, Optional, Sequence, Tuple

import numpy as np

from .layout import distance_to_box, Layout
from .rollout import Conditions, drive, Episode, ExpertDriver, Velocity
from .world import World
from ..preprocess import InputSpec, Preprocess

# What the hidden state is asked to tell beside the action, in training only: where the cup is,
# and how far the nearest thing is in each direction, those out of the camera's view included.
RAYS = 16
RAY_LENGTH, RAY_STEP = 1.5, 0.05  # m
HINTS = 2 + RAYS

RATES = (12.0, 55.0)  # Hz: training covers 15 to 50 with a margin
TIME_LIMIT = 12.0  # s; the expert needs less than 8, and a policy that stalls teaches little
LINGER = 0.7  # s at the cup, so that standing still there is learnt too


@dataclass(frozen=True)
class Lesson:
    """An episode to collect: who drives it, and how it is disturbed."""

    seed: int
    weights: Optional[str]  # None: the expert drives
    disturbed: bool  # pushed off its way now and then, so that finding back is learnt


def draw_lessons(seeds: Sequence[int], weights: Optional[str],
                 disturbed_share: float) -> List[Lesson]:
    """Decide for each seed, from the seed, whether it is disturbed."""
    return [Lesson(seed, weights, bool(_rng(seed, 4).random() < disturbed_share))
            for seed in seeds]


def collect(lessons: Sequence[Lesson], folder: Path, build: dict, workers: int
            ) -> Iterator[Tuple[Lesson, Episode]]:
    """
    Drive the lessons in processes of their own; each leaves two files (save_lesson).

    `build` holds what the workers need to build the network: architecture, mean, std, input.
    """
    context = multiprocessing.get_context('spawn')
    with context.Pool(workers, _start_worker, (str(folder), build)) as pool:
        yield from pool.imap_unordered(_run_lesson, lessons)


class TaughtDriver:
    """Lets the expert or a network drive, with pushes, and notes what the expert says."""

    def __init__(self, preprocess: Preprocess, network, lesson: Lesson) -> None:
        """Take the network that drives, or None for the expert."""
        self._preprocess, self._network, self._lesson = preprocess, network, lesson
        self._expert = ExpertDriver()
        self._rng = _rng(lesson.seed, 5)
        self.images: List[np.ndarray] = []
        self.labels: List[Velocity] = []
        self.hints: List[np.ndarray] = []

    def reset(self, layout: Layout) -> None:
        """Plan, and clear the state."""
        self._expert.reset(layout)
        self._state = self._network.zero_state() if self._network else ()
        self._push_until, self._push = 0.0, np.zeros(2)

    def __call__(self, world: World) -> Velocity:
        """Note the picture and the expert's advice; give the driver's own, maybe pushed."""
        self.images.append(self._preprocess(world.render())[0].copy())
        self.labels.append(self._expert(world))
        self.hints.append(hints(world.layout, world.pose))
        action = self._act() if self._network else self.labels[-1]
        return np.asarray(action) + (self._pushed(world.time) if self._lesson.disturbed else 0.0)

    def _act(self) -> np.ndarray:
        import torch
        with torch.inference_mode():
            action, *self._state = self._network.step(
                torch.from_numpy(self.images[-1])[None], *self._state)
        return action[0].numpy()

    def _pushed(self, now: float) -> np.ndarray:
        """Push for 0.2 to 0.7 s in a random direction, about every 1.3 s."""
        if now > self._push_until + 0.3:
            self._push_until = now + self._rng.uniform(0.2, 0.7)
            strength = self._rng.uniform(0, 0.7) * (self._rng.random() < 0.6)
            angle = self._rng.uniform(-math.pi, math.pi)
            self._push = strength * np.array([math.cos(angle), math.sin(angle)])
        return self._push if now < self._push_until else np.zeros(2)


def hints(layout: Layout, pose: Tuple[float, float, float]) -> np.ndarray:
    """Tell where the cup is (m, robot's frame) and how far things are all round, float32."""
    x, y, yaw = pose
    dx, dy = layout.cup[0] - x, layout.cup[1] - y
    cos, sin = math.cos(yaw), math.sin(yaw)
    angles = yaw + np.arange(RAYS) * 2 * math.pi / RAYS
    along = np.arange(RAY_STEP, RAY_LENGTH, RAY_STEP)
    xs, ys = x + np.outer(np.cos(angles), along), y + np.outer(np.sin(angles), along)
    x0, x1, y0, y1 = layout.arena
    hit = (xs < x0) | (xs > x1) | (ys < y0) | (ys > y1)
    for box in layout.boxes:
        hit |= distance_to_box(box, (xs, ys)) <= 0
    rays = np.where(hit.any(1), along[hit.argmax(1)], RAY_LENGTH)
    return np.array([cos * dx + sin * dy, cos * dy - sin * dx, *rays], np.float32)


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
    import torch
    torch.set_num_threads(1)
    _worker.update(folder=Path(folder), build=build, world=World(), networks={},
                   preprocess=Preprocess(InputSpec(**build['input'])))


def _run_lesson(lesson: Lesson) -> Tuple[Lesson, Episode]:
    network = _network(lesson.weights)
    driver = TaughtDriver(_worker['preprocess'], network, lesson)
    episode = drive(_worker['world'], driver, lesson.seed,
                    conditions=draw_conditions(lesson.seed))
    save_lesson(_worker['folder'], lesson.seed, driver)
    return lesson, episode


def _network(weights: Optional[str]):
    if weights and weights not in _worker['networks']:
        from ..network import load_network
        build = _worker['build']
        _worker['networks'] = {weights: load_network(
            Path(weights), build['architecture'], build['mean'], build['std'])}
    return _worker['networks'].get(weights)


def save_lesson(folder: Path, seed: int, driver: TaughtDriver) -> None:
    """Write the pictures (uint8 [T, H, W, 3]), then labels and hints (float32 [T, 20])."""
    np.save(folder / f'{seed}.images.npy', np.stack(driver.images))
    notes = np.hstack([np.array(driver.labels), np.stack(driver.hints)]).astype(np.float32)
    np.save(folder / f'{seed}.notes.npy', notes)


def load_lesson(folder: Path, seed: int) -> Tuple[np.ndarray, np.ndarray]:
    """Give pictures (mapped from disk) and notes: labels [:, :2] and hints [:, 2:]."""
    return (np.load(folder / f'{seed}.images.npy', mmap_mode='r'),
            np.load(folder / f'{seed}.notes.npy'))
