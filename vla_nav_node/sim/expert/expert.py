"""The privileged expert: it sees the map, plans once, and follows the way downhill."""

import math
from typing import Tuple

import numpy as np
from scipy.ndimage import map_coordinates
from scipy.sparse import coo_array
from scipy.sparse.csgraph import dijkstra

from ..world.layout import CUP_RADIUS, distance_to_box, Layout, ROBOT_RADIUS

CELL = 0.05  # m
BLOCKED = ROBOT_RADIUS + 0.03  # m of clearance, from the robot's centre, under which no way leads
WISHED = ROBOT_RADIUS + 0.35  # m of clearance over which nothing is gained
SHYNESS = 12.0  # how much longer than in the open a step right beside an obstacle counts
CRUISE = 0.6  # m/s, in the open
CAREFUL, TRUST = 0.25, 1.4  # m/s beside an obstacle, and 1/s: more for each metre of clearance
STAND_OFF = ROBOT_RADIUS + CUP_RADIUS + 0.03  # m from the cup's centre, where it comes to rest
APPROACH = 2.0  # 1/s: speed for each metre that is left to the stand-off
LOOK_AHEAD = 0.25  # m along the way, the direction that is steered for
_STEPS = [(1, 0), (0, 1), (1, 1), (1, -1), (2, 1), (1, 2), (2, -1), (1, -2)]  # and their opposites


class Expert:
    """Velocity commands towards the cup, around everything, from the true pose."""

    def __init__(self, layout: Layout) -> None:
        """Plan for this layout: the cost to go from every cell of the arena."""
        self.layout = layout
        self._gap = clearance(layout)
        self.cost = cost_to_go(layout, self._gap)

    def command(self, pose: Tuple[float, float, float]) -> Tuple[float, float]:
        """Return the velocity (m/s, robot's frame) for a pose (x, y, yaw) in the arena's frame."""
        x, y, yaw = pose
        to_x, to_y = self._direction(x, y)
        speed = self._speed(x, y)
        cos, sin = math.cos(yaw), math.sin(yaw)
        return speed * (cos * to_x + sin * to_y), speed * (cos * to_y - sin * to_x)

    def _speed(self, x: float, y: float) -> float:
        left = math.hypot(self.layout.cup[0] - x, self.layout.cup[1] - y) - STAND_OFF
        free = self._look_up(self._gap, np.array([[x, y]]))[0] - ROBOT_RADIUS
        return min(CRUISE, CAREFUL + TRUST * max(free, 0.0), APPROACH * max(left, 0.0))

    def _direction(self, x: float, y: float) -> Tuple[float, float]:
        """Walk down the cost for LOOK_AHEAD metres and point there, as a unit vector."""
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
        ahead, behind, left, right = self._look_up(self.cost, around)
        return np.array([ahead - behind, left - right])

    def _look_up(self, grid: np.ndarray, points: np.ndarray) -> np.ndarray:
        """Interpolate a grid over the arena at points [N, 2]."""
        index = (points - (self.layout.arena[0], self.layout.arena[2])) / CELL - 0.5
        return map_coordinates(grid, index.T, order=1, mode='nearest')


def clearance(layout: Layout) -> np.ndarray:
    """Return the distance from each cell's centre to the nearest box or wall, m."""
    x0, x1, y0, y1 = layout.arena
    xs = np.arange(x0 + CELL / 2, x1, CELL)
    ys = np.arange(y0 + CELL / 2, y1, CELL)
    x, y = np.meshgrid(xs, ys, indexing='ij')
    gaps = [x - x0, x1 - x, y - y0, y1 - y]
    gaps += [distance_to_box(box, (x, y)) for box in layout.boxes]
    return np.min(gaps, axis=0)


def cost_to_go(layout: Layout, gap: np.ndarray) -> np.ndarray:
    """
    Give the cost from each cell to the cup: metres, dearer where `gap` is small (Dijkstra).

    Cells too near to an obstacle stay passable at a high price, so that the way out of a place
    where the robot should not be is defined too.
    """
    price = 1 + SHYNESS * np.clip((WISHED - gap) / (WISHED - ROBOT_RADIUS), 0, 1) ** 2
    price = np.where(gap < BLOCKED, 30 + 200 * (BLOCKED - gap), price)
    index = np.arange(gap.size).reshape(gap.shape)
    rows, cols, lengths = zip(*(_edges(index, price, dx, dy) for dx, dy in _STEPS))
    graph = coo_array((np.concatenate(lengths), (np.concatenate(rows), np.concatenate(cols))),
                      shape=(gap.size, gap.size))
    cup = index[int((layout.cup[0] - layout.arena[0]) / CELL),
                int((layout.cup[1] - layout.arena[2]) / CELL)]
    return dijkstra(graph.tocsr(), directed=False, indices=cup).reshape(gap.shape)


def _edges(index: np.ndarray, price: np.ndarray, dx: int, dy: int) -> Tuple:
    """Join each cell with the one (dx, dy) cells further, at the mean price of both."""
    here = np.s_[:-dx or None, max(0, -dy):-dy if dy > 0 else None]
    there = np.s_[dx:, max(0, dy):dy if dy < 0 else None]
    length = CELL * math.hypot(dx, dy) * (price[here] + price[there]) / 2
    return index[here].ravel(), index[there].ravel(), length.ravel()
