"""The node in its own process, over real ROS 2: when it drives and when it stops."""

from functools import partial
import time

import numpy as np
import pytest
from rcl_interfaces.srv import DescribeParameters
from rclpy.serialization import serialize_message
from rig import CameraThread, image_message, NodeProcess, picture, Rig
from std_srvs.srv import SetBool, Trigger
from tiny import needs_torch

from vla_nav_node.backends import open_backend
from vla_nav_node.driving.diagnostics.statuses import OK, WARN
from vla_nav_node.driving.latency_recorder import FIELDS
from vla_nav_node.policy.recurrent_policy import Policy
from vla_nav_node.vision.preprocess import Preprocess

PERIOD_S = 0.02
MARGIN_S = 0.5  # for this process and the transport on a busy machine


@pytest.fixture(scope='module')
def rig(bundle):
    """Start one node for all tests; afterwards it must end cleanly."""
    node = NodeProcess(model=bundle.directory)
    rig = Rig()
    rig.process = node
    try:
        rig.until(lambda: rig.commands, 'the first command')
        yield rig
    finally:
        rig.close()
        status, stderr = node.finish()
    assert status == 0, stderr
    assert 'Traceback' not in stderr


def stamped(offset_s):
    """Return a function that stamps pictures with an offset from now."""
    return lambda rig: rig.now_ns() + int(offset_s * 1e9)


def test_before_the_first_image_it_stands_and_says_why(rig):
    assert all(command[1:] == (0.0, 0.0) for command in rig.commands)
    report = rig.errs('camera', 'no image yet on /image: ')
    assert 'standing still: no image yet on /image: ' in report['driving'][1]
    assert report['driving'][2]['driving'] == 'False'


def test_the_commands_are_those_of_the_policy(rig, bundle):
    assert rig.configure(max_acceleration=100.0) == ''
    assert rig.call(Trigger).success
    since, commands = time.monotonic(), []
    for number in range(10):
        cycles = len(rig.latencies)
        rig.send(picture(number))
        rig.until(partial(grown, rig.latencies, cycles), 'the cycle')
    rig.until(lambda: len(distinct(rig.new_commands(since))) >= 10)
    commands = distinct(rig.new_commands(since))[:10]
    assert rig.configure(max_acceleration=2.5) == ''
    np.testing.assert_allclose(commands, expected_actions(bundle, 10), atol=1e-5)


def grown(kept, before):
    """Return whether there is more now."""
    return len(kept) > before


def distinct(commands):
    """Return the commands without zeros and repetitions."""
    moving = [command[1:] for command in commands if command[1] or command[2]]
    return [command for number, command in enumerate(moving)
            if number == 0 or command != moving[number - 1]]


def expected_actions(bundle, count):
    """Return the actions of the policy without a node, [count, A]."""
    policy = Policy(open_backend('onnx', bundle), bundle.zero_state())
    preprocess = Preprocess(bundle.input)
    return np.stack([policy.act(preprocess(picture(number))) for number in range(count)])


def test_when_the_camera_stops_the_robot_stops(rig):
    with CameraThread(rig) as camera:
        rig.drives()
        rig.say('driving', 'driving')
    rig.stands()
    last = max(command[0] for command in rig.commands if command[1] or command[2])
    assert last - camera.stopped_at < 0.2 + PERIOD_S + MARGIN_S
    rig.errs('camera', 'no usable image', camera.stopped_at)
    reported = min(at for at, entry in rig.diagnostics
                   if at > camera.stopped_at and 'no usable image' in entry['driving'][1])
    assert reported - camera.stopped_at < 0.2 + 0.1 + PERIOD_S + MARGIN_S
    values = rig.errs('camera', 'no image any more on /image: 1 publisher')['driving'][2]
    assert 0.0 < float(values['since the last stop s']) < time.monotonic() - camera.stopped_at


def test_the_last_command_is_repeated_between_slow_images(rig):
    with CameraThread(rig, rate=10.0):
        rig.drives()
        since = time.monotonic()
        rig.until(lambda: time.monotonic() > since + 1.0)
        came = rig.new_commands(since)
    assert 25 <= len(came) <= 75  # 10 new ones, the others repeated every 20 ms
    assert all(x or y for _, x, y in came)


@pytest.mark.parametrize(('changes', 'text'), [
    ({'encoding': '32FC1'}, "decode: no picture can be read from encoding '32FC1'"),
    ({'step': 10}, 'decode: a picture of 64x48 rgb8 has rows (step) of 10 bytes'),
    ({'height': 4000}, 'bytes of data; expected at least'),
    ({'stamp_ns': lambda rig: 1}, 's old when it arrived (image_timeout is 0.2 s)'),
    ({'stamp_ns': stamped(-0.5)}, 'the image was 0.5'),
    ({'stamp_ns': stamped(+0.5)}, 's in the future; synchronise the clocks'),
], ids=['encoding', 'step', 'truncated', 'stamp of 1970', 'late', 'in the future'])
def test_an_image_that_is_wrong_stops_the_robot(rig, changes, text):
    with CameraThread(rig):
        rig.drives()
    with CameraThread(rig, **changes):
        rig.stands()
        rig.errs('camera', text)
    with CameraThread(rig):
        rig.drives()


def test_stamps_that_run_backwards_stop_the_robot_for_that_frame(rig):
    turn = iter(range(10 ** 9))
    with CameraThread(rig):
        rig.drives()
    with CameraThread(rig, stamp_ns=lambda rig: rig.now_ns() - next(turn) % 2 * 60_000_000):
        level, _, _ = rig.say('driving', 'image stamps run backwards (0.0')
        assert level == WARN
        since = time.monotonic()
        rig.until(lambda: len(rig.new_commands(since)) > 20)
        zeros = [x == y == 0.0 for _, x, y in rig.new_commands(since)]
        assert any(zeros)
        assert not all(zeros)


