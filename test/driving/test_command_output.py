"""Which commands are published, and in which order."""

from dataclasses import replace
from threading import Event, Thread
import time

from hypothesis import given, settings as hypothesis_settings, strategies as st
import pytest
from vla_nav_node.driving.command_limits import LONGEST_SLEW_S
from vla_nav_node.driving.command_output import CommandOutput
from vla_nav_node.driving.parameters import parameters, settings_of
from vla_nav_node.driving.watchdog import run_watchdog
from vla_nav_node.errors import VlaNavError
from vla_nav_node.types import Command

# The ramp has tests of its own, below and in test_ramp.py.
SETTINGS = settings_of(parameters({'linear_x': 1.0, 'linear_y': 1.0}, ('onnx',)),
                       {'max_acceleration': 100.0})
MS = 1_000_000
PATIENCE_S = 30.0


class Base:
    """A base that keeps its commands, and a clock that the test moves."""

    def __init__(self):
        """Start at an arbitrary time."""
        self.now_ns = 5_000 * MS
        self.sent = []
        self.output = CommandOutput(self.sent.append, SETTINGS, lambda: self.now_ns)

    def drive(self, speed, age_ms=5, ticket=None):
        """Drive on an image of some age."""
        ticket = self.output.ticket if ticket is None else ticket
        return self.output.drive(Command(speed, 0.0), self.now_ns - age_ms * MS, ticket)

    def run(self, ms):
        """Run the watchdog; return what was sent, with the time since now in ms."""
        start, result = self.now_ns, []
        while self.now_ns - start < ms * MS:
            before = len(self.sent)
            wait_s = self.output.tick()
            assert 0.0 < wait_s <= 0.022
            result += [(round((self.now_ns - start) / MS), command.linear_x)
                       for command in self.sent[before:]]
            self.now_ns += round(wait_s * 1e9)
        return result


@pytest.fixture
def base():
    """Return a new base."""
    return Base()


def test_before_the_first_command_zero_is_repeated(base):
    assert base.run(50) == [(0, 0.0), (20, 0.0), (40, 0.0)]
    assert base.output.last.reason == 'no image yet'


def test_the_last_command_is_repeated_until_its_image_is_too_old(base):
    base.drive(0.3, age_ms=50)
    came = base.run(230)
    moving = [at for at, speed in came if speed]
    assert moving == [22, 42, 62, 82, 102, 122, 142]
    assert came[7:] == [(150, 0.0), (170, 0.0), (190, 0.0), (210, 0.0), (230, 0.0)][:len(came) - 7]
    assert base.output.last.reason == 'no usable image for 0.2 s (image_timeout)'


def test_a_new_command_delays_the_repetition(base):
    for _ in range(5):
        base.drive(0.3)
        assert base.run(20) == []


def test_a_stop_withdraws_the_command_that_is_being_computed(base):
    base.drive(0.3)
    ticket = base.output.ticket
    base.output.stop('the image cannot be decoded')
    assert base.drive(0.3, ticket=ticket).is_stop
    assert [command.linear_x for command in base.sent] == [0.3, 0.0, 0.0]
    base.now_ns += 20 * MS
    assert base.drive(0.1).linear_x == 0.1


def test_a_command_that_comes_too_late_is_a_stop(base):
    command = base.drive(0.3, age_ms=201)
    assert command.reason == 'the command came 0.201 s after its image (image_timeout is 0.2 s)'
    assert base.sent[-1].linear_x == 0.0


def test_disabled_sends_zero_for_a_second_and_then_leaves_the_topic(base):
    base.drive(0.3)
    base.output.enable(False)
    assert base.sent[-1] == Command(0.0, 0.0, 'disabled')
    assert base.drive(0.3).reason == 'disabled'
    came = base.run(3000)
    assert {speed for _, speed in came} == {0.0}
    assert 990 <= came[-1][0] <= 1020
    count = len(base.sent)
    base.drive(0.3)
    assert len(base.sent) == count
    base.output.enable(True)
    assert base.sent[-1].linear_x == 0.0
    base.now_ns += 20 * MS
    base.drive(0.2)
    assert base.sent[-1].linear_x == 0.2


def test_nothing_leaves_after_the_last_zeros(base):
    base.drive(0.3)
    base.output.close('SIGINT')
    assert [command.linear_x for command in base.sent] == [0.3, 0.0, 0.0, 0.0]
    base.drive(0.3)
    base.output.enable(True)
    base.output.close('again')
    base.run(1000)
    assert len(base.sent) == 4
    assert base.output.last == Command(0.0, 0.0, 'SIGINT')  # which diagnostics report


