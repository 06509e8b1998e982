"""The log when the robot stops and drives again: one line each."""

import logging

import pytest
from scripted import Robot
from vla_nav_node.driving.diagnostics import journal
from vla_nav_node.driving.diagnostics.graph import GraphReport, Topic
from vla_nav_node.driving.diagnostics.journal import Journal, PATIENCE_S, PAUSE_S
from vla_nav_node.driving.diagnostics.statuses import CameraReport, ERROR, policy_status
from vla_nav_node.driving.watchdog import DiagnosticsReporter

FROZEN = 'standing still: the picture is frozen: identical for {:.1f} s'


class Log:
    """A journal, its clock, and the lines that it wrote."""

    def __init__(self):
        """Begin."""
        self.now_s, self.lines = 100.0, []
        self.journal = Journal(lambda: self.now_s)

    def emit(self, record):
        """Keep a line, as a logging handler."""
        self.lines.append((self.now_s - 100.0, record.levelname, record.getMessage()))

    def note(self, seconds, standing, stops=0, enabled=True, stood_s=None):
        """Report eight times a second for a while."""
        for _ in range(int(seconds * 8)):
            self.journal.note(standing.format(self.now_s), enabled, stops, 'late', stood_s)
            self.now_s += 0.125

    def take(self):
        """Return the new lines."""
        lines, self.lines = self.lines, []
        return lines


@pytest.fixture
def log():
    """Record a new journal."""
    log = Log()
    handler = logging.Handler()
    handler.emit = log.emit
    level = journal.LOG.level
    journal.LOG.setLevel(logging.INFO)
    journal.LOG.addHandler(handler)
    yield log
    journal.LOG.removeHandler(handler)
    journal.LOG.setLevel(level)


def test_a_stop_and_its_end_are_a_line_each(log):
    log.note(1.0, '')
    log.note(60.0, FROZEN)
    log.note(10.0, '', stood_s=60.0)
    assert log.take() == [(0.0, 'INFO', 'driving'), (1.0, 'WARNING', FROZEN.format(101.0)),
                          (61.0, 'INFO', 'driving again after 60 s')]


def test_the_reason_why_a_robot_never_drove_is_logged_after_a_while(log):
    log.note(60.0, 'standing still: no image yet')
    assert log.take() == [(PATIENCE_S, 'WARNING', 'standing still: no image yet')]
    log.note(1.0, '')
    log.note(1.0, FROZEN)
    assert [line[::2] for line in log.take()] == [
        (60.0, 'driving'), (61.0, FROZEN.format(161.0))]


def test_a_robot_that_stops_all_the_time_does_not_flood_the_log(log):
    for _ in range(240):
        log.note(0.125, '', stood_s=0.125)
        log.note(0.125, FROZEN, stops=1)
    lines = log.take()
    assert 60.0 / PAUSE_S <= len(lines) <= 2 * 60.0 / PAUSE_S + 2
    assert {text for _, level, text in lines if level == 'INFO'} == {
        'driving again after 0.125 s'}


def test_stops_between_two_reports_are_counted(log):
    log.note(1.0, '')
    log.note(11.0, '', stops=2)
    assert log.take() == [
        (0.0, 'INFO', 'driving'), (1.0, 'WARNING', 'stopped 2 times, now driving: late'),
        (6.0, 'WARNING', 'stopped 80 times, now driving: late'),
        (11.0, 'WARNING', 'stopped 80 times, now driving: late')]


def test_another_reason_is_another_line(log):
    log.note(10.0, '')
    log.note(10.0, FROZEN)
    log.note(10.0, 'disabled: standing still', enabled=False)
    assert [line[:2] for line in log.take()[1:]] == [(10.0, 'WARNING'), (20.0, 'INFO')]


def test_a_node_that_is_activated_again_begins_again(log):
    log.note(1.0, '')
    log.journal.forget()
    log.note(1.0, 'standing still: no image yet')  # not yet: the camera may just start
    log.note(1.0, '', stood_s=2.0)
    assert [line[::2] for line in log.take()] == [
        (0.0, 'driving'), (2.0, 'driving again after 2 s')]


def test_the_watchdog_logs_the_reason_of_the_diagnostics(log):
    robot = Robot()
    robot.loop.activate()
    topic = Topic('/image', 'sensor_msgs/msg/Image')
    camera = CameraReport(topic, (), 'best effort', received=1)
    published = []
    reporter = DiagnosticsReporter(
        robot.loop, lambda: camera, lambda info: policy_status('scripted', info, 'passed'),
        GraphReport, published.append)
    robot.loop.activate()
    robot.go()
    reporter.report()
    robot.pass_ms(300)
    reporter.report()
    robot.go()
    reporter.report()
    robot.output.close('SIGINT')
    reporter.report()  # the node logs its own end
    told = 'standing still: no usable image for 0.2 s (image_timeout)'
    first, stop, again = log.take()
    assert first[1:] == ('INFO', 'driving')
    assert stop[1:] == ('WARNING', told)
    assert again[1] == 'INFO' and again[2].startswith('driving again after 0.')
    by_name = {status.name: status for status in published[1]}
    assert by_name['driving'].message == told + ' (see camera)'
    assert by_name['driving'].values['driving'] == 'False'
    assert 0.0 <= float(by_name['driving'].values['since the last stop s']) < 60.0
    assert [status.name for status in published[1] if status.level == ERROR] == ['camera']
