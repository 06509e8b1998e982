"""
Layouts of episodes, drawn from a seed without a simulator, and their geometry.

The frame is the arena's: x from the start to the goal, y to the left (REP 103), metres.
"""

from dataclasses import dataclass
from itertools import combinations
import math
from typing import Any, Optional, Tuple

import numpy as np

from ...errors import SimulationError

ARENA = (0.0, 4.8, -1.5, 1.5)  # x0, x1, y0, y1 of the inner faces of the walls, m
ROBOT_RADIUS = 0.18  # m
CUP_RADIUS, CUP_HEIGHT = 0.07, 0.22  # m
# Low enough that the camera sees the cup's top over a box: the cup's place decides on which side
# to pass the box, and a policy cannot learn to choose by what it does not see.
HALF_HEIGHTS = (0.07, 0.12)  # m
LANE = 2 * ROBOT_RADIUS + 0.3  # m, the narrowest passage that the robot has to take
REACH = 0.35  # m from the robot's centre to the cup's: the goal is reached

# The eight scenarios of the original work: the obstacles, and the side to pass them on.
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
    eight and half at random. Raise SimulationError if the name is unknown.
    """
    if scenario and scenario not in SCENARIOS + (RANDOM,):
        raise SimulationError(f'no scenario {scenario!r}',
                              'one of ' + ', '.join(SCENARIOS + (RANDOM,)))
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
    boxes = _random_boxes(rng) if name == RANDOM else _scenario_boxes(rng, name, start, cup)
    return Layout(seed, name, boxes, cup, start)


def _random_boxes(rng: np.random.Generator) -> Tuple[Box, ...]:
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
    """Put a box in the straight way, its middle off to one side, so that the other is shorter."""
    long, short = rng.uniform(0.3, 0.45), rng.uniform(0.12, 0.18)
    half_x, half_y = (long, short) if way == 'lengthwise' else (short, long)
    straight = start[1] + (cup[1] - start[1]) * (x - start[0]) / (cup[0] - start[0])
    offset = rng.uniform(0.06, 0.9 * half_y) * (-1 if side == 'left' else 1)
    return Box(x, straight + offset, rng.uniform(-0.15, 0.15), half_x, half_y,
               rng.uniform(*HALF_HEIGHTS))


def _is_fair(layout: Layout) -> bool:
    """Return whether start and cup are clear and each box leaves a lane on its open side."""
    places = [(layout.start[:2], ROBOT_RADIUS + 0.25), (layout.cup, REACH + 0.05)]
    clear = all(distance_to_box(box, point) > gap for box in layout.boxes
                for point, gap in places)
    return (clear and all(_lane_beside(layout, box) for box in layout.boxes)
            and all(_lane_between(*pair) for pair in combinations(layout.boxes, 2)))


def _lane_between(a: Box, b: Box) -> bool:
    """Return whether the robot fits between two boxes, whatever their yaw."""
    return (math.hypot(a.x - b.x, a.y - b.y)
            >= LANE + math.hypot(a.half_x, a.half_y) + math.hypot(b.half_x, b.half_y))


def _lane_beside(layout: Layout, box: Box) -> bool:
    """Return whether there is a lane between the box and the wall on the side to pass it on."""
    reach_y = abs(math.sin(box.yaw)) * box.half_x + abs(math.cos(box.yaw)) * box.half_y
    left = layout.arena[3] - (box.y + reach_y) >= LANE
    right = box.y - reach_y - layout.arena[2] >= LANE
    if layout.scenario.endswith('left'):
        return left
    if layout.scenario.endswith('right'):
        return right
    return left and right


# In the functions below x and y are numbers, or arrays of one shape.
def distance_to_box(box: Box, point: Tuple[Any, Any]) -> Any:
    """Return the distance from (x, y) to the box's outline on the floor, m; 0 inside."""
    ahead, left = rotate(point[0] - box.x, point[1] - box.y, -box.yaw)
    return np.hypot(np.maximum(np.abs(ahead) - box.half_x, 0.0),
                    np.maximum(np.abs(left) - box.half_y, 0.0))


def distance_to_obstacles(layout: Layout, x: Any, y: Any) -> Any:
    """Return the distance from (x, y) to the nearest box or wall, m; negative outside."""
    x0, x1, y0, y1 = layout.arena
    walls = [x - x0, x1 - x, y - y0, y1 - y]
    return np.min(walls + [distance_to_box(box, (x, y)) for box in layout.boxes], axis=0)


def rotate(x: Any, y: Any, angle: float) -> Tuple[Any, Any]:
    """Return the vector (x, y) turned counter-clockwise by `angle` (rad)."""
    cos, sin = math.cos(angle), math.sin(angle)
    return cos * x - sin * y, sin * x + cos * y
