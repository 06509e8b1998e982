"""How the node ends, and when it refuses to start."""

import os
from pathlib import Path
import random
import signal
import subprocess
import sys
import time

import pytest
from rig import CameraThread, environment, NODE, NodeProcess, PATIENCE_S, Rig
from std_srvs.srv import SetBool
from tiny import write_tiny

FILE = Path(__file__).parents[2] / 'config' / 'vla_nav_node.yaml'
INTERRUPTS = 12
LONG_START_S = 2.0  # most of the interrupts come before a start has ended


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
        from vla_nav_node.node import main, managed_node as node
        sound = node.load_bundle
        def load(path):
            try:
                os.kill(os.getpid(), signal.SIGTERM)
            except KeyboardInterrupt:
                {swallowed}
        node.load_bundle = load
        raise SystemExit(main.main())"""
    status, stderr = NodeProcess(command=[sys.executable, '-c', code]).wait()
    assert (status, stderr) == (0, '')


def takes_signals(pid):
    """Return whether a process handles SIGTERM, which Python leaves to the program."""
    for line in Path(f'/proc/{pid}/status').read_text().splitlines():
        if line.startswith('SigCgt:'):
            return bool(int(line.split()[1], 16) >> (signal.SIGTERM - 1) & 1)
    return False


@pytest.mark.parametrize('use_sim_time', ['false', 'true'])
def test_it_can_be_interrupted_at_any_moment_of_its_start(use_sim_time):
    moments = random.Random(use_sim_time)
    for after_s in sorted(moments.uniform(0.0, LONG_START_S) for _ in range(INTERRUPTS)):
        node = NodeProcess(use_sim_time=use_sim_time)
        until = time.monotonic() + PATIENCE_S
        while not takes_signals(node.process.pid):  # up to here Python itself starts
            assert time.monotonic() < until, 'it does not take signals'
        time.sleep(after_s)
        status, stderr = node.finish(signal.SIGINT)
        assert (status, 'Traceback' in stderr) == (0, False), f'after {after_s:.3f} s: {stderr}'


def test_it_takes_signals_before_it_imports_anything_heavy():
    found = subprocess.run(
        [sys.executable, '-c', 'import sys, vla_nav_node.node.main; print(*sys.modules)'],
        capture_output=True, text=True, check=True, env=environment()).stdout.split()
    assert 'vla_nav_node.system.shutdown_signals' in found
    assert not {'rclpy', 'numpy', 'yaml', 'vla_nav_node.node.managed_node'} & set(found)


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
def test_help_and_version_drive_nothing(asked):
    ended = subprocess.run([*NODE, asked], capture_output=True, text=True, check=False,
                           env=environment())
    assert ('max_linear_x' if asked == '--help' else 'vla_nav_node ') in ended.stdout
    assert (ended.returncode, ended.stderr) == (0, '')


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