def test_stops_are_counted_and_each_change_is_reported_once(base):
    reported = []
    base.output.on_stop = base.output.on_resume = lambda: reported.append(base.output.last.reason)
    base.drive(0.3)
    base.drive(0.3)
    base.output.stop('one')
    base.output.stop('two')
    assert (base.output.stops, base.output.last_stop, reported) == (2, 'two', ['', 'one'])


def test_settings_are_live(base):
    base.output.settings = replace(SETTINGS, image_timeout=1.0, control_period_ms=10.0)
    base.drive(0.3, age_ms=0)
    assert len([speed for _, speed in base.run(900) if speed]) in (89, 90)


def test_a_lowered_limit_holds_at_once_for_what_is_repeated_and_for_what_is_computed(base):
    base.drive(0.8)
    ticket = base.output.ticket
    base.output.settings = replace(SETTINGS, max_linear_x=0.25)
    assert base.sent[-1] == Command(0.25, 0.0)
    base.now_ns += 20 * MS
    assert base.drive(0.8, ticket=ticket).linear_x == 0.25
    base.output.settings = replace(SETTINGS, max_linear_x=0.0)
    assert base.sent[-1] == Command(0.0, 0.0)
    base.now_ns += 20 * MS
    assert base.drive(0.8).linear_x == 0.0
    count = len(base.sent)
    base.output.settings = SETTINGS
    assert len(base.sent) == count  # a raised one moves nothing


def test_disabling_again_repeats_the_zeros(base):
    base.output.enable(False)
    base.run(3000)
    count = len(base.sent)
    base.output.enable(False)
    base.run(500)
    assert len(base.sent) > count + 20
    assert base.output.stops == 0


EVENTS = st.one_of(
    st.tuples(st.just('drive'), st.floats(-2.0, 2.0), st.floats(-2.0, 2.0), st.integers(0, 250)),
    st.tuples(st.sampled_from(['stop', 'enable', 'disable'])),
    st.tuples(st.just('set'), st.sampled_from([10.0, 20.0, 100.0]),
              st.sampled_from([0.01, 0.2, 1.0]), st.sampled_from([0.0, 0.3, 1.0]),
              st.sampled_from([0.5, 2.5, 10.0])))


class EventSeries:
    """A base and a series of events; the watchdog runs when it is due or woken."""

    def __init__(self):
        """Keep each command with the settings of that moment."""
        self.now_ns, self.sent, self.captured_ns = 5_000 * MS, [], 0
        self.output = CommandOutput(self._send, SETTINGS, lambda: self.now_ns)
        self.due_ns = self.now_ns

    def _send(self, command):
        self.sent.append((self.now_ns, command, self.output.settings))

    def happen(self, kind, *values):
        """Run one event."""
        output = self.output
        if kind == 'drive':
            x, y, age_ms = values
            captured_ns = self.now_ns - age_ms * MS
            if not output.drive(Command(x, y), captured_ns, output.ticket).is_stop:
                self.captured_ns = captured_ns
        elif kind == 'set':
            output.settings = replace(SETTINGS, **dict(zip(
                ('control_period_ms', 'image_timeout', 'max_linear_x', 'max_acceleration'),
                values)))
        elif kind == 'stop':
            output.stop('stopped')
        else:
            output.enable(kind == 'enable')

    def pass_ms(self, ms):
        """Let time pass, and check the age of the image behind the newest command."""
        end_ns = self.now_ns + ms * MS
        while True:
            if self.output.woken.is_set() or self.now_ns >= self.due_ns:
                self.output.woken.clear()
                self.due_ns = self.now_ns + max(round(1e9 * self.output.tick()), 1)
            self.now_ns = min(end_ns, self.due_ns)
            timeout_ns = self.output.settings.image_timeout * 1e9
            assert self.output.last.is_stop or self.now_ns - self.captured_ns <= timeout_ns + 2
            if self.now_ns >= end_ns:
                return


def is_allowed(before, after, limit, most):
    """Return whether one axis may change so: by the ramp, or down to the limit."""
    return abs(after) <= limit and (
        abs(after - before) <= most + 1e-9 or (abs(after) == limit < abs(before)))


