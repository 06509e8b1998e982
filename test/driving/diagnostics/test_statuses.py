"""The statuses of diagnostics."""

from dataclasses import replace

import pytest

from vla_nav_node.driving.diagnostics.graph import (
    BEST_EFFORT, Endpoint, GraphReport, RELIABLE, Topic)
from vla_nav_node.driving.diagnostics.no_image import COMPRESSED, IMAGE
from vla_nav_node.driving.diagnostics.statuses import (
    camera_status, CameraReport, ERROR, graph_status, latency_status, no_image_reason, OK,
    policy_status, Slowdown, WARN)
from vla_nav_node.driving.latency_recorder import FIELDS, Percentiles, Summary
from vla_nav_node.types import BackendInfo

FRONT = Endpoint('/front/camera', IMAGE, BEST_EFFORT)
BEFORE = CameraReport(Topic('/image', IMAGE), (FRONT,), BEST_EFFORT, '/etc/fastdds.xml',
                      received=100, picture='640x480 rgb8', domain='ROS_DOMAIN_ID 7')


def test_a_camera_that_works():
    status = camera_status(replace(BEFORE, received=150), BEFORE, 1.0)
    assert (status.level, status.message) == (OK, '50.0 images/s, 640x480 rgb8')
    assert status.values['received'] == '150'
    assert status.values['images per second'] == '50.0'
    assert status.values['publishers offer'] == 'best effort'


def test_losses_are_a_warning_with_the_fix():
    status = camera_status(replace(BEFORE, received=110, lost=40), BEFORE, 1.0)
    assert status.level == WARN
    assert status.message.startswith('40 of 50 images lost in transport; ')
    assert 'FASTRTPS_DEFAULT_PROFILES_FILE=/etc/fastdds.xml' in status.message


def test_one_loss_in_a_hundred_is_none():
    assert camera_status(replace(BEFORE, received=200, lost=1), BEFORE, 1.0).level == OK


def test_a_second_publisher_is_a_warning_that_names_both():
    two = replace(BEFORE, received=150, publishers=(FRONT, FRONT._replace(node='/rear/camera')))
    status = camera_status(two, BEFORE, 1.0)
    assert status.level == WARN
    assert '2 publishers on /image: /front/camera, /rear/camera; expected one' in status.message


def test_publishers_of_other_types_are_no_cameras_and_are_warned_of():
    wrong = Endpoint('/web_video', COMPRESSED, RELIABLE)
    status = camera_status(replace(BEFORE, received=150, publishers=(FRONT, wrong)), BEFORE, 1.0)
    assert (status.level, status.values['publishers']) == (WARN, '1')
    assert status.values['publishers offer'] == BEST_EFFORT
    assert status.message == (
        '50.0 images/s, 640x480 rgb8; /web_video (sensor_msgs/msg/CompressedImage) publishes on '
        '/image, but this node subscribes to sensor_msgs/msg/Image; fix: remap it')


@pytest.mark.parametrize('changes', [{'lost': 40}, {'received': 100}, {'lost': 5, 'received': 0}])
def test_another_middleware_is_not_given_the_profile_of_fast_dds(changes):
    bare = replace(BEFORE, profile='')
    status = camera_status(replace(bare, **{'received': 110, **changes}), bare, 1.0)
    assert status.level in (WARN, ERROR)
    assert 'FASTRTPS' not in status.message and 'profile' not in status.message.lower()


def test_silence_without_a_loss_is_not_blamed_on_the_transport():
    status = camera_status(BEFORE, BEFORE, 1.0)
    assert status.level == ERROR
    assert 'FASTRTPS' not in status.message and 'lost' not in status.message


def test_losses_that_cannot_be_counted_are_said_to_be_unknown():
    status = camera_status(replace(BEFORE, received=150, lost_known=False), BEFORE, 1.0)
    assert status.values['losses are counted'] == 'False'
    assert 'lost in transport' not in status.values
    counted = camera_status(replace(BEFORE, lost=0), BEFORE, 1.0).values
    assert (counted['losses are counted'], counted['lost in transport']) == ('True', '0')


