"""
What stands where in an episode: drawn from a seed, without a simulator.

The frame is the arena's own: x from the start to the goal, y to the left (REP 103), metres.
"""

from dataclasses import dataclass
import math
from typing import Optional, Tuple

import numpy as np

from ...errors import SimulationError

ARENA = (0.0, 4.8, -1.5, 1.5)  # x0, x1, y0, y1 of the inner faces of the walls, m
ROBOT_RADIUS = 0.18  # m
CUP_RADIUS, CUP_HEIGHT = 0.07, 0.22  # m
# Low enough that the camera sees the cup's top over a box: where the cup is decides the side that
# the box is passed on, and nobody learns to choose by what he cannot see.
HALF_HEIGHTS = (0.07, 0.12)  # m
LANE = 2 * ROBOT_RADIUS + 0.3  # m, the least width that the robot is asked to pass
REACH = 0.35  # m from the robot's centre to the cup's: the goal is reached

# The eight scenarios of the original work, by what stands in the way, and how to pass it.
SCENARIOS = tuple(
    f'{count}_box{"es" if count == 2 else ""}_{way}_{side}'
    for count in (1, 2) for way in ('lengthwise', 'crosswise') for side in ('left', 'right'))
RANDOM = 'random'


@dataclass(frozen=True)
class Box:
    """An upright box on the floor: centre, yaw (rad) and half sizes (m)."""

    x: float
    y: float
    yaw: float
    half_x: float
    half_y: float
    half_z: float


@dataclass(frozen=True)
class Layout:
    """One episode's arena."""

    seed: int
    scenario: str
    boxes: Tuple[Box, ...]
    cup: Tuple[float, float]
    start: Tuple[float, float, float]  # x, y, yaw
    arena: Tuple[float, float, float, float] = ARENA


def draw_layout(seed: int, scenario: Optional[str] = None) -> Layout:
    """
    Draw an episode from `seed`; the same seed and scenario give the same layout.

    `scenario` is one of SCENARIOS or 'random'; None or '' draws half of the episodes from the
    eight and half at random. Raise SimulationError for a name there is not.
    """
    if scenario and scenario not in SCENARIOS + (RANDOM,):
        raise SimulationError(f'no scenario {scenario!r}', 'one of ' + ', '.join(
            SCENARIOS + (RANDOM,)))
    rng = np.random.default_rng([seed, 0])
    pick = int(rng.integers(2 * len(SCENARIOS)))
    name = scenario or (SCENARIOS[pick] if pick < len(SCENARIOS) else RANDOM)
    for _ in range(1000):
        layout = _draw(rng, seed, name)
        if _is_fair(layout):
            return layout
    raise SimulationError(f'no fair layout for seed {seed} and scenario {name}')


def _draw(rng: np.random.Generator, seed: int, name: str) -> Layout:
    cup = (rng.uniform(3.8, 4.3), rng.uniform(-0.9, 0.9))
    start = (rng.uniform(0.4, 0.7), rng.uniform(-0.9, 0.9), rng.uniform(-0.2, 0.2))
    draw = _random_boxes if name == RANDOM else _scenario_boxes
    return Layout(seed, name, draw(rng, name, start, cup), cup, start)


def _random_boxes(rng: np.random.Generator, _: str, start: Tuple, cup: Tuple) -> Tuple[Box, ...]:
    return tuple(
        Box(rng.uniform(1.4, 3.3), rng.uniform(-1.1, 1.1), rng.uniform(-math.pi, math.pi),
            rng.uniform(0.12, 0.4), rng.uniform(0.12, 0.25), rng.uniform(*HALF_HEIGHTS))
        for _ in range(rng.integers(1, 3)))


def _scenario_boxes(rng: np.random.Generator, name: str, start: Tuple,
                    cup: Tuple) -> Tuple[Box, ...]:
    count, _, way, side = name.split('_')
    xs = [rng.uniform(1.9, 2.7)] if count == '1' else [
        rng.uniform(1.5, 1.8), rng.uniform(2.8, 3.1)]
    return tuple(_box_in_the_way(rng, x, way, side, start, cup) for x in xs)


def _box_in_the_way(rng: np.random.Generator, x: float, way: str, side: str, start: Tuple,
                    cup: Tuple) -> Box:
    """Put a box across the straight way, its middle off to one side: the other is shorter."""
    long, short = rng.uniform(0.3, 0.45), rng.uniform(0.12, 0.18)
    half_x, half_y = (long, short) if way == 'lengthwise' else (short, long)
    straight = start[1] + (cup[1] - start[1]) * (x - start[0]) / (cup[0] - start[0])
    offset = rng.uniform(0.06, 0.9 * half_y) * (-1 if side == 'left' else 1)
    return Box(x, straight + offset, rng.uniform(-0.15, 0.15), half_x, half_y,
               rng.uniform(*HALF_HEIGHTS))


def _is_fair(layout: Layout) -> bool:
    """Tell whether start and cup are clear and the boxes leave a lane on their open side."""
    places = [(layout.start[:2], ROBOT_RADIUS + 0.25), (layout.cup, REACH + 0.05)]
    clear = all(distance_to_box(box, point) > gap for box in layout.boxes
                for point, gap in places)
    return (clear and all(_lane_beside(layout, box) for box in layout.boxes)
            and _lane_between(layout.boxes))


def _lane_between(boxes: Tuple[Box, ...]) -> bool:
    """Tell whether the robot fits between every two boxes, however they are turned."""
    return all(
        math.hypot(a.x - b.x, a.y - b.y) >= LANE
        + math.hypot(a.half_x, a.half_y) + math.hypot(b.half_x, b.half_y)
        for i, a in enumerate(boxes) for b in boxes[:i])


def _lane_beside(layout: Layout, box: Box) -> bool:
    """Tell whether the wall on the side that the layout is passed on is far enough away."""
    reach_y = abs(math.sin(box.yaw)) * box.half_x + abs(math.cos(box.yaw)) * box.half_y
    left = layout.arena[3] - (box.y + reach_y) >= LANE
    right = box.y - reach_y - layout.arena[2] >= LANE
    if layout.scenario.endswith('left'):
        return left
    if layout.scenario.endswith('right'):
        return right
    return left and right


def distance_to_box(box: Box, point):
    """
    Give the distance from a point to the box's outline on the floor, 0 inside, m.

    `point` is (x, y): two numbers, or two arrays of one shape.
    """
    dx, dy = point[0] - box.x, point[1] - box.y
    cos, sin = math.cos(box.yaw), math.sin(box.yaw)
    outside_x = np.maximum(np.abs(cos * dx + sin * dy) - box.half_x, 0.0)
    outside_y = np.maximum(np.abs(-sin * dx + cos * dy) - box.half_y, 0.0)
    return np.hypot(outside_x, outside_y)
