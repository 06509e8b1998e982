"""The expert: reaches the cup on nearly every layout, and keeps clear of obstacles."""

import numpy as np
import pytest

from vla_nav_node.sim.expert.expert import clearance, cost_to_go, CRUISE, Expert
from vla_nav_node.sim.world.layout import draw_layout, SCENARIOS

rollout = pytest.importorskip('vla_nav_node.sim.expert.rollout', reason='MuJoCo is not installed')


@pytest.fixture(scope='module')
def world():
    """Build a world with a tiny camera, whose pictures do not matter here."""
    world = rollout.World(32, 24)
    yield world
    world.close()


@pytest.mark.parametrize('scenario', SCENARIOS)
def test_it_masters_every_scenario(world, scenario):
    """Five episodes of each."""
    driver = rollout.ExpertDriver()
    for seed in range(5):
        assert rollout.drive(world, driver, seed, scenario).outcome == 'reached'


def test_it_passes_on_the_side_of_the_scenarios_name(world):
    """Left of a box to be passed on the left, right of one to be passed on the right."""
    for side, sign in (('left', 1), ('right', -1)):
        episode = rollout.drive(world, rollout.ExpertDriver(), 7, f'1_box_crosswise_{side}')
        box = draw_layout(7, f'1_box_crosswise_{side}').boxes[0]
        beside = min(episode.path, key=lambda point: abs(point[0] - box.x))
        assert np.sign(beside[1] - box.y) == sign


def test_an_episode_repeats_exactly(world):
    """Under loss and jitter too."""
    conditions = rollout.Conditions(20.0, 0.3, 0.1, 0.02)
    first, second = (rollout.drive(world, rollout.ExpertDriver(), 9, conditions=conditions)
                     for _ in range(2))
    assert first == second


def test_the_cost_rises_away_from_the_cup_and_beside_obstacles():
    """The cost is zero at the cup and finite everywhere."""
    layout = draw_layout(2, '1_box_crosswise_left')
    cost = cost_to_go(layout, clearance(layout))
    assert cost.min() == 0 and np.isfinite(cost).all()
    assert clearance(layout).shape == cost.shape


def test_it_cruises_far_away_and_rests_at_the_cup():
    """The speed falls to zero before the cup is touched."""
    layout = draw_layout(2, '1_box_crosswise_left')
    expert = Expert(layout)
    assert 0.8 * CRUISE < np.hypot(*expert.command(layout.start)) <= 1.001 * CRUISE
    assert np.hypot(*expert.command((layout.cup[0] - 0.27, layout.cup[1], 0.0))) < 0.01