@pytest.mark.parametrize(('changes', 'text'), [
    ({'publishers': (), 'received': 0},
     'no image yet on /image: 0 publishers; no node publishes images in'),
    ({'publishers': ()},
     'outside the discovery range are not visible); fix: start the camera, or remap `image`'),
    ({'publishers': ()},
     'no image any more on /image: 0 publishers; no node publishes images in ROS_DOMAIN_ID 7 '
     '(cameras in another domain'),
    ({'publishers': (), 'elsewhere': (Topic('/usb/image_raw', IMAGE),)},
     'fix: start the camera, or remap `image` to its topic; images on '
     '/usb/image_raw (sensor_msgs/msg/Image): remap `image` to /usb'),
    ({'publishers': (FRONT._replace(kind=COMPRESSED),)},
     'on /image: 0 publishers; found sensor_msgs/msg/CompressedImage (from /front/camera); '
     'expected sensor_msgs/msg/Image; fix: start this node with image_transport:=compressed'),
    ({}, 'no image any more on /image: 1 publisher (/front/camera), but nothing arrives'),
    ({}, 'or has died (a killed process stays listed for about 20 s); fix: check it with ros2 '
     'topic hz'),
    ({'received': 0, 'lost': 9}, 'all images are lost in transport; fix: start the camera'),
    ({'reliability': RELIABLE}, 'best effort, but image_qos is reliable'),
])
def test_why_there_is_no_image(changes, text):
    report = replace(BEFORE, **changes)
    assert text in no_image_reason(report)
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
    values = status.values
    assert [values[f'infer {name} ms'] for name in ('p50', 'p95', 'p99', 'max')] == [
        '1.00', '2.00', '3.00', '4.00']
    assert values['used p99 %'] == '300.00'  # of the control period
    assert (values['misses in window'], values['cycles in window']) == (str(misses), '100')
    assert (values['misses since start'], values['cycles since start']) == ('7', '900')


def test_every_value_of_the_latency_is_one_number():
    fields = dict.fromkeys(FIELDS, Percentiles(1.0, 2.0, 3.0, 4.0))
    for summary in (Summary(fields, 100, 1, 50.0, 900, 7), Summary({}, 0, 0, 0.0, 0, 0)):
        for value in latency_status(summary, 20.0, 3).values.values():
            float(value)


@pytest.mark.parametrize(('warn', 'level'), [(True, WARN), (False, OK)])
def test_a_slow_down_is_told_before_the_times(warn, level):
    summary = Summary(dict.fromkeys(FIELDS, Percentiles(1.0, 2.0, 3.0, 4.0)), 100, 0, 50.0, 900, 7)
    status = latency_status(summary, 20.0, 3, Slowdown(warn, 'infer is slower', {'a': '1'}))
    assert (status.level, status.values['a']) == (level, '1')
    assert status.message.startswith('infer is slower; cycle p50 1.00 ms')
    status = latency_status(summary, 20.0, 3, Slowdown(False, '', {}))
    assert status == latency_status(summary, 20.0, 3)


def test_no_cycle_yet():
    assert latency_status(Summary({}, 0, 0, 0.0, 0, 0), 20.0, 0).message == 'no cycle yet'


def test_the_graph_says_who_drives_and_who_listens():
    base = Endpoint('/base', 'geometry_msgs/msg/Twist')
    status = graph_status(GraphReport(subscribers=(base,)))
    assert (status.level, status.message) == (
        OK, '/cmd_vel (geometry_msgs/msg/Twist) is read by /base')
    status = graph_status(GraphReport(
        subscribers=(base,), other_publishers=(base._replace(node='/joy'),)))
    assert status.level == WARN
    assert status.values == {
        'other publishers of cmd_vel': '1', 'names of other publishers': '/joy',
        'subscribers of cmd_vel': '1', 'names of subscribers': '/base', 'nodes of this name': '1'}


@pytest.mark.parametrize(('images', 'level'), [(5, WARN), (6, WARN), (7, OK), (30, OK)])
def test_a_camera_too_slow_for_image_timeout_is_told_with_both_numbers(images, level):
    status = camera_status(replace(BEFORE, received=100 + images), BEFORE, 1.0, 0.2)
    assert status.level == level
    assert ('image_timeout is 0.2 s' in status.message) == (level == WARN)
    if level == WARN:
        assert f'one every {1 / images:.2g} s' in status.message
