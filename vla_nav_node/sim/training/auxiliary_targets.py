"""What training may know beside the action: where the cup is, how far the nearest things are."""

import math
from typing import Tuple

import numpy as np

from ..world.layout import distance_to_box, Layout
from ..world.scene import CAMERA_FORWARD

Pose = Tuple[float, float, float]  # x, y (m), yaw (rad), arena's frame

# All round, out of the camera's view included: what the hidden state is asked to remember.
RAYS, RAY_LENGTH, RAY_STEP = 16, 1.5, 0.05  # m
HINTS = 2 + RAYS

# In front of the camera: what the encoder is asked to see.
FAN, FAN_ANGLE = 25, math.radians(40.0)  # a little more than the camera's view on both sides
FAN_LENGTH, FAN_STEP = 3.0, 0.03  # m
NEARNESS = 0.3  # m: a ray of length d counts as 1 / (NEARNESS + d), so that near ones weigh more
SIGHTS = 5 + FAN


def around(layout: Layout, pose: Pose) -> np.ndarray:
    """Tell where the cup is (m, robot's frame) and the way that is free (m) all round, [HINTS]."""
    x, y, yaw = pose
    angles = yaw + np.arange(RAYS) * 2 * math.pi / RAYS
    rays = free_way(layout, x, y, angles, np.arange(RAY_STEP, RAY_LENGTH, RAY_STEP))
    return np.array([*_cup(layout, pose), *rays], np.float32)


def in_view(layout: Layout, pose: Pose) -> np.ndarray:
    """Tell pose, cup (m, robot's frame) and the nearness of things in the view, [SIGHTS]."""
    x, y, yaw = pose
    angles = yaw + np.linspace(-FAN_ANGLE, FAN_ANGLE, FAN)
    eye = x + CAMERA_FORWARD * math.cos(yaw), y + CAMERA_FORWARD * math.sin(yaw)
    rays = free_way(layout, *eye, angles, np.arange(FAN_STEP, FAN_LENGTH, FAN_STEP))
    return np.array([*pose, *_cup(layout, pose), *1 / (NEARNESS + rays)], np.float32)


def free_way(layout: Layout, x: float, y: float, angles: np.ndarray, along: np.ndarray
             ) -> np.ndarray:
    """Return how far it is to the first wall or box in each direction, m; at most the last step."""
    xs, ys = x + np.outer(np.cos(angles), along), y + np.outer(np.sin(angles), along)
    x0, x1, y0, y1 = layout.arena
    hit = (xs < x0) | (xs > x1) | (ys < y0) | (ys > y1)
    for box in layout.boxes:
        hit |= distance_to_box(box, (xs, ys)) <= 0
    return np.where(hit.any(1), along[hit.argmax(1)], along[-1])


def _cup(layout: Layout, pose: Pose) -> Tuple[float, float]:
    x, y, yaw = pose
    dx, dy = layout.cup[0] - x, layout.cup[1] - y
    cos, sin = math.cos(yaw), math.sin(yaw)
    return cos * dx + sin * dy, cos * dy - sin * dx
