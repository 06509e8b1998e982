"""The launch file, really launched if launch_ros and a colcon build are available."""

import os
from pathlib import Path
import re
import shutil
import signal
import subprocess
import time

import pytest
import tiny

ROOT = Path(__file__).parents[2]
START_S = 60.0

pytest.importorskip('launch_ros', reason='launch_ros is not installed: no ROS 2 with launch here')
index = pytest.importorskip('ament_index_python', reason='ament_index_python is not installed')


def find_install() -> str:
    """Return the prefix of a colcon build, or '': ros2 launch needs lib/vla_nav_node."""
    try:
        prefix = index.get_package_prefix('vla_nav_node')
    except LookupError:
        return ''
    return prefix if Path(prefix, 'lib', 'vla_nav_node', 'vla_nav_node').exists() else ''


pytestmark = [
    pytest.mark.ros2cli,
    pytest.mark.skipif(not shutil.which('ros2'), reason='the ros2 command is not installed'),
    pytest.mark.skipif(not find_install(), reason='vla_nav_node is not installed by colcon: '
                                                  'colcon build, then source install/setup.bash')]


class Launched:
    """`ros2 launch` with its output in a file, ended as by Ctrl-C."""

    def __init__(self, log: Path, *arguments: str) -> None:
        """Start it."""
        self.log = log
        with log.open('wb') as output:
            self._process = subprocess.Popen(
                ['ros2', 'launch', 'vla_nav_node', 'nav.launch.py', *arguments],
                stdout=output, stderr=subprocess.STDOUT, start_new_session=True)

    def __enter__(self) -> 'Launched':
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Interrupt it and wait for its end."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGINT)
        try:
            self._process.wait(20.0)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            raise

    def wait_for(self, pattern: str, seconds: float = START_S) -> str:
        """Return the output once it contains `pattern`."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            text = self.log.read_text(errors='replace')
            if re.search(pattern, text):
                return text
            time.sleep(0.1)
        raise AssertionError(f'no {pattern!r} within {seconds} s in:\n{text}')

    def wait_for_end(self, seconds: float = START_S) -> None:
        """Wait until it has ended by itself."""
        self._process.wait(seconds)


def ros2(*arguments: str, seconds: float = 30.0) -> str:
    """Return the output of a ros2 command, errors included."""
    done = subprocess.run(['ros2', *arguments], capture_output=True, text=True, timeout=seconds,
                          check=False)
    return done.stdout + done.stderr


def ros2_shows(pattern: str, *arguments: str, seconds: float = START_S) -> str:
    """Return the output once it has `pattern`: a new node takes time to be discovered."""
    until = time.monotonic() + seconds
    while True:
        try:
            output = ros2(*arguments)
        except subprocess.TimeoutExpired as error:  # the node may not have been there yet
            output = str(error)
        if re.search(pattern, output):
            return output
        assert time.monotonic() < until, f'no {pattern!r} within {seconds} s in:\n{output}'


@pytest.fixture(scope='module')
def model(tmp_path_factory):
    """Write a tiny bundle."""
    return tiny.write_tiny(tmp_path_factory.mktemp('launch') / 'tiny').directory


@pytest.fixture(scope='module', autouse=True)
def no_daemon_left():
    """End the daemon that the ros2 command leaves behind in this ROS domain."""
    yield
    ros2('daemon', 'stop')


def test_every_argument_is_explained():
    text = ros2('launch', 'vla_nav_node', 'nav.launch.py', '--show-args')
    blocks = re.findall(r"^    '(\w+)':\n        (.+)\n", text, re.MULTILINE)
    assert {'sim', 'model', 'backend', 'precision', 'device', 'control_period_ms', 'params_file',
            'namespace', 'image_topic', 'cmd_vel_topic', 'image_transport', 'respawn', 'seed',
            'scenario', 'frame_rate'} == {name for name, _ in blocks}
    assert all(len(text) > 15 and 'no description' not in text.lower() for _, text in blocks)


def test_robot_and_node_drive_and_obey_the_command_line(tmp_path, model):
    with Launched(tmp_path / 'log', 'sim:=true', f'model:={model}', 'control_period_ms:=10',
                  'seed:=7', 'frame_rate:=20') as launched:
        launched.wait_for('driving by onnx')
        launched.wait_for('640x480 at 20 Hz; seed 7')
        ros2_shows('label: cycle', 'topic', 'echo', '--once', '/vla_nav_node/latency')
        ros2_shows('linear', 'topic', 'echo', '--once', '/cmd_vel')
        ros2_shows('Double value is: 10.0', 'param', 'get', '/vla_nav_node', 'control_period_ms')
        described = ros2_shows('Runtime that runs', 'param', 'describe', '/vla_nav_node',
                               'backend')
        assert 'onnx' in described
        assert 'Set parameter successful' in ros2('param', 'set', '/vla_nav_node', 'backend',
                                                  'torch')
        assert 'torch' in ros2('param', 'get', '/vla_nav_node', 'backend')
        assert 'failed' in ros2('param', 'set', '/vla_nav_node', 'backend', 'abacus').lower()
    assert 'process has finished cleanly' in (tmp_path / 'log').read_text()


def test_profile_reaches_every_process(tmp_path, model):
    with Launched(tmp_path / 'log', 'sim:=true', f'model:={model}') as launched:
        text = launched.wait_for(r'(?s)\[vla_nav_node-1\].*\[sim_node-2\]: process started')
        numbers = re.findall(r'process started with pid \[(\d+)\]', text)
        assert len(numbers) == 2
        for number in numbers:
            variables = Path('/proc', number, 'environ').read_bytes().split(b'\0')
            profile = next(line for line in variables if line.startswith(b'FASTRTPS_DEFAULT'))
            assert Path(profile.decode().partition('=')[2]).name == 'fastdds.xml'
        launched.wait_for('driving by onnx')


def test_names_for_a_real_robot(tmp_path, model):
    file = tmp_path / 'own.yaml'
    file.write_text('/**:\n  ros__parameters:\n    image_timeout: 0.5\n    backend: torch\n')
    with Launched(tmp_path / 'log', 'namespace:=robot1', 'image_topic:=/front/image_raw',
                  'cmd_vel_topic:=base/cmd_vel', f'params_file:={file}', f'model:={model}',
                  'backend:=onnx') as launched:
        text = launched.wait_for('driving by')
        assert 'driving by onnx' in text and '/front/image_raw' in text
        ros2_shows('0.5', 'param', 'get', '/robot1/vla_nav_node', 'image_timeout')
        info = ros2_shows('/robot1/base/cmd_vel', 'node', 'info', '/robot1/vla_nav_node')
        assert '/robot1/vla_nav_node/latency' in info


def test_a_refusal_ends_the_launch_with_the_reason(tmp_path):
    with Launched(tmp_path / 'log', 'sim:=true', 'model:=/nowhere') as launched:
        launched.wait_for_end()  # ros2 launch exits with 0 here: it shut down cleanly
        assert 'no bundle at /nowhere' in launched.wait_for('was required')
