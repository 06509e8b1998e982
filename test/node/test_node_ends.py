"""How the node ends, and when it refuses to start."""

import os
from pathlib import Path
import signal
import sys
import time

import pytest
from rig import CameraThread, NODE, NodeProcess, Rig
from std_srvs.srv import SetBool
from tiny import write_tiny

from vla_nav_node.node.main import main

FILE = Path(__file__).parents[2] / 'config' / 'vla_nav_node.yaml'


@pytest.fixture
def rig():
    """Join the graph."""
    rig = Rig()
    yield rig
    rig.close()


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_it_with_a_last_zero(rig, bundle, number):
    node = NodeProcess(model=bundle.directory)
    with CameraThread(rig):
        rig.drives()
        sent = time.monotonic()
        status, stderr = node.finish(number)
        ended = time.monotonic()
    assert status == 0, stderr
    assert f'stopped the robot: {signal.Signals(number).name}' in stderr
    assert 'Traceback' not in stderr
    assert ended - sent < 5.0
    rig.until(lambda: rig.commands[-1][1:] == (0.0, 0.0), 'the last zero')
    rig.say('driving', f'the node ends: {signal.Signals(number).name}', since=sent)
    assert [command[1:] for command in rig.commands[-3:]] == [(0.0, 0.0)] * 3


@pytest.mark.parametrize('swallowed', [
    'return sound(path)', 'raise ImportError("initialization failed")'])
def test_a_signal_during_the_start_ends_it_though_a_library_swallows_it(swallowed):
    code = f"""if True:
        import os, signal
        from vla_nav_node.node import main as node
        sound = node.load_bundle
        def load(path):
            try:
                os.kill(os.getpid(), signal.SIGTERM)
            except KeyboardInterrupt:
                {swallowed}
        node.load_bundle = load
        raise SystemExit(node.main())"""
    status, stderr = NodeProcess(command=[sys.executable, '-c', code]).wait()
    assert (status, stderr) == (0, '')


def test_it_can_be_disabled_and_ended_during_a_swap(rig, bundle):
    node = NodeProcess(model=bundle.directory)
    with CameraThread(rig):
        rig.drives()
        answer = rig.begin_to_configure(backend='torch')
        assert rig.call(SetBool, data=False).success
        during = not answer.done()
        status, stderr = node.finish()
    assert status == 0, stderr
    assert during, 'the swap was over before the robot was disabled: nothing was tested'
    rig.until(lambda: rig.commands[-1][1:] == (0.0, 0.0), 'the last zero')


@pytest.mark.parametrize(('parameters', 'reason'), [
    ({'backend': 'openvino'}, "backend is 'openvino'; expected one of torch, onnx, tensorrt"),
    ({'control_period_ms': -1.0}, 'control_period_ms'),
    ({'control_period_ms': 10}, 'fix: write 10.0'),
    ({'max_linear_x': 2.0}, 'max_linear_x'),
    ({'image_transport': 'theora'}, "image_transport is 'theora'; expected one of raw, "),
    ({'precision': 'int8'}, 'has no policy.int8.onnx'),
    ({'model': '/nowhere'}, 'no bundle at /nowhere'),
    ({'device': 'cuda'}, 'CUDA'),
], ids=lambda value: '-'.join(value) if isinstance(value, dict) else '')
def test_a_bad_parameter_is_one_line_and_status_2(bundle, parameters, reason):
    if 'device' in parameters and os.path.exists('/dev/nvidia0'):
        pytest.skip('this machine has a GPU')
    status, stderr = NodeProcess(**{'model': bundle.directory, **parameters}).wait()
    assert status == 2, stderr
    line, = stderr.strip().splitlines()
    assert line.startswith('vla_nav_node: ')
    assert reason in line


@pytest.mark.parametrize(('arguments', 'reason'), [
    (['--ros-args', '-p', 'max_linar_x:=0.1'], 'write max_linear_x instead of max_linar_x'),
    (['backend:=torch'], "unknown arguments: 'backend:=torch'; fix: pass parameters as --ros"),
    (['--ros-args', '-r', 'img:=/camera'], 'write image instead of img'),
], ids=lambda value: value[-1] if isinstance(value, list) else '')
def test_a_setting_without_effect_is_one_line_and_status_2(arguments, reason):
    status, stderr = NodeProcess(command=[*NODE, *arguments]).wait()
    assert status == 2, stderr
    line, = stderr.strip().splitlines()
    assert line.startswith('vla_nav_node: ')
    assert reason in line


def test_a_profile_that_does_not_exist_is_refused():
    node = NodeProcess(env={'FASTRTPS_DEFAULT_PROFILES_FILE': '/nowhere.xml'})
    status, stderr = node.wait()
    assert status == 2
    assert 'is /nowhere.xml: No such file or directory' in stderr


@pytest.mark.parametrize('asked', ['--help', '--version'])
def test_help_and_version_drive_nothing(asked, capfd):
    with pytest.raises(SystemExit) as end:
        main([asked])
    assert end.value.code == 0
    output, errors = capfd.readouterr()
    assert ('max_linear_x' if asked == '--help' else 'vla_nav_node ') in output
    assert errors == ''


def test_an_altered_bundle_is_refused(tmp_path):
    bundle = write_tiny(tmp_path / 'tiny')
    path = bundle.file('policy.fp32.onnx')
    path.write_bytes(path.read_bytes()[:-1] + b'x')
    status, stderr = NodeProcess(model=bundle.directory).wait()
    assert status == 2
    assert 'policy.fp32.onnx is altered' in stderr
    path.unlink()
    status, stderr = NodeProcess(model=bundle.directory).wait()
    assert status == 2
    assert 'policy.fp32.onnx is missing' in stderr


def test_it_runs_as_it_is_remapped(bundle):
    remaps = ('__ns:=/robot', '__node:=pilot', 'cmd_vel:=/cmd_vel', 'image:=/image')
    node = NodeProcess(model=bundle.directory, command=[
        *NODE, '--ros-args', '--params-file', str(FILE),
        *(part for remap in remaps for part in ('-r', remap)), '--'])
    rig = Rig(name='robot/pilot')
    try:
        with CameraThread(rig):
            rig.drives()
            rig.say('driving', 'driving')
        assert rig.configure(image_timeout=0.5) == ''
        assert ('_pilot_camera', '/robot') in rig.node.get_node_names_and_namespaces()
        assert set(rig.hardware) == {f'robot/pilot: {name}' for name in (
            'camera', 'policy', 'latency', 'driving', 'graph')}
        assert set(rig.hardware.values()) == {'robot/pilot'}
    finally:
        rig.close()
        assert node.finish()[0] == 0
