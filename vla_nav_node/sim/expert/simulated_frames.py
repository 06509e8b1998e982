"""Frames from the simulated robot's camera, or from any other source."""

from contextlib import closing
from dataclasses import replace
from itertools import count as integers

import numpy as np

from ...convert.frames import frames
from ...convert.frames.calibrated import Calibrated, FIRST_SEED, NONE, SEEDS_APART, SIMULATOR
from ...vision.preprocess import InputSpec

FRAME_RATE = 30.0  # Hz
TIME_LIMIT = 20.0  # s, of an episode


def load_frames(source: str, spec: InputSpec, count: int, seed: int = 0,
                calibrated: Calibrated = NONE) -> np.ndarray:
    """
    Return frames as convert's load_frames does, or the simulated robot's if `source` is 'sim'.

    `seed` selects the simulator's episodes. Its camera is mounted upright.
    """
    if source != SIMULATOR:
        return frames.load_frames(source, spec, count, calibrated)
    calibrated.refuse_seed(seed)
    with closing(_drive_episodes(FIRST_SEED + SEEDS_APART * seed)) as pictures:
        return frames.take_frames(pictures, source, replace(spec, rotation=0), count)


def _drive_episodes(first_seed: int) -> frames.Pictures:
    """Yield the camera's pictures while the expert drives one episode after another."""
    from .rollout import ExpertDriver
    from ..world.world import World
    world, expert = World(), ExpertDriver()
    try:
        for seed in integers(first_seed):
            expert.reset(world.reset(seed))
            while not world.outcome(TIME_LIMIT):
                yield world.render()
                linear_x, linear_y = expert(world)
                world.step(linear_x, linear_y, 1 / FRAME_RATE)
    finally:
        world.close()
