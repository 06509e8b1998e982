"""The age of a picture on either clock; enabling and disabling."""

from hypothesis import given, settings, strategies as st
import pytest
from scripted import MS, Robot

TIMEOUT_MS = 200


def wait(robot, wait_ms, step_ms, **changes):
    """Let a picture wait for the driving thread, then run a step of some length."""
    robot.pass_ms(1000)  # it stands still, or the watchdog would stop it in between
    frame = robot.frame(**changes)
    robot.pass_ms(wait_ms)
    robot.backends[0].does.append(lambda: robot.pass_ms(step_ms))
    return robot.see(frame, after_ms=0)


@given(st.integers(0, 150), st.integers(0, 150), st.integers(0, 150))
@settings(max_examples=50, deadline=None)
def test_each_part_of_a_pictures_age_counts_once(age_ms, wait_ms, step_ms):
    age = age_ms + wait_ms + step_ms
    command = wait(Robot(), wait_ms, step_ms, age_ms=age_ms)
    assert command.is_stop == (age > TIMEOUT_MS)
    if age > TIMEOUT_MS >= age_ms + wait_ms:
        assert command.reason.startswith(f'the command came {age / 1e3:.3g} s after its image')


@pytest.mark.parametrize('rate', [0.01, 0.5, 1.0, 3.0])
def test_the_faster_clock_gives_the_age_of_a_picture_that_waited(rate):
    robot = Robot()
    robot.rate = rate  # a simulation's clock
    limit_ms = TIMEOUT_MS / max(rate, 1.0)
    assert not wait(robot, limit_ms - 2, 0, age_ms=0).is_stop
    assert wait(robot, limit_ms + 2, 0, age_ms=0).is_stop


@pytest.mark.parametrize('jump_ms', [-100, 100])
def test_a_clock_set_while_a_picture_waits_makes_it_no_younger(jump_ms):
    robot = Robot()
    robot.go(3)
    robot.pass_ms(20)
    frame = robot.frame()
    robot.pass_ms(50)
    robot.ros_ns += jump_ms * MS
    robot.see(frame, after_ms=0)
    taken_ns = robot.now_ns - 50 * MS
    robot.pass_ms(400)
    moved = [at for at, command in robot.sent if command.linear_x]
    assert max(moved) - taken_ns <= TIMEOUT_MS * MS


def test_enabled_again_it_uses_nothing_from_before():
    robot = Robot().go()
    robot.loop.enable(False)
    robot.go(3)
    inside = []

    def enable():
        inside.append(robot.loop.enable(True))
    robot.backends[0].does.append(enable)
    assert robot.see().is_stop  # it was computed on what was seen while disabled
    assert inside == ['enabled']
    assert not robot.see().is_stop
    assert robot.memories[-1] == 0


def test_enabling_an_enabled_node_says_so_and_changes_nothing():
    robot = Robot().go()
    before = (robot.output.last, robot.output.stops, robot.memories[-1])
    for _ in range(100):
        assert robot.loop.enable(True) == 'already enabled: nothing changes'
    assert (robot.output.last, robot.output.stops, robot.memories[-1]) == before
    robot.see()
    assert robot.memories[-1] == before[2] + 1


def test_a_storm_of_enabling_and_disabling_leaves_nothing_behind():
    robot = Robot().go()
    for turn in range(1000):
        assert robot.loop.enable(turn % 2 == 1) == ('disabled: standing still', 'enabled')[
            turn % 2]
    assert not robot.loop._requests  # nothing grows while a backend hangs
    assert robot.speed == 0.0
    assert not robot.see().is_stop


def test_it_can_be_disabled_before_anything_was_received():
    robot = Robot()
    assert robot.loop.enable(False) == 'disabled: standing still'
    robot.go(3)
    assert {command.reason for _, command in robot.sent} == {'disabled'}
    assert robot.loop.enable(True) == 'enabled'
    assert robot.see().linear_x == pytest.approx(0.05)


def test_a_publish_that_hangs_is_named():
    robot = Robot().go()
    assert robot.loop.hang() == ''
    robot.output.sending_ns = 1  # since long ago
    assert robot.loop.hang().startswith('publishing on cmd_vel has not come back for ')
