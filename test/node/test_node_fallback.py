"""A driving node whose backend fails, with fallbacks: it drives on and warns."""

import time

import numpy as np
import pytest
from rig import CameraThread, picture
from std_srvs.srv import Trigger
from vla_nav_node.backends import is_installed, open_backend
from vla_nav_node.driving.diagnostics.statuses import OK, WARN
from vla_nav_node.policy.recurrent_policy import Policy
from vla_nav_node.vision.preprocess import Preprocess

PERIOD_S = 0.02
FALLEN = 'driving on fallback torch:fp32@cpu because of onnx:fp32@auto: '


def gaps(commands):
    """Return the time between each command and the next, s."""
    return np.diff([at for at, _, _ in commands])


def test_not_one_command_is_lost(start_faulty):
    scene = start_faulty(fallback_backends="['torch:fp32@cpu']", max_acceleration=100.0)
    rig = scene.rig
    with CameraThread(rig):
        rig.drives()
        for fault in ('nan', 'crash'):
            assert rig.say('policy', 'by onnx')[2]['fall-backs'] == 'torch:fp32@cpu ready'
            falls(scene, fault)
            scene.clear()
            assert rig.configure(backend='onnx') == ''
            assert rig.say('policy', 'by onnx')[0] == OK
        # Until `backend` is set: neither the end of the fault nor a reset ends the warning.
        falls(scene, 'raise')
        scene.clear()
        assert rig.call(Trigger).success
        assert rig.say('policy', FALLEN)[0] == WARN
        assert rig.get('backend') == 'onnx'
    status, stderr = scene.node.finish()
    assert status == 0, stderr
    assert stderr.count(FALLEN) == 3  # in the log, once each


def falls(scene, fault):
    """Check that the base does not notice a fault of the backend."""
    rig, before = scene.rig, time.monotonic()
    time.sleep(0.5)
    cycles, at = len(rig.latencies), scene.make(fault)
    level, _, values = rig.say('policy', FALLEN, at)
    assert (level, values['backend'], values['fall-backs']) == (
        WARN, 'torch', 'torch:fp32@cpu drives')
    time.sleep(0.3)
    usual = [command for command in rig.new_commands(before) if command[0] < at]
    around = rig.new_commands(at)
    reported = next(when for when, entry in rig.diagnostics
                    if when > at and FALLEN in entry['policy'][1])
    longest, longest_before = (max(cycle.data[0] for cycle in some) for some in (
        rig.latencies[cycles:], rig.latencies[cycles - 20:cycles]))
    print(f'\n{fault}: longest gap {1e3 * gaps(around).max():.1f} ms (before '
          f'{1e3 * gaps(usual).max():.1f} ms), longest cycle {longest:.1f} ms (before '
          f'{longest_before:.1f} ms), reported after {1e3 * (reported - at):.0f} ms')
    assert all(x or y for _, x, y in around)  # never a stop
    # On a quiet machine 1.5 periods; this one may be busy.
    assert gaps(around).max() < 1.5 * PERIOD_S + 0.1 + gaps(usual).max()


def test_the_state_goes_on_with_the_fall_back(start_faulty, bundle):
    """Picture by picture, the commands are those of a policy that never failed."""
    scene = start_faulty(fallback_backends="['torch:fp32@cpu']", max_acceleration=100.0,
                         state_reset_gap=3600.0, image_timeout=2.0, max_linear_x=0.8)
    policy = Policy(open_backend('onnx', bundle, device='cpu'), bundle.zero_state())
    preprocess, rig = Preprocess(bundle.input), scene.rig
    rig.until(rig.images.get_subscription_count, 'the camera is discovered')
    rig.until(lambda: rig.commands, 'the base is discovered')
    for number in range(12):
        if number == 6:
            scene.make('raise')
        wanted = policy.act(preprocess(picture(number)))
        rig.send(picture(number))
        rig.until(lambda: np.abs(rig.commands[-1][1:] - wanted).max() < 1e-4,  # noqa: B023
                  f'command {wanted} of picture {number}')
    assert rig.say('policy', FALLEN)[0] == WARN
    assert np.abs(policy.backend.infer(np.stack([preprocess(picture(11))[0]]),
                                       bundle.zero_state())[0][0] - wanted).max() > 1e-4


def test_a_hang_costs_a_stop_and_then_it_drives_on(start_faulty):
    scene = start_faulty(fallback_backends="['onnx:fp32@cpu']", realtime=True)
    rig, fallen = scene.rig, 'driving on fallback onnx:fp32@cpu because of onnx:fp32@auto: infer '
    with CameraThread(rig):
        rig.drives()
        at = scene.make('hang 0')
        rig.say('policy', fallen + 'has not come back for ', at)
        zero = next(when for when, x, y in rig.new_commands(at) if not (x or y))
        again = rig.drives(zero)[0][0]
        print(f'\nzero after {1e3 * (zero - at):.0f} ms, driving after '
              f'{1e3 * (again - at):.0f} ms')
        assert again - zero < 2 * PERIOD_S + 0.5  # 0.5 s for this process
        # The hung call returns, without an effect.
        since = time.monotonic()
        scene.clear()
        time.sleep(0.5)
        assert all(x or y for _, x, y in rig.new_commands(since))
        assert rig.say('driving', 'driving')[0] == OK
        assert rig.configure(backend='onnx') == ''
        assert rig.say('policy', 'by onnx')[0] == OK
        # It also ends cleanly while a thread hangs.
        rig.say('policy', fallen, scene.make('hang 2'))
        rig.drives()
    status, stderr = scene.node.finish()
    assert status == 0, stderr
    assert rig.commands[-1][1:] == (0.0, 0.0)


