"""The effect of each event on the ramp of the commands: the rows of a table in docs/faults.md."""

from pathlib import Path
import re

import numpy as np
import pytest
from scripted import LIMIT, MS, Robot, Scripted
from vla_nav_node.driving.command_limits import LONGEST_SLEW_S
from vla_nav_node.driving.sender_check import PROOF_IMAGES
from vla_nav_node.errors import BackendError, ImageError
from vla_nav_node.policy.runtimes import Chain, Link, Runtime

DOCUMENT = Path(__file__).parents[2] / 'docs' / 'faults.md'
FULL, BACK = (LIMIT, 0.3), (-LIMIT, -0.3)
LOWERED = 0.1  # m/s


def rows():
    """Return the cells of each row of the document's table."""
    table = DOCUMENT.read_text('utf-8').split('| event | at once | the ramp |')[1].split('\n\n')[0]
    return [row.split(' | ') for row in re.findall(r'^\| (.*) \|$', table, re.MULTILINE)]


def _within_the_step(*what):
    """Return an event that happens within the next steps of the driving backend."""
    def make(robot):
        for doing in what:
            robot.backends[0].does.append(lambda doing=doing: doing(robot))
            robot.see()
    return make


def _fail(robot):
    raise BackendError('out of memory')


def _hang(robot):
    robot.pass_ms(300)


def _hang_and_be_rescued(robot):
    robot.pass_ms(300)
    assert robot.policy.rescue('hangs', 0.0)


def _swap(robot):
    robot.backends.append(Scripted(robot))
    robot.policy.use(Chain((Link(Runtime('torch'), robot.backends[-1]),), 0))


def _disabled(then):
    """Return an event: disabled for a while, then enabled or disabled again."""
    def make(robot):
        robot.loop.enable(False)
        robot.go(2)
        robot.loop.enable(then)
    return make


def _refused(robot):
    robot.see(age_ms=500)
    robot.see(stamp_ns=robot.ros_ns + 500 * MS)
    robot.see(age_ms=80)


def _unreadable(robot):
    robot.see(encoding='32FC1')
    robot.loop.drive(ImageError('cut off'))


def _jump_back(robot):
    robot.ros_ns -= 3600 * 1000 * MS
    robot.see()


def _restart(robot):
    robot.pass_ms(3000)
    robot.frames = 0
    robot.go(PROOF_IMAGES - 1)  # until then they may be those of a second camera


def _restart_at_once(robot):
    robot.frames = 0
    robot.go(2)


def _set(**values):
    return lambda robot: robot.configure(**values)


SLOW = {'image_timeout': 2.0}
EVENTS = {  # what happens to a driving robot, and its parameters
    'start, until the first image': (lambda robot: robot.pass_ms(50), {}),
    'images slower than the control period, or some lost': (lambda robot: robot.pass_ms(120), {}),
    'a refused image (old, in the future, out of order, frozen)': (_refused, {}),
    'an image that cannot be read or decoded': (_unreadable, {}),
    'the count or the frame_id of the images leaps': (_restart_at_once, {}),
    'output that is not finite, or absurd': (_within_the_step(
        lambda robot: (np.nan, 0.0), lambda robot: (0.0, 1e30)), {}),
    'the backend raises': (_within_the_step(_fail), {}),
    'the backend raises, and a fall-back goes on': (_within_the_step(_fail), {'backends': 2}),
    'the backend comes back after a hang': (_within_the_step(_hang), {}),
    'the backend hangs, and a fall-back goes on': (
        _within_the_step(_hang_and_be_rescued), {'backends': 2}),
    'hot swap': (_swap, {}),
    'image_timeout': (lambda robot: robot.pass_ms(300), {}),
    'the camera restarts, after more than state_reset_gap': (_restart, {}),
    'a gap longer than state_reset_gap but not than image_timeout': (
        lambda robot: robot.pass_ms(1200), SLOW),
    'stamps jump back by more than state_reset_gap': (_jump_back, {}),
    '`~/reset`': (lambda robot: robot.loop.reset(), {}),
    '`~/enable` false': (lambda robot: robot.loop.enable(False), {}),
    '`~/enable` false, when disabled': (_disabled(False), {}),
    '`~/enable` true': (_disabled(True), {}),
    '`~/enable` true, when enabled': (lambda robot: robot.loop.enable(True), {}),
    'max_acceleration lowered': (_set(max_acceleration=0.5), {}),
    'max_acceleration raised': (_set(max_acceleration=5.0), {}),
    'max_linear_x or max_linear_y lowered': (_set(max_linear_x=LOWERED, max_linear_y=0.0), {}),
    'max_linear_x or max_linear_y raised': (_set(max_linear_x=LIMIT), {'max_linear_x': 0.5}),
    'control_period_ms changed': (_set(control_period_ms=100.0), {}),
    "image_timeout lowered below the image's age": (
        lambda robot: (robot.pass_ms(100), robot.configure(image_timeout=0.05)), SLOW),
}