def cut_off(picture, stamp_ns):
    """Serialise a picture and cut off its end; DDS would pad the last three bytes."""
    return serialize_message(image_message(picture, stamp_ns))[:-4]


def test_a_message_that_cannot_be_read_stops_the_robot_and_says_why(rig):
    with CameraThread(rig):
        rig.drives()
    with CameraThread(rig, to_message=cut_off):
        rig.errs('camera', 'deserialise: a serialised Image of ')
        rig.stands()
    since = time.monotonic()
    with CameraThread(rig):
        rig.drives(since)


def test_a_frozen_picture_stops_the_robot_until_it_changes(rig):
    with CameraThread(rig):
        rig.drives()
    with CameraThread(rig, make=lambda number: picture(1)) as camera:
        rig.drives()
        rig.stands()
        rig.errs('camera', 'the picture is frozen: none was new for ')
        since = time.monotonic()
        camera.make = picture
        rig.drives(since)


def test_disabled_means_zero_and_enabled_drives_again(rig):
    with CameraThread(rig):
        rig.drives()
        assert rig.call(SetBool, data=False).success
        rig.stands()
        assert rig.say('driving', 'disabled')[0] == WARN
        rig.until(lambda: not rig.new_commands(time.monotonic() - 0.5), 'leaving the topic alone')
        assert rig.call(SetBool, data=True).success
        rig.drives()


@pytest.mark.parametrize(('values', 'reason'), [
    ({'backend': 'openvino'}, "backend is 'openvino'; expected one of torch, onnx, tensorrt"),
    ({'precision': 'fp8'}, "precision is 'fp8'; expected one of fp32, fp16, int8"),
    ({'precision': 'fp16'}, 'has no policy.fp16.onnx'),
    ({'control_period_ms': 0.0}, 'control_period_ms is 0.0; expected a double from 5 to 100 ms'),
    ({'control_period_ms': float('nan')}, 'control_period_ms'),
    ({'control_period_ms': 10}, 'control_period_ms is the integer 10; expected a double from 5 to '
                                '100 ms; fix: write 10.0'),
    ({'max_linear_x': 5.0}, 'max_linear_x is 5.0; expected a double from 0 to 0.8 m/s'),
    ({'max_linear_x': 'fast'}, "max_linear_x is the string 'fast'; expected a double"),
    ({'image_qos': 'reliable'}, 'image_qos cannot change while the node runs; fix: restart'),
    # As ros2 param delete asks.
    ({'backend': None}, 'backend cannot be deleted; expected one of torch, onnx, tensorrt; fix: '
     "set it to its default, 'onnx'"),
    ({'fallback_backends': None}, 'fallback_backends cannot be deleted'),
    ({'image_qos': None}, 'image_qos cannot be deleted'),
    ({'max_linar_x': 0.1}, 'has no parameter max_linar_x; fix: write max_linear_x instead'),
    ({'max_linear_y': 0.1, 'backend': 'tensorflow'}, "backend is 'tensorflow'"),
], ids=lambda value: '-'.join(value) if isinstance(value, dict) else '')
def test_a_refused_parameter_leaves_it_driving(rig, values, reason):
    with CameraThread(rig):
        rig.drives()
        assert reason in rig.configure(**values)
        since = time.monotonic()
        rig.drives(since)
    assert rig.get('max_linear_y') == pytest.approx(0.8)
    assert rig.get('backend') == 'onnx'


def test_limits_are_live(rig):
    with CameraThread(rig):
        rig.drives()
        assert rig.configure(max_linear_x=0.01, max_linear_y=0.02, max_acceleration=50.0) == ''
        since = time.monotonic() + MARGIN_S
        rig.until(lambda: len(rig.new_commands(since)) > 10)
        assert max(abs(x) for _, x, _ in rig.new_commands(since)) <= 0.01
        assert rig.configure(max_linear_x=0.8, max_linear_y=0.8, max_acceleration=2.5) == ''


def test_parameters_describe_themselves(rig):
    names = ['max_linear_x', 'backend', 'model']
    limit, backend, model = rig.call(DescribeParameters, names=names).descriptors
    assert limit.floating_point_range[0].to_value == pytest.approx(0.8)
    assert '[m/s]' in limit.description
    assert backend.additional_constraints == 'one of torch, onnx, tensorrt'
    assert (model.read_only, backend.read_only) == (True, False)


def test_the_latency_of_every_cycle_is_published_and_summed_up(rig):
    with CameraThread(rig):
        rig.drives()
        level, message, values = rig.say('latency', 'cycle p50')
    sent = rig.latencies[-1]
    assert [dim.label for dim in sent.layout.dim] == list(FIELDS)
    cycle, *stages, used = sent.data
    assert 0.0 < sum(stages[:-1]) <= cycle <= stages[-1] + 5.0  # the age holds the transport too
    assert used == pytest.approx(cycle / 20.0)
    assert level in (OK, WARN)
    assert 0.0 < float(values['cycle p50 ms']) <= float(values['cycle p99 ms'])


@needs_torch
def test_onnx_maps_no_torch_and_a_swap_brings_it(rig):
    with CameraThread(rig):
        rig.drives()
        assert 'onnxruntime' in rig.process.maps()
        assert 'torch' not in rig.process.maps()
        assert rig.configure(backend='torch') == ''
        assert 'torch' in rig.process.maps()
        assert rig.say('policy', 'by torch')[2]['library'].startswith('torch 2')
        rig.drives()
        assert rig.configure(backend='onnx') == ''
        rig.say('policy', 'by onnx')
        rig.drives()
