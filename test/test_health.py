"""What diagnostics say."""

from dataclasses import replace

import pytest

from vla_nav_node.health import (
    camera_status, CameraReport, driving_status, ERROR, latency_status, no_image_reason, OK,
    policy_status, WARN)
from vla_nav_node.interfaces import BackendInfo, Command
from vla_nav_node.latency import FIELDS, Percentiles, Summary

BEFORE = CameraReport('/image', ('best effort',), 'best effort', '/etc/fastdds.xml',
                      received=100, picture='640x480 rgb8')
STOP, DRIVE = Command(0.0, 0.0, 'the picture is frozen'), Command(0.1, 0.2)


def test_a_camera_that_works():
    status = camera_status(replace(BEFORE, received=150), BEFORE, 1.0)
    assert (status.level, status.message) == (OK, '50.0 images/s, 640x480 rgb8')
    assert status.values['received'] == '150'
    assert status.values['publishers offer'] == 'best effort'


def test_losses_are_a_warning_with_the_cure():
    status = camera_status(replace(BEFORE, received=110, lost=40), BEFORE, 1.0)
    assert status.level == WARN
    assert status.message.startswith('40 of 50 images lost in transport; ')
    assert 'FASTRTPS_DEFAULT_PROFILES_FILE=/etc/fastdds.xml' in status.message


def test_one_loss_in_a_hundred_is_none():
    assert camera_status(replace(BEFORE, received=200, lost=1), BEFORE, 1.0).level == OK


def test_a_second_publisher_is_a_warning_that_names_both():
    two = replace(BEFORE, received=150, names=('/front/camera', '/rear/camera'))
    status = camera_status(two, BEFORE, 1.0)
    assert status.level == WARN
    assert '2 publishers on /image: /front/camera, /rear/camera; only one' in status.message


def test_losses_that_cannot_be_counted_are_said_to_be_unknown():
    status = camera_status(replace(BEFORE, received=150, lost_known=False), BEFORE, 1.0)
    assert status.values['lost in transport'] == 'unknown'


@pytest.mark.parametrize(('changes', 'told'), [
    ({'publishers': (), 'received': 0}, 'no image yet on /image: 0 publishers; start the camera'),
    ({'publishers': ()}, 'no image any more on /image: 0 publishers; start the camera'),
    ({}, 'no image any more on /image: 1 publisher; it sends nothing, or everything is lost'),
    ({'reliability': 'reliable'}, 'best effort, but image_qos asks for reliable'),
])
def test_why_there_is_no_image(changes, told):
    report = replace(BEFORE, **changes)
    assert told in no_image_reason(report)
    assert camera_status(report, report, 1.0).level == ERROR


def test_the_policy_is_what_it_is():
    status = policy_status('cup_seeker', BackendInfo(
        'onnx', 'onnxruntime', '1.31.1', 'cpu', 'CPUExecutionProvider', 'fp32'), 'passed')
    assert status.level == OK
    assert status.message == (
        'cup_seeker by onnx (onnxruntime 1.31.1, CPUExecutionProvider) on cpu, fp32')
    assert status.values['provider'] == 'CPUExecutionProvider'
    assert status.values['verified'] == 'passed'


def test_a_policy_that_is_not_verified_is_a_warning():
    info = BackendInfo('onnx', 'onnxruntime', '1.31.1', 'cpu', 'CPUExecutionProvider', 'int8')
    status = policy_status('cup_seeker', info, 'no: has not been verified', 'it has not')
    assert status.level == WARN
    assert status.message.endswith(', int8; it has not')
    assert status.values['verified'] == 'no: has not been verified'


def test_a_fall_back_that_drives_is_a_warning():
    info = BackendInfo('onnx', 'onnxruntime', '1.31.1', 'cpu', 'CPUExecutionProvider', 'fp32')
    status = policy_status('cup_seeker', info, 'passed', fallback='driving on fall-back onnx',
                           spares='onnx:fp32@cpu drives')
    assert (status.level, status.values['fall-backs']) == (WARN, 'onnx:fp32@cpu drives')
    assert status.message.endswith(', fp32; driving on fall-back onnx')
    assert 'fall-backs' not in policy_status('cup_seeker', info, 'passed').values


@pytest.mark.parametrize(('misses', 'level'), [(0, OK), (1, OK), (2, WARN)])
def test_misses_against_the_period(misses, level):
    fields = dict.fromkeys(FIELDS, Percentiles(1.0, 2.0, 3.0, 4.0))
    status = latency_status(Summary(fields, 100, misses, 50.0, 900, 7), 20.0, 3)
    assert status.level == level
    assert status.message == (
        f'cycle p50 1.00 ms, p99 3.00 ms of 20 ms; {misses} of 100 missed it')
    assert status.values['infer p50 / p95 / p99 / max ms'] == '1.00 / 2.00 / 3.00 / 4.00'
    assert status.values['misses since start'] == '7 of 900'


def test_no_cycle_yet():
    assert latency_status(Summary({}, 0, 0, 0.0, 0, 0), 20.0, 0).message == 'no cycle yet'


@pytest.mark.parametrize(('arguments', 'level', 'told'), [
    ((DRIVE, True, 0, ''), OK, 'driving'),
    ((DRIVE, True, 2, 'late'), WARN,
     'driving, but stopped 2 times since the last report: late'),
    ((DRIVE, True, 0, '', '', 0), WARN, 'driving, but nobody listens to cmd_vel: start the base, '
     'or remap cmd_vel to its topic'),
    ((STOP, True, 1, 'x'), ERROR, 'standing still: the picture is frozen'),
    ((STOP, False, 0, ''), WARN, 'disabled: standing still until ~/enable'),
    ((STOP, False, 0, '', 'infer has not come back for 3 s'), ERROR,
     'standing still: infer has not come back for 3 s'),
])
def test_driving_or_why_not(arguments, level, told):
    status = driving_status(*arguments)
    assert (status.level, status.message) == (level, told)
