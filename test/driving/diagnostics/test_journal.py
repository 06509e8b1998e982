"""The log when the robot stops and drives again: one line each."""

import logging

import pytest
from scripted import Robot
from vla_nav_node.driving.diagnostics import journal
from vla_nav_node.driving.diagnostics.graph import GraphReport, Topic
from vla_nav_node.driving.diagnostics.journal import Journal, PATIENCE_S, PAUSE_S
from vla_nav_node.driving.diagnostics.statuses import CameraReport, policy_status
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

    def note(self, seconds, standing, stops=0, enabled=True):
        """Report eight times a second for a while."""
        for _ in range(int(seconds * 8)):
            self.journal.note(standing.format(self.now_s), enabled, stops, 'late')
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
    log.note(10.0, '')
    assert log.take() == [(0.0, 'INFO', 'driving'), (1.0, 'WARNING', FROZEN.format(101.0)),
                          (61.0, 'INFO', 'driving again')]


def test_the_reason_why_a_robot_never_drove_is_logged_after_a_while(log):
    log.note(60.0, 'standing still: no image yet')
    assert log.take() == [(PATIENCE_S, 'WARNING', 'standing still: no image yet')]
    log.note(1.0, '')
    log.note(1.0, FROZEN)
    assert [line[0] for line in log.take()] == [60.0, 61.0]


def test_a_robot_that_stops_all_the_time_does_not_flood_the_log(log):
    for _ in range(240):
        log.note(0.125, '')
        log.note(0.125, FROZEN, stops=1)
    lines = log.take()
    assert 60.0 / PAUSE_S <= len(lines) <= 2 * 60.0 / PAUSE_S + 2
    assert {text for _, level, text in lines if level == 'INFO'} == {'driving', 'driving again'}


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


def test_the_watchdog_logs_the_reason_of_the_diagnostics(log):
    robot = Robot()
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
    reason = 'standing still: no usable image for 0.2 s (image_timeout)'
    assert [line[1:] for line in log.take()] == [
        ('INFO', 'driving'), ('WARNING', reason), ('INFO', 'driving again')]
    assert [status.message for status in published[1] if status.name == 'driving'] == [reason]
