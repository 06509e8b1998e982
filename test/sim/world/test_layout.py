"""Layouts: drawn from a seed, always passable, true to their names."""

import math

from hypothesis import given, settings, strategies as st
import pytest

from vla_nav_node.errors import SimulationError
from vla_nav_node.sim.world.layout import (
    Box, distance_to_box, draw_layout, LANE, RANDOM, REACH, ROBOT_RADIUS, SCENARIOS)


def test_the_eight_scenarios_are_there():
    """One or two boxes, lengthwise or crosswise, passed left or right."""
    assert len(SCENARIOS) == 8
    assert '1_box_lengthwise_left' in SCENARIOS and '2_boxes_crosswise_right' in SCENARIOS


@given(st.integers(0, 2**31), st.sampled_from(SCENARIOS + (RANDOM, None)))
@settings(max_examples=200, deadline=None)
def test_every_seed_gives_a_fair_layout(seed, scenario):
    """Start and cup are clear of boxes, and the same seed gives the same layout."""
    layout = draw_layout(seed, scenario)
    assert layout == draw_layout(seed, scenario)
    for box in layout.boxes:
        assert distance_to_box(box, layout.start[:2]) > ROBOT_RADIUS
        assert distance_to_box(box, layout.cup) > REACH


@given(st.integers(0, 2**31), st.sampled_from(SCENARIOS))
@settings(max_examples=100, deadline=None)
def test_a_named_scenario_is_what_its_name_says(seed, scenario):
    """The number of boxes, their orientation, and a lane on the named side."""
    layout = draw_layout(seed, scenario)
    count, _, way, side = scenario.split('_')
    assert len(layout.boxes) == int(count)
    for box in layout.boxes:
        assert (box.half_x > box.half_y) == (way == 'lengthwise')
        lane = layout.arena[3] - box.y if side == 'left' else box.y - layout.arena[2]
        assert lane > LANE


def test_an_unknown_scenario_is_refused_with_the_names():
    """The error lists the scenarios."""
    with pytest.raises(SimulationError, match='1_box_lengthwise_left'):
        draw_layout(0, 'three_boxes')


@pytest.mark.parametrize('yaw, expected', [(0.0, 1.0), (math.pi / 2, 1.4)])
def test_the_distance_to_a_box_minds_its_yaw(yaw, expected):
    """A box of 1.0 x 0.2 m, seen from 1.5 m along x."""
    assert distance_to_box(Box(0, 0, yaw, 0.5, 0.1, 0.1), (1.5, 0.0)) == pytest.approx(expected)
