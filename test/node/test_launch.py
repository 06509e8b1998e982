"""The launch file, really launched if launch_ros and a colcon build are available."""

import ast
from functools import partial
import json
import os
from pathlib import Path
import re
import runpy
import shutil
import signal
import subprocess
import time
from typing import Callable, Dict, Optional, Set

from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import Twist
import pytest
import rclpy
from rclpy.executors import SingleThreadedExecutor
import tiny
import yaml

ROOT = Path(__file__).parents[2]
START_S = 60.0
ROBOTS = ('robot1', 'robot2')
STATUSES = ('camera', 'policy', 'latency', 'driving', 'graph')

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

    def __init__(self, log: Path, *arguments: str, file: str = 'nav.launch.py') -> None:
        """Start it."""
        self.log = log
        with log.open('wb') as output:
            self._process = subprocess.Popen(
                ['ros2', 'launch', 'vla_nav_node', file, *arguments],
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

    def wait_for_end(self, seconds: float = START_S) -> int:
        """Wait until it has ended by itself and return its exit status."""
        return self._process.wait(seconds)

    def kill(self, process: str, number: int = 1) -> None:
        """Kill a process by launch's name for it, once it was started `number` times."""
        started = re.escape(f'[{process}]: process started with pid [') + r'(\d+)'
        text = self.wait_for(f'(?s)({started}.*){{{number}}}')
        os.kill(int(re.findall(started, text)[number - 1]), signal.SIGKILL)

    @property
    def status(self) -> Optional[int]:
        """Return the exit status, None while it runs."""
        return self._process.poll()


class Listener:
    """A node that keeps what two robots send."""

    def __init__(self) -> None:
        """Subscribe."""
        self._context = rclpy.Context()
        rclpy.init(context=self._context)
        self._node = rclpy.create_node('listener', context=self._context)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self._node)
        self.statuses: Set[str] = set()
        self.driving: Dict[str, int] = {}  # commands that are not zero, by robot
        self._node.create_subscription(DiagnosticArray, '/diagnostics', self._on_diagnostics, 10)
        for robot in ROBOTS:
            self.driving[robot] = 0
            self._node.create_subscription(Twist, f'/{robot}/cmd_vel',
                                           partial(self._on_command, robot), 10)

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        self.statuses.update(status.name for status in message.status)

    def _on_command(self, robot: str, message: Twist) -> None:
        self.driving[robot] += bool(message.linear.x or message.linear.y)

    def until(self, condition: Callable[[], object], seconds: float = START_S) -> None:
        """Listen until `condition()` is true."""
        until = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < until, (self.statuses, self.driving)
            self._executor.spin_once(timeout_sec=0.1)

    def topics(self) -> Set[str]:
        """Return the topics of the graph."""
        return {name for name, _ in self._node.get_topic_names_and_types()}

    def close(self) -> None:
        """Leave the graph."""
        self._executor.shutdown()
        self._node.destroy_node()
        self._context.try_shutdown()


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
            'scenario', 'frame_rate', 'episodes', 'required', 'respawn_max_retries', 'image_qos',
            'image_rotation', 'blank_guard', 'max_linear_x', 'max_linear_y', 'fallback_backends',
            'hardware_id', 'autostart', 'enable_stamped_cmd_vel', 'use_sim_time',
            } == {name for name, _ in blocks}
    assert all(len(text) > 15 and 'no description' not in text.lower() for _, text in blocks)


