"""Auxiliary targets of training: where the cup is, and the distances to walls and boxes."""

import math
from typing import Tuple

import numpy as np

from ..world.layout import distance_to_obstacles, Layout, rotate
from ..world.scene import CAMERA_FORWARD

Pose = Tuple[float, float, float]  # x, y (m), yaw (rad), arena's frame

# All round the robot, out of the camera's view included: for the hidden state.
RAYS, RAY_LENGTH, RAY_STEP = 16, 1.5, 0.05  # m
STATE_TARGETS = 2 + RAYS

# In front of the camera: for the encoder.
FAN, FAN_ANGLE = 25, math.radians(40.0)  # a little beyond the camera's view on both sides
FAN_LENGTH, FAN_STEP = 3.0, 0.03  # m
NEARNESS_OFFSET = 0.3  # m; the target of a distance d is 1 / (d + this): near ones weigh more


def state_targets(layout: Layout, pose: Pose) -> np.ndarray:
    """Return the cup (m, robot's frame), then free distances (m) all round, [STATE_TARGETS]."""
    x, y, yaw = pose
    angles = yaw + np.arange(RAYS) * 2 * math.pi / RAYS
    rays = free_distances(layout, x, y, angles, np.arange(RAY_STEP, RAY_LENGTH, RAY_STEP))
    return np.array([*_cup(layout, pose), *rays], np.float32)


def encoder_targets(layout: Layout, pose: Pose) -> np.ndarray:
    """Return the pose, the cup (m, robot's frame) and the nearness (1/m) of obstacles in view."""
    x, y, yaw = pose
    angles = yaw + np.linspace(-FAN_ANGLE, FAN_ANGLE, FAN)
    eye = x + CAMERA_FORWARD * math.cos(yaw), y + CAMERA_FORWARD * math.sin(yaw)
    rays = free_distances(layout, *eye, angles, np.arange(FAN_STEP, FAN_LENGTH, FAN_STEP))
    return np.array([*pose, *_cup(layout, pose), *1 / (NEARNESS_OFFSET + rays)], np.float32)


def free_distances(layout: Layout, x: float, y: float, angles: np.ndarray, steps: np.ndarray
                   ) -> np.ndarray:
    """Return the first of `steps` (m) that hits an obstacle in each direction, or the last one."""
    hit = distance_to_obstacles(layout, x + np.outer(np.cos(angles), steps),
                                y + np.outer(np.sin(angles), steps)) <= 0
    return np.where(hit.any(1), steps[hit.argmax(1)], steps[-1])


def _cup(layout: Layout, pose: Pose) -> Tuple[float, float]:
    x, y, yaw = pose
    return rotate(layout.cup[0] - x, layout.cup[1] - y, -yaw)
