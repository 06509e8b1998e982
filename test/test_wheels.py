"""What goes to the wheels, and in which order."""

from dataclasses import replace

import pytest

from vla_nav_node.interfaces import Command
from vla_nav_node.settings import parameters, settings_of
from vla_nav_node.wheels import Wheels

SETTINGS = settings_of(parameters({'linear_x': 1.0, 'linear_y': 1.0}, ('onnx',)), {})
MS = 1_000_000


class Base:
    """Wheels that keep what they get, and a clock that the test moves."""

    def __init__(self):
        """Start at some time."""
        self.now_ns = 5_000 * MS
        self.sent = []
        self.wheels = Wheels(self.sent.append, SETTINGS, lambda: self.now_ns)

    def drive(self, speed, age_ms=5, ticket=None):
        """Drive on an image of some age."""
        ticket = self.wheels.ticket if ticket is None else ticket
        return self.wheels.drive(Command(speed, 0.0), self.now_ns - age_ms * MS, ticket)

    def run(self, ms):
        """Let the watchdog run; give what was sent, with the time since now in ms."""
        start, result = self.now_ns, []
        while self.now_ns - start < ms * MS:
            before = len(self.sent)
            wait_s = self.wheels.tick()
            assert 0.0 < wait_s <= 0.022
            result += [(round((self.now_ns - start) / MS), command.linear_x)
                       for command in self.sent[before:]]
            self.now_ns += round(wait_s * 1e9)
        return result


@pytest.fixture
def base():
    """Start the wheels."""
    return Base()


def test_before_the_first_command_zero_is_repeated(base):
    assert base.run(50) == [(0, 0.0), (20, 0.0), (40, 0.0)]
    assert base.wheels.last.reason == 'no image yet'


def test_the_last_command_is_repeated_until_its_image_is_too_old(base):
    base.drive(0.3, age_ms=50)
    came = base.run(230)
    moving = [at for at, speed in came if speed]
    assert moving == [22, 42, 62, 82, 102, 122, 142]
    assert came[7:] == [(150, 0.0), (170, 0.0), (190, 0.0), (210, 0.0), (230, 0.0)][:len(came) - 7]
    assert base.wheels.last.reason == 'no usable image for 0.2 s (image_timeout)'


def test_a_new_command_puts_the_repetition_off(base):
    for _ in range(5):
        base.drive(0.3)
        assert base.run(20) == []


def test_a_stop_withdraws_the_command_that_is_being_computed(base):
    base.drive(0.3)
    ticket = base.wheels.ticket
    base.wheels.stop('the image cannot be decoded')
    assert base.drive(0.3, ticket=ticket).is_stop
    assert [command.linear_x for command in base.sent] == [0.3, 0.0, 0.0]
    assert base.drive(0.1).linear_x == 0.1


def test_a_command_that_comes_too_late_is_a_stop(base):
    command = base.drive(0.3, age_ms=201)
    assert command.reason == 'the command came 0.201 s after its image (image_timeout is 0.2 s)'
    assert base.sent[-1].linear_x == 0.0


def test_disabled_gives_zero_for_a_second_and_then_leaves_the_topic(base):
    base.drive(0.3)
    base.wheels.enable(False)
    assert base.sent[-1] == Command(0.0, 0.0, 'disabled')
    assert base.drive(0.3).reason == 'disabled'
    came = base.run(3000)
    assert {speed for _, speed in came} == {0.0}
    assert 990 <= came[-1][0] <= 1020
    count = len(base.sent)
    base.drive(0.3)
    assert len(base.sent) == count
    base.wheels.enable(True)
    assert base.sent[-1].linear_x == 0.0
    base.drive(0.2)
    assert base.sent[-1].linear_x == 0.2


def test_nothing_leaves_after_the_last_zeros(base):
    base.drive(0.3)
    base.wheels.close('SIGINT')
    assert [command.linear_x for command in base.sent] == [0.3, 0.0, 0.0, 0.0]
    base.drive(0.3)
    base.wheels.enable(True)
    base.wheels.close('again')
    base.run(1000)
    assert len(base.sent) == 4
    assert base.wheels.last == Command(0.0, 0.0, 'SIGINT')  # and that is what is told


def test_stops_are_counted_and_the_first_of_them_is_told(base):
    told = []
    base.wheels.on_stop = lambda: told.append(base.wheels.last.reason)
    base.drive(0.3)
    base.wheels.stop('one')
    base.wheels.stop('two')
    assert (base.wheels.stops, base.wheels.last_stop, told) == (2, 'two', ['one'])


def test_settings_are_live(base):
    base.wheels.settings = replace(SETTINGS, image_timeout=1.0, control_period_ms=10.0)
    base.drive(0.3, age_ms=0)
    assert len([speed for _, speed in base.run(900) if speed]) in (89, 90)
