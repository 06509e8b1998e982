"""The privileged expert: sees the map, plans once, and descends the cost to go."""

import math
from typing import Tuple

import numpy as np
from scipy.ndimage import map_coordinates
from scipy.sparse import coo_array
from scipy.sparse.csgraph import dijkstra

from ..world.layout import CUP_RADIUS, distance_to_obstacles, Layout, ROBOT_RADIUS, rotate

CELL = 0.05  # m
MIN_CLEARANCE = ROBOT_RADIUS + 0.03  # m from the robot's centre; paths keep at least this
FREE_CLEARANCE = ROBOT_RADIUS + 0.35  # m, beyond which more clearance costs no less
OBSTACLE_COST = 12.0  # added cost per metre right beside an obstacle; 1 in the open
CRUISE = 0.6  # m/s, in the open
NEAR_SPEED, SPEED_GAIN = 0.25, 1.4  # m/s beside an obstacle; and 1/s, per metre of clearance
STAND_OFF = ROBOT_RADIUS + CUP_RADIUS + 0.03  # m from the cup's centre, where it comes to rest
APPROACH = 2.0  # 1/s: speed per metre left to the stand-off
LOOK_AHEAD = 0.25  # m along the path, the point to steer for
NEIGHBOURS = [(1, 0), (0, 1), (1, 1), (1, -1), (2, 1), (1, 2), (2, -1), (1, -2)]  # and opposites


class Expert:
    """Velocity commands to the cup, around the obstacles, from the true pose."""

    def __init__(self, layout: Layout) -> None:
        """Plan: compute the cost to go from every cell of the arena."""
        self.layout = layout
        self._clearance = clearance(layout)
        self._cost = cost_to_go(layout, self._clearance)

    def command(self, pose: Tuple[float, float, float]) -> Tuple[float, float]:
        """Return the velocity (m/s, robot's frame) for a pose (x, y, yaw) in the arena's frame."""
        x, y, yaw = pose
        forward, left = rotate(*self._direction(x, y), -yaw)
        speed = self._speed(x, y)
        return speed * forward, speed * left

    def _speed(self, x: float, y: float) -> float:
        left = math.hypot(self.layout.cup[0] - x, self.layout.cup[1] - y) - STAND_OFF
        free = self._interpolate(self._clearance, np.array([[x, y]]))[0] - ROBOT_RADIUS
        return min(CRUISE, NEAR_SPEED + SPEED_GAIN * max(free, 0.0), APPROACH * max(left, 0.0))

    def _direction(self, x: float, y: float) -> Tuple[float, float]:
        """Descend the cost for LOOK_AHEAD metres; return the unit vector to that point."""
        at = np.array([x, y])
        cup = np.array(self.layout.cup)
        for _ in range(round(LOOK_AHEAD / CELL)):
            if np.hypot(*(cup - at)) < 2 * LOOK_AHEAD:
                at = cup
                break
            slope = self._gradient(at)
            at = at - CELL * slope / (np.hypot(*slope) + 1e-9)
        away = at - (x, y)
        return tuple(away / (np.hypot(*away) + 1e-9))

    def _gradient(self, at: np.ndarray) -> np.ndarray:
        around = at + CELL * np.array([[1, 0], [-1, 0], [0, 1], [0, -1]])
        ahead, behind, left, right = self._interpolate(self._cost, around)
        return np.array([ahead - behind, left - right])

    def _interpolate(self, grid: np.ndarray, points: np.ndarray) -> np.ndarray:
        """Interpolate a grid of cells linearly at points [N, 2] (m)."""
        index = (points - (self.layout.arena[0], self.layout.arena[2])) / CELL - 0.5
        return map_coordinates(grid, index.T, order=1, mode='nearest')


def clearance(layout: Layout) -> np.ndarray:
    """Return the distance from each cell's centre to the nearest box or wall, m [X, Y]."""
    x0, x1, y0, y1 = layout.arena
    xs = np.arange(x0 + CELL / 2, x1, CELL)
    ys = np.arange(y0 + CELL / 2, y1, CELL)
    return distance_to_obstacles(layout, *np.meshgrid(xs, ys, indexing='ij'))


def cost_to_go(layout: Layout, free: np.ndarray) -> np.ndarray:
    """
    Return the cost from each cell to the cup by Dijkstra, given each cell's clearance [X, Y].

    It is the path's length (m), weighted up near obstacles. Cells too near to one stay passable
    at a high weight, so that a path out is defined from where the robot should not be, too.
    """
    weight = 1 + OBSTACLE_COST * np.clip(
        (FREE_CLEARANCE - free) / (FREE_CLEARANCE - ROBOT_RADIUS), 0, 1) ** 2
    weight = np.where(free < MIN_CLEARANCE, 30 + 200 * (MIN_CLEARANCE - free), weight)
    index = np.arange(free.size).reshape(free.shape)
    rows, cols, costs = map(np.concatenate, zip(
        *(_edges(index, weight, dx, dy) for dx, dy in NEIGHBOURS)))
    graph = coo_array((costs, (rows, cols)), shape=(free.size, free.size))
    cup = index[int((layout.cup[0] - layout.arena[0]) / CELL),
                int((layout.cup[1] - layout.arena[2]) / CELL)]
    return dijkstra(graph.tocsr(), directed=False, indices=cup).reshape(free.shape)


def _edges(index: np.ndarray, weight: np.ndarray, dx: int, dy: int) -> Tuple:
    """Return the edges from each cell to the one at (dx, dy), by the mean weight of both."""
    here = np.s_[:-dx or None, max(0, -dy):-dy if dy > 0 else None]
    there = np.s_[dx:, max(0, dy):dy if dy < 0 else None]
    cost = CELL * math.hypot(dx, dy) * (weight[here] + weight[there]) / 2
    return index[here].ravel(), index[there].ravel(), cost.ravel()
