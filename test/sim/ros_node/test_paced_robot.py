"""The simulated robot in real time, with a clock that the tests set."""

import pytest

from vla_nav_node.sim.ros_node.paced_robot import CATCH_UP_S, FrameClock, PacedRobot
from vla_nav_node.sim.world.scene import TIMESTEP
from vla_nav_node.sim.world.world import World


@pytest.fixture(scope='module')
def world():
    """Build a world with a tiny camera."""
    world = World(32, 24)
    yield world
    world.close()


def robot_in(world, time_limit=30.0):
    """Start an episode at time 100."""
    return PacedRobot(world, 5, '', time_limit, 0.5, 100.0)


def test_time_is_the_clocks(world):
    """The world advances to the clock in whole steps, and no remainder is lost."""
    robot = robot_in(world)
    for i in range(1, 101):
        robot.advance(100.0 + i * 0.0101)
    assert robot.time == pytest.approx(1.01, abs=1.5 * TIMESTEP)
    assert robot.time <= 1.01
    assert robot.lost_s == 0.0


def test_a_long_gap_is_not_made_up_for(world):
    """After a gap of half a second, the time beyond CATCH_UP_S is lost, and counted."""
    robot = robot_in(world)
    robot.advance(100.5)
    assert robot.time == pytest.approx(CATCH_UP_S, abs=2 * TIMESTEP)
    assert robot.lost_s == pytest.approx(0.5 - CATCH_UP_S)


def test_a_command_grows_old(world):
    """The base drives while commands come, and stops soon after the last one."""
    robot = robot_in(world)
    robot.command(0.3, 0.0, 100.0)
    for i in range(1, 46):
        robot.advance(100.0 + i * 0.01)
    assert world.velocity[0] == pytest.approx(0.3, abs=0.03)
    for i in range(46, 200):
        robot.advance(100.0 + i * 0.01)
    assert world.velocity[0] == pytest.approx(0.0, abs=1e-3)


def test_an_ended_episode_holds(world):
    """After the end, outcome and time stay, and commands do not move the base."""
    robot = robot_in(world, time_limit=0.05)
    for i in range(1, 20):
        robot.advance(100.0 + i * 0.01)
    assert robot.outcome == 'timeout'
    ended, pose = robot.time, world.pose
    robot.command(0.5, 0.5, 100.2)
    for i in range(20, 40):
        robot.advance(100.0 + i * 0.01)
    assert robot.time == ended
    assert world.pose == pytest.approx(pose, abs=1e-6)
    assert robot.episode()['outcome'] == 'timeout'


def test_reset_takes_the_next_seed(world):
    """A reset starts the next episode, without the last command."""
    robot = robot_in(world, time_limit=0.05)
    robot.command(0.5, 0.0, 100.0)
    robot.advance(100.08)
    assert robot.episode()['seed'] == 5 and robot.outcome
    layout = robot.reset(200.0)
    robot.advance(200.02)
    assert layout.seed == robot.episode()['seed'] == 6
    assert robot.outcome == '' and robot.time == pytest.approx(0.02, abs=TIMESTEP)
    assert world.velocity == pytest.approx((0.0, 0.0), abs=1e-9)


def test_frames_keep_their_times():
    """A frame taken a little late does not delay the next one."""
    clock = FrameClock(10.0, 5.0)
    assert clock.due(5.0) and not clock.due(5.05)
    assert clock.due(5.13) and clock.next == pytest.approx(5.2)
    assert clock.skipped == 0


def test_frames_a_period_late_are_skipped():
    """They are counted, and the ones after them keep their times."""
    clock = FrameClock(10.0, 5.0)
    assert clock.due(5.0)
    assert clock.due(5.35)
    assert clock.skipped == 2 and clock.next == pytest.approx(5.4)