def test_robot_and_node_drive_and_obey_the_command_line(tmp_path, model):
    with Launched(tmp_path / 'log', 'sim:=true', f'model:={model}', 'control_period_ms:=10',
                  'seed:=7', 'frame_rate:=20') as launched:
        launched.wait_for('ready: onnx')
        launched.wait_for('640x480 at 20 Hz; seed 7')
        ros2_shows('label: cycle', 'topic', 'echo', '--once', '/vla_nav_node/latency')
        ros2_shows('linear', 'topic', 'echo', '--once', '/cmd_vel')
        ros2_shows('Double value is: 10.0', 'param', 'get', '/vla_nav_node', 'control_period_ms')
        described = ros2_shows('Backend that runs', 'param', 'describe', '/vla_nav_node',
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
        launched.wait_for('ready: onnx')


def test_names_for_a_real_robot(tmp_path, model):
    file = tmp_path / 'own.yaml'
    file.write_text('/**:\n  ros__parameters:\n    image_timeout: 0.5\n    backend: torch\n')
    with Launched(tmp_path / 'log', 'namespace:=robot1', 'image_topic:=/front/image_raw',
                  'cmd_vel_topic:=base/cmd_vel', f'params_file:={file}', f'model:={model}',
                  'backend:=onnx') as launched:
        text = launched.wait_for('ready: ')
        assert 'ready: onnx' in text and '/front/image_raw' in text
        ros2_shows('0.5', 'param', 'get', '/robot1/vla_nav_node', 'image_timeout')
        info = ros2_shows('/robot1/base/cmd_vel', 'node', 'info', '/robot1/vla_nav_node')
        assert '/robot1/vla_nav_node/latency' in info


def test_arguments_reach_the_node_with_their_types(tmp_path, model):
    values = {'autostart': False, 'use_sim_time': True, 'image_qos': 'reliable',
              'enable_stamped_cmd_vel': True, 'max_linear_x': 0.5, 'max_linear_y': 0.25,
              'image_rotation': 180, 'blank_guard': False, 'hardware_id': '07',
              'fallback_backends': ['onnx:fp32@cpu']}
    with Launched(tmp_path / 'log', f'model:={model}',
                  *(f'{name}:={value}' for name, value in values.items())):
        ros2_shows('unconfigured', 'lifecycle', 'get', '/vla_nav_node')
        shown = ros2_shows('use_sim_time', 'param', 'dump', '/vla_nav_node')
        found = yaml.safe_load(shown)['/vla_nav_node']['ros__parameters']
        assert {name: found[name] for name in values} == values


@pytest.mark.parametrize(('argument', 'reason'), [
    ('params_file:=/nowhere.yaml', 'params_file is /nowhere.yaml, which is not a file; expected'),
    ('required:=maybe', "required is 'maybe'; expected true or false"),
    ('image_rotation:=upright', "image_rotation is 'upright'; expected an integer"),
    ('fallback_backends:=torch', "fallback_backends is 'torch'; expected a list such as")])
def test_bad_arguments_are_refused_before_anything_starts(tmp_path, argument, reason):
    with Launched(tmp_path / 'log', argument) as launched:
        assert launched.wait_for_end() == 1
        text = launched.wait_for(re.escape(reason))
        assert 'process started' not in text


@pytest.mark.parametrize('arguments', [
    ['sim:=true'], ['respawn:=true'], ['respawn:=true', 'required:=false']])
def test_a_refusal_ends_the_launch_with_the_reason(tmp_path, arguments):
    with Launched(tmp_path / 'log', 'model:=/nowhere', *arguments) as launched:
        assert launched.wait_for_end() == 1
        text = launched.wait_for('vla_nav_node-1 ended with status 2')
        assert 'no bundle at /nowhere' in text
        assert text.count('[vla_nav_node-1]: process started') == 1


def test_respawn_has_an_end(tmp_path, model):
    with Launched(tmp_path / 'log', 'respawn:=true', 'respawn_max_retries:=1',
                  f'model:={model}') as launched:
        launched.kill('vla_nav_node-1')
        launched.wait_for(r'vla_nav_node-1 ended with status -9: restart 1 in 2 s')
        launched.wait_for('ready: onnx')
        launched.kill('vla_nav_node-1', number=2)
        assert launched.wait_for_end() == 1
        launched.wait_for('ended with status -9 after 1 restarts: ending the launch')


def test_a_long_run_starts_a_new_count_of_restarts():
    restarts = runpy.run_path(str(ROOT / 'launch' / 'nav.launch.py'))['Restarts'](2)
    assert [restarts.count('node', now) for now in (5.0, 10.0, 611.0, 620.0, 630.0)] == [
        1, 2, 1, 2, 0]
    assert restarts.count('robot', 630.0) == 1


def shown_by(perspective: str) -> Set[str]:
    """Return the fields that the plots of a perspective show."""
    plugins = json.loads(perspective)['groups']['pluginmanager']['groups'].values()
    found = [ast.literal_eval(plugin['groups']['plugin']['keys']['topics']['repr'])
             for plugin in plugins]
    return {field for fields in found
            for field in ([fields] if isinstance(fields, str) else fields)}


def test_two_robots_in_one_launch(tmp_path, model):
    file = tmp_path / 'both.yaml'
    file.write_text(yaml.safe_dump({
        '/**': {'ros__parameters': {'image_timeout': 2.0}},  # software renders slowly
        **{f'/{robot}/sim_robot': {'ros__parameters': {'width': 160, 'height': 120}}
           for robot in ROBOTS}}))
    with Launched(tmp_path / 'log', 'sim:=true', f'model:={model}', f'params_file:={file}',
                  'frame_rate:=10', file='two_robots.launch.py') as launched:
        listener = Listener()
        try:
            listener.until(lambda: all(listener.driving.values()) and len(listener.statuses) > 9)
            assert listener.statuses == {
                f'{robot}/vla_nav_node: {status}' for robot in ROBOTS for status in STATUSES}
            command, = re.findall(r'^sed .* > robot1.perspective$',
                                  (ROOT / 'docs' / 'fleet.md').read_text(), re.MULTILINE)
            subprocess.run(command, shell=True, cwd=tmp_path, check=True)
            fields = shown_by((tmp_path / 'robot1.perspective').read_text())
            topics = {field.rpartition('/')[0] for field in fields}
            assert topics and topics <= listener.topics()

            launched.kill('vla_nav_node-1')
            text = launched.wait_for(r'\[sim_node-2\]: process has')
            assert 'ended with status -9: ending the processes of this robot' in text
            before = listener.driving['robot2']
            listener.until(lambda: listener.driving['robot2'] > before + 50)
            assert launched.status is None
            assert 'process has' not in ''.join(re.findall(r'\[\w+-[34]\]: .*', text))
        finally:
            listener.close()
    assert launched.status == 1  # robot1's node was killed
