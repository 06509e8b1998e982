"""Frames of the simulated robot's camera beside those of every other source."""

from contextlib import closing
from dataclasses import replace
from itertools import count as counted

import numpy as np

from ...convert.frames import frames
from ...convert.frames.calibrated import Calibrated, FIRST_SEED, NONE, SEEDS_APART, SIMULATOR
from ...vision.preprocess import InputSpec

RATE = 30.0  # Hz, of the pictures
TIME_LIMIT = 20.0  # s, of an episode


def load_frames(source: str, spec: InputSpec, count: int, seed: int = 0,
                calibrated: Calibrated = NONE) -> np.ndarray:
    """
    Return frames as frames.load_frames does; `sim` are pictures of the simulated robot.

    `seed` chooses the episodes of the simulator. Its camera is mounted upright.
    """
    if source != SIMULATOR:
        return frames.load_frames(source, spec, count, calibrated)
    calibrated.refuse_seed(seed)
    with closing(_simulated(FIRST_SEED + SEEDS_APART * seed)) as pictures:
        return frames.take_frames(pictures, source, replace(spec, rotation=0), count)


def _simulated(first_seed: int) -> frames.Pictures:
    """Return what the robot's camera sees while the expert drives, episode after episode."""
    from .rollout import ExpertDriver
    from ..world.world import World
    world, expert = World(), ExpertDriver()
    try:
        for seed in counted(first_seed):
            expert.reset(world.reset(seed))
            while not world.outcome(TIME_LIMIT):
                yield world.render()
                linear_x, linear_y = expert(world)
                world.step(linear_x, linear_y, 1 / RATE)
    finally:
        world.close()