@given(st.lists(st.tuples(EVENTS, st.integers(0, 300)), max_size=40))
@hypothesis_settings(max_examples=200, deadline=None)
def test_in_any_series_of_events_only_a_stop_and_a_lowered_limit_break_the_ramp(events):
    series = EventSeries()
    for event, ms in events:
        series.pass_ms(ms)
        series.happen(*event)
    series.pass_ms(1200)
    assert series.output.last.is_stop
    begun_ns, before, _ = series.sent[0]
    changed_ns = begun_ns - 20 * MS  # it stood before, too
    for at, command, settings in series.sent:
        most = settings.max_acceleration * min((at - changed_ns) / 1e9, LONGEST_SLEW_S)
        assert command.is_stop <= (command.linear_x == command.linear_y == 0.0)
        if not command.is_stop:
            assert is_allowed(before.linear_x, command.linear_x, settings.max_linear_x, most)
            assert is_allowed(before.linear_y, command.linear_y, settings.max_linear_y, most)
        if command is not before:
            before, changed_ns = command, at


class Watched:
    """A base with a real watchdog, which would sleep for a quarter of an hour."""

    def __init__(self):
        """Start the watchdog, and wait until it sleeps."""
        self.sent = []
        self.output = CommandOutput(self.sent.append, replace(SETTINGS, control_period_ms=1e6))
        self.stopping = Event()
        self.thread = Thread(target=run_watchdog, args=(self, self.stopping, lambda: None))
        self.thread.start()
        self.until(lambda: self.sent)

    def until(self, condition):
        """Wait until `condition` holds."""
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < deadline
            time.sleep(0.005)

    def drive(self):
        """Drive on a picture taken now."""
        self.output.drive(Command(0.5, 0.0), time.perf_counter_ns(), self.output.ticket)
        assert self.output.last.linear_x == 0.5


@pytest.fixture
def watched():
    """Start the watchdog."""
    watched = Watched()
    yield watched
    watched.stopping.set()
    watched.output.woken.set()
    watched.thread.join()


def test_the_first_command_wakes_the_watchdog(watched):
    watched.drive()
    watched.until(lambda: watched.output.last.is_stop)
    assert 'image_timeout' in watched.output.last.reason


@pytest.mark.parametrize('changes', [{'control_period_ms': 20.0}, {'image_timeout': 0.05}])
def test_every_change_wakes_the_watchdog(watched, changes):
    watched.output.settings = replace(watched.output.settings, image_timeout=10.0)
    watched.drive()
    count = len(watched.sent)
    watched.output.settings = replace(watched.output.settings, **changes)
    watched.until(lambda: len(watched.sent) > count)
    assert watched.output.last.is_stop == ('image_timeout' in changes)


class Stuck:
    """A base whose publishing hangs until `over` is set."""

    def __init__(self):
        """Hang in a command."""
        self.sent, self.inside, self.over = [], Event(), Event()
        self.output = CommandOutput(self._send, SETTINGS)
        self.thread = Thread(target=self.drive)
        self.thread.start()
        assert self.inside.wait(PATIENCE_S)

    def drive(self):
        """Drive on a picture taken now."""
        self.output.drive(Command(0.5, 0.0), time.perf_counter_ns(), self.output.ticket)

    def _send(self, command):
        self.sent.append(command)
        self.inside.set()
        self.over.wait(PATIENCE_S)

    def end(self):
        """End the hang."""
        self.over.set()
        self.thread.join()


def test_while_publishing_hangs_it_can_be_disabled_and_nothing_drives_after_it():
    stuck = Stuck()
    with pytest.raises(VlaNavError, match='publishing on cmd_vel has not come back for 0.5 s'):
        stuck.output.enable(False)
    stuck.end()
    stuck.drive()
    assert [command.linear_x for command in stuck.sent] == [0.5, 0.0]
    assert stuck.sent[-1].reason == 'disabled'


def test_while_publishing_hangs_it_can_be_closed(caplog):
    stuck = Stuck()
    assert stuck.output.sending_ns
    stuck.output.close('SIGINT')
    assert 'the final zero command could not be sent: publishing on cmd_vel' in caplog.text
    stuck.end()
    stuck.drive()
    assert len(stuck.sent) == 1


def test_nothing_leaves_while_the_process_is_stopped(base):
    ticket = base.output.ticket
    base.drive(0.3)
    with base.output.hold_still('the process is stopped by SIGTSTP'):
        driving = Thread(target=base.drive, args=(0.3,), kwargs={'ticket': ticket})
        driving.start()
        driving.join(0.1)
        assert driving.is_alive(), 'it did not wait'
        assert [command.linear_x for command in base.sent] == [0.3, 0.0]
    driving.join()
    assert [command.linear_x for command in base.sent] == [0.3, 0.0, 0.0]  # of an image before it
    base.now_ns += 40 * MS
    base.drive(0.1)
    assert base.sent[-1].linear_x == 0.1