def test_when_the_last_one_fails_it_stands_still_as_ever(start_faulty):
    scene = start_faulty(fallback_backends="['onnx:fp32@cpu']")
    rig = scene.rig
    with CameraThread(rig):
        rig.drives()
        scene.make('raise')
        rig.stands()
        report = rig.errs('policy', 'infer: onnx:fp32@auto: the runtime has run out')
        assert 'onnx:fp32@cpu: the runtime has run out of memory' in report['driving'][1]
        scene.clear()
        rig.drives()
        assert rig.say('policy', 'by onnx')[0] == OK


def test_fall_backs_while_it_drives(start_faulty):
    scene = start_faulty()
    rig = scene.rig
    with CameraThread(rig):
        rig.drives()
        assert 'fall-backs' not in rig.say('policy', 'by onnx')[2]
        for wrong, reason in ((['onnx/fp32'], 'expected backend[:precision[@device]]'),
                              (['torch', 'torch:fp32'], 'names the same twice'),
                              (['onnx:int8'], 'int8'),
                              ('torch', "write ['torch']")):
            assert reason in rig.configure(fallback_backends=wrong)
        if not is_installed('tensorrt'):
            # One that is unavailable refuses the whole list.
            reason = rig.configure(fallback_backends=['torch', 'tensorrt'])
            assert 'needs the Python package tensorrt' in reason
        assert rig.configure(fallback_backends=['onnx:fp32@cpu', 'torch:fp32@cpu']) == ''
        assert rig.say('policy', 'by onnx')[2]['fall-backs'] == (
            'onnx:fp32@cpu ready, torch:fp32@cpu ready')
        since = time.monotonic()
        # A backend that fails is refused, while the running one drives.
        scene.make('crash 2')
        assert rig.configure(device='cpu') == 'ZeroDivisionError: unforeseen'
        scene.make('drive 3')
        reason = rig.configure(device='cpu')
        assert reason.startswith('the first cycle of onnx ')
        assert reason.endswith(' failed: the runtime has run out of memory')
        assert rig.say('policy', 'by onnx')[0] == OK
        # Two of three fail. A new first backend keeps the remaining fallback.
        scene.make('raise 0 1')
        rig.say('policy', 'driving on fallback torch:fp32@cpu because of onnx:fp32@auto: ')
        scene.clear()
        assert rig.configure(backend='onnx') == ''
        level, _, values = rig.say('policy', 'fallback onnx:fp32@cpu is unavailable (the ')
        assert (level, values['backend'], values['fall-backs']) == (
            WARN, 'onnx', 'onnx:fp32@cpu failed, torch:fp32@cpu ready')
        both = ['onnx:fp32@cpu', 'torch:fp32@cpu']
        assert rig.configure(fallback_backends=both) == ''
        assert rig.say('policy', 'by onnx')[0] == OK
        # A new list keeps the driving fallback; setting another backend replaces it.
        scene.make('raise 4 5')
        rig.say('policy', FALLEN)
        assert rig.configure(fallback_backends=['']) == ''
        assert rig.say('policy', FALLEN)[2]['fall-backs'] == 'torch:fp32@cpu drives'
        scene.clear()
        assert rig.configure(backend='torch') == ''
        level, _, values = rig.say('policy', 'by torch')
        assert (level, 'fall-backs' in values) == (OK, False)
        assert all(x or y for _, x, y in rig.new_commands(since))
    status, stderr = scene.node.finish()
    assert status == 0, stderr


@pytest.mark.skipif(is_installed('tensorrt'), reason='TensorRT is installed here')
def test_at_the_start_the_next_one_drives(start_faulty):
    scene = start_faulty(backend='tensorrt', fallback_backends="['onnx']")
    rig = scene.rig
    with CameraThread(rig):
        rig.drives()
        level, message, values = rig.say('policy', 'driving on fallback onnx:fp32@auto')
        assert (level, values['backend']) == (WARN, 'onnx')
        assert 'because of tensorrt:fp32@auto: backend tensorrt needs the Python pack' in message
        assert 'needs the Python package' in rig.configure(backend='tensorrt')
        assert rig.configure(backend='onnx') == ''
        level, _, values = rig.say('policy', 'by onnx')
        assert (level, values['fall-backs']) == (OK, 'onnx:fp32@auto ready')
    assert scene.node.finish()[0] == 0


@pytest.mark.skipif(is_installed('tensorrt'), reason='TensorRT is installed here')
@pytest.mark.parametrize(('fallbacks', 'reason'), [
    ("['onnx:int8']", 'int8'),
    ("['tensorrt:fp32@cpu']", 'tensorrt:fp32@auto: backend tensorrt needs')])
def test_at_the_start_nothing_that_is_listed_can_drive(start_faulty, fallbacks, reason):
    scene = start_faulty(backend='tensorrt', fallback_backends=fallbacks)
    status, stderr = scene.node.wait()
    assert (status, reason in stderr) == (2, True), stderr
    assert 'Traceback' not in stderr
