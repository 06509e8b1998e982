"""Whether the robot drives, since when, and which status owns the fault if it does not."""

import pytest

from vla_nav_node.driving.diagnostics.driving_status import (
    blame, DriveTimes, driving_status, DrivingReport)
from vla_nav_node.driving.diagnostics.graph import GraphReport
from vla_nav_node.driving.diagnostics.statuses import ERROR, OK, Status, STATUSES, WARN
from vla_nav_node.types import CAMERA, Command, DRIVING, POLICY

DRIVE = Command(0.1, 0.2)
FROZEN = Command(0.0, 0.0, 'the picture is frozen', CAMERA)
ENDS = Command(0.0, 0.0, 'the node ends: SIGINT')
HUNG = Command(0.0, 0.0, 'infer has not come back for 3 s', POLICY)
PUBLISHING = Command(0.0, 0.0, 'publishing on cmd_vel has not come back for 3 s')


@pytest.mark.parametrize(('report', 'level', 'text'), [
    (DrivingReport(DRIVE), OK, 'driving'),
    (DrivingReport(DRIVE, stops=2, last_stop='late'), WARN,
     'driving, but stopped 2 times since the last report: late'),
    (DrivingReport(DRIVE, graph=GraphReport(connected=0)), WARN, 'driving, but no node receives '
     'cmd_vel: start the base, or remap cmd_vel to its topic'),
    (DrivingReport(FROZEN), WARN, 'standing still: the picture is frozen (see camera)'),
    (DrivingReport(ENDS), ERROR, 'standing still: the node ends: SIGINT'),
    (DrivingReport(FROZEN, enabled=False), WARN, 'disabled: standing still until ~/enable'),
    (DrivingReport(FROZEN, enabled=False, hang=HUNG), WARN,
     'standing still: infer has not come back for 3 s (see policy)'),
    (DrivingReport(DRIVE, hang=PUBLISHING), ERROR,
     'standing still: publishing on cmd_vel has not come back for 3 s'),
    (DrivingReport(ENDS, graph=GraphReport(clock='/clock has no publisher')), ERROR,
     'standing still: the node ends: SIGINT; /clock has no publisher'),
])
def test_driving_or_why_not(report, level, text):
    status = driving_status(report)
    assert (status.level, status.message) == (level, text)
    assert status.values['driving'] == str(level == OK or text.startswith('driving, but'))


@pytest.mark.parametrize('stop', [FROZEN, HUNG, ENDS])
def test_one_fault_is_one_error_in_the_status_that_owns_it(stop):
    report = DrivingReport(stop)
    others = [Status(name, OK, 'well') for name in STATUSES if name != DRIVING]
    statuses = blame([*others, driving_status(report)], report)
    error, = (status for status in statuses if status.level == ERROR)
    assert error.name == stop.owner
    assert stop.reason in error.message
    driving = statuses[-1]
    assert stop.reason in driving.message
    assert driving.values['fault in'] == stop.owner
    assert (driving.level == WARN) == (stop.owner != DRIVING)


def test_a_status_that_reports_its_fault_already_keeps_its_text():
    silent = Status(CAMERA, ERROR, 'no image any more on /image')
    assert blame([silent], DrivingReport(FROZEN)) == [silent]


@pytest.mark.parametrize('report', [DrivingReport(DRIVE), DrivingReport(ENDS, enabled=False)])
def test_without_a_fault_no_status_is_blamed(report):
    well = [Status(name, OK, 'well') for name in STATUSES]
    assert blame(well, report) == well
    assert driving_status(report).values['fault in'] == '-'


def test_every_value_is_one_number_or_true_or_false_or_the_name_of_a_status():
    values = dict(driving_status(DrivingReport(FROZEN, since_stop_s=3.25, total_stops=4)).values)
    assert values.pop('fault in') == CAMERA
    assert (values.pop('driving'), values.pop('enabled')) == ('False', 'True')
    assert {key: float(value) for key, value in values.items()} == {
        'linear x m/s': 0.0, 'linear y m/s': 0.0, 'stops since the last report': 0.0,
        'stops since start': 4.0, 'since the last stop s': 3.25}


def test_the_times_of_driving_and_of_standing():
    now_s = 100.0
    times = DriveTimes(lambda: now_s)
    assert (times.stood_s, times.since_stop_s(), times.driving_s()) == (None, None, None)
    times.note_start()
    now_s = 110.0
    assert (times.stood_s, times.since_stop_s(), times.driving_s()) == (None, None, 10.0)
    times.note_stop()
    now_s = 113.0
    times.note_start()
    now_s = 120.0
    assert (times.stood_s, times.since_stop_s(), times.driving_s()) == (3.0, 10.0, 7.0)
    report = DrivingReport(DRIVE, since_stop_s=10.0, driving_s=7.0)
    values = driving_status(report).values
    assert (values['since the last stop s'], values['driving for s']) == ('10.00', '7.00')