def changes(robot):
    """Yield each change of velocity: the ns since the last one, before, after."""
    sent = [(at, [command.linear_x, command.linear_y]) for at, command in robot.sent]
    since = sent[0][0]
    for (_, before), (at, after) in zip(sent, sent[1:]):
        if before != after:
            yield at - since, before, after
            since = at


def test_the_table_and_the_tests_name_the_same_events():
    assert [row[0] for row in rows()] == list(EVENTS)


@pytest.mark.parametrize(('event', 'at_once', 'ramp', 'memory'), rows(),
                         ids=lambda cell: cell.replace('`', ''))
def test_each_event_changes_the_ramp_as_the_table_says(event, at_once, ramp, memory):
    make, values = EVENTS[event]
    robot = Robot(**values)
    robot.wants = FULL
    robot.go(0 if event.startswith('start') else 25)
    before, last = len(robot.sent), robot.output.last
    make(robot)
    check_at_once(at_once, [command for _, command in robot.sent[before:] if command != last])
    assert at_once != 'zero' or robot.output.last.is_stop
    robot.loop.enable(True)
    # From here on the policy wants the opposite, and the ramp leads there.
    robot.wants, standing, steps = BACK, robot.output.last, len(robot.memories)
    since_ns = robot.output._changed_ns
    command, now = robot.see(), robot.loop.settings
    assert (robot.memories[steps] == 0) == (memory == 'cleared')
    if ramp == 'begins at zero':
        most = now.max_acceleration * now.period_s
        assert (command.linear_x, command.linear_y) == pytest.approx((-most, -most))
    else:
        most = now.max_acceleration * min((robot.now_ns - since_ns) / 1e9, LONGEST_SLEW_S)
        assert (ramp, standing.is_stop) == ('goes on', False)
        assert command.linear_x == pytest.approx(standing.linear_x - most)
    robot.go(3)
    check_acceleration(robot, at_once == 'the limit')


def check_at_once(at_once, left):
    """Compare the new commands during the event with its cell in the table."""
    if at_once == 'zero':
        assert all(command.is_stop for command in left)
    elif at_once == 'the limit':
        (command,) = left
        assert (command.linear_x, command.linear_y, command.is_stop) == (LOWERED, 0.0, False)
    else:  # a step of the policy may have been part of it
        assert (at_once, any(command.is_stop for command in left)) == ('nothing', False)


def check_acceleration(robot, lowered):
    """Compare every command with max_acceleration."""
    most = max(robot.loop.settings.max_acceleration, 2.5)
    for ns, before, after in changes(robot):
        stopped = after == [0.0, 0.0] or (lowered and after == [LOWERED, 0.0])
        for was, now in zip(before, after):
            assert stopped or abs(now - was) <= most * min(ns / 1e9, LONGEST_SLEW_S) + 1e-9
