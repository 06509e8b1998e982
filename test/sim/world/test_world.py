"""The simulated robot: obeys commands, sees the cup, detects contacts, is deterministic."""

import numpy as np
import pytest

from vla_nav_node.sim.world.layout import Box, CUP_RADIUS, distance_to_box, Layout, ROBOT_RADIUS

world_module = pytest.importorskip('vla_nav_node.sim.world.world',
                                   reason='MuJoCo is not installed')


@pytest.fixture(scope='module')
def world():
    """Share one small world: building its renderer takes a second."""
    world = world_module.World(128, 96)
    yield world
    world.close()


def test_commands_are_in_the_robots_frame(world):
    """Forward is along the heading, left is to its left, at any heading (REP 103)."""
    layout = world.reset(3)
    yaw = layout.start[2]
    world.step(0.5, 0.0, 0.6)
    x, y, _ = world.pose
    along = np.array([x - layout.start[0], y - layout.start[1]])
    assert np.arctan2(along[1], along[0]) == pytest.approx(yaw, abs=0.01)
    assert world.velocity == pytest.approx((0.5, 0.0), abs=0.02)
    world.step(0.0, 0.3, 1.0)
    assert world.velocity == pytest.approx((0.0, 0.3), abs=0.02)


def test_the_base_lags_behind_the_command(world):
    """A first-order lag: after one time constant the speed is between a third and all of it."""
    world.reset(3)
    world.step(0.3, 0.0, 0.12)
    assert 0.12 < world.velocity[0] < 0.25


def test_no_command_is_faster_than_the_base(world):
    """An absurd command moves it at its own limit."""
    world.reset(3)
    world.step(50.0, 0.0, 1.0)
    assert world.velocity[0] == pytest.approx(world_module.MAX_SPEED, abs=0.05)


def test_driving_into_the_wall_is_a_contact_and_stops(world):
    """The wall holds the robot back."""
    layout = world.reset(3)
    world.step(0.0, 1.0, 4.0)
    assert world.in_contact and world.outcome(30.0) == 'contact'
    assert world.pose[1] < layout.arena[3]


@pytest.mark.parametrize('box', [
    Box(2.0, 0.0, 0.3, 0.4, 0.2, 0.15), Box(1.5, 0.05, 0.0, 0.15, 0.4, 0.1)])
def test_a_box_is_solid_wherever_it_stands(world, box):
    """The robot stops at its face; it once passed through."""
    world.place(Layout(1, 'random', (Box(3.0, 1.1, 0.0, 0.1, 0.1, 0.1), box), (4.2, 0.0),
                       (0.6, 0.0, 0.0)))
    while not world.in_contact and world.time < 5.0:
        world.step(0.6, 0.0, 1 / 30)
    assert world.outcome(30.0) == 'contact'
    assert distance_to_box(box, world.pose[:2]) == pytest.approx(ROBOT_RADIUS, abs=0.04)


def test_the_cup_is_solid_too(world):
    """Driving on after reaching it is a contact."""
    world.place(Layout(1, 'random', (), (2.2, 0.0), (0.6, 0.0, 0.0)))
    while not world.in_contact and world.time < 5.0:
        world.step(0.6, 0.0, 1 / 30)
    assert world.distance == pytest.approx(ROBOT_RADIUS + CUP_RADIUS, abs=0.04)


def test_it_repeats_exactly_from_its_seed(world):
    """Poses to the last bit, pictures to the last grey level, noise included."""
    def run():
        world.reset(11)
        for _ in range(5):
            world.step(0.4, -0.1, 1 / 30)
        return world.pose, world.render()
    (first_pose, first), (second_pose, second) = run(), run()
    assert first_pose == second_pose
    assert np.array_equal(first, second)


def test_two_pictures_of_a_standing_robot_differ(world):
    """A camera has noise; identical pictures mean that it is frozen."""
    world.reset(5)
    assert not np.array_equal(world.render(), world.render())


def test_seeds_look_different(world):
    """Colours, textures, light and boxes change with the seed."""
    pictures = []
    for seed in range(4):
        world.reset(seed)
        pictures.append(world.render().astype(int))
    differences = [np.abs(a - b).mean() for i, a in enumerate(pictures) for b in pictures[:i]]
    assert min(differences) > 5


def test_the_cup_is_seen_where_it_stands(world):
    """A red blob, right of the middle if the cup is to the right, and larger if it is nearer."""
    def red(cup):
        world.place(Layout(1, 'random', (), cup, (0.6, 0.0, 0.0)))
        picture = world.render().astype(int)
        return np.argwhere((picture[..., 0] > 60) & (picture[..., 0] > 2 * picture[..., 1])
                           & (picture[..., 0] > 2 * picture[..., 2]))
    right, near = red((2.6, -0.6)), red((1.6, 0.0))
    assert right[:, 1].mean() > 70 and abs(near[:, 1].mean() - 63.5) < 3
    assert len(near) > 2 * len(right) > 10


def test_reaching_and_running_out_of_time(world):
    """Within 0.35 m without contact is reached; too late is a timeout."""
    layout = Layout(1, 'random', (), (1.2, 0.0), (0.6, 0.0, 0.0))
    world.place(layout)
    assert world.outcome(1.0) == ''
    world.step(0.5, 0.0, 0.7)
    assert world.distance < 0.35 and world.outcome(10.0) == 'reached'
    world.place(layout)
    world.step(0.0, 0.0, 1.1)
    assert world.outcome(1.0) == 'timeout'
