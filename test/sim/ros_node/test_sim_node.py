"""The simulated robot as a process of its own, over real ROS 2."""

import json
import os
from pathlib import Path
import signal
import subprocess
import sys
import time

from geometry_msgs.msg import Twist, TwistStamped
from nav_msgs.msg import Odometry
import numpy as np
import pytest
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import DurabilityPolicy, qos_profile_sensor_data, QoSProfile
from rclpy.serialization import serialize_message
from rclpy.time import Time
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import String
from std_srvs.srv import Trigger

from vla_nav_node.node.cdr import read_compressed_image, read_image
from vla_nav_node.sim.ros_node.sim_node import main
from vla_nav_node.vision import pictures

PATIENCE_S = 30.0  # for discovery and slow machines; nothing waits that long when all is well
DOMAIN = 1 + os.getpid() % 15
CONFIG = Path(__file__).parents[3] / 'config' / 'vla_nav_node.yaml'
SMALL = {'width': 160, 'height': 120, 'seed': 7, 'episodes': 'one'}  # fits every transport


def start(**parameters):
    """Start the simulated robot as a process."""
    command = [sys.executable, '-m', 'vla_nav_node.sim.ros_node.sim_node', '--ros-args']
    for name, value in parameters.items():
        command += ['-p', f'{name}:={value}']
    environment = {**os.environ, 'ROS_DOMAIN_ID': str(DOMAIN),
                   'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST'}
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)


def finish(process, number):
    """End the process with a signal; give its exit status and what it said."""
    process.send_signal(number)
    try:
        _, said = process.communicate(timeout=PATIENCE_S)
    finally:
        process.kill()
    return process.returncode, said


class Watcher:
    """A node that keeps what the robot sends."""

    def __init__(self, process, image_type=Image, twist_type=Twist):
        """Subscribe to everything that the robot offers."""
        self.process = process
        self.context = rclpy.Context()
        os.environ['ROS_AUTOMATIC_DISCOVERY_RANGE'] = 'LOCALHOST'
        rclpy.init(context=self.context, domain_id=DOMAIN)
        self.node = rclpy.create_node('watcher', context=self.context)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)
        self.images, self.odometry, self.episodes = [], [], []
        topic = 'image' if image_type is Image else 'image/compressed'
        self._subscribe(image_type, topic, self.images, qos_profile_sensor_data)
        self._subscribe(Odometry, 'odom', self.odometry, 10)
        self._subscribe(String, 'sim_robot/episode', self.episodes, QoSProfile(
            depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL))
        self.twist_type = twist_type
        self.commands = self.node.create_publisher(twist_type, 'cmd_vel', 1)
        self.resets = self.node.create_client(Trigger, 'sim_robot/reset')

    def _subscribe(self, kind, topic, kept, qos):
        self.node.create_subscription(kind, topic, kept.append, qos)

    def until(self, condition, each=lambda: None):
        """Serve ROS until `condition` holds, doing `each` a hundred times a second."""
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < deadline, 'it did not happen'
            assert self.process.poll() is None, 'the simulated robot has ended'
            each()
            self.executor.spin_once(timeout_sec=0.01)

    def command(self, linear_x):
        """Send one command."""
        twist = Twist()
        twist.linear.x = linear_x
        self.commands.publish(twist if self.twist_type is Twist else TwistStamped(twist=twist))

    def reset(self):
        """Ask for the next episode and give the answer."""
        self.until(self.resets.service_is_ready)
        answer = self.resets.call_async(Trigger.Request())
        self.until(answer.done)
        return answer.result()

    @property
    def speed(self):
        """Return the newest speed, m/s."""
        return float(np.hypot(self.odometry[-1].twist.twist.linear.x,
                              self.odometry[-1].twist.twist.linear.y))

    def close(self):
        """Leave the graph."""
        self.executor.shutdown()
        self.node.destroy_node()
        self.context.try_shutdown()


@pytest.fixture(scope='module')
def watcher():
    """Start a robot with a small camera, as Twist and Image; it has to end well too."""
    process = start(**SMALL, frame_rate='20.0')
    watcher = Watcher(process)
    yield watcher
    watcher.close()
    status, said = finish(process, signal.SIGINT)
    assert status == 0, said
    assert 'Traceback' not in said


def stamp_of(message):
    """Return a message's stamp in seconds."""
    return Time.from_msg(message.header.stamp).nanoseconds / 1e9


def test_frames_arrive(watcher):
    """Pictures come at the asked rate, stamped when they were taken, and are alive."""
    watcher.until(lambda: len(watcher.images) >= 30)
    first, last = watcher.images[-2:]
    assert (last.encoding, last.width, last.height, last.step) == ('rgb8', 160, 120, 480)
    assert last.header.frame_id == 'camera_optical_frame'
    stamps = np.array([stamp_of(message) for message in watcher.images])
    gaps = np.diff(stamps)
    assert gaps.min() > 0.0
    assert 0.02 < np.median(gaps) < 0.2  # 0.05 were asked for
    assert 0.0 <= watcher.node.get_clock().now().nanoseconds / 1e9 - stamps[-1] < PATIENCE_S
    decoded = [pictures.decode(read_image(serialize_message(message), 0))
               for message in (first, last)]
    assert decoded[0].std() > 5.0  # not one colour
    assert not np.array_equal(*decoded)  # the sensor's noise: a frozen camera looks different


def test_it_drives_and_stops_by_itself(watcher):
    """A command moves it forward; without more of them it stands still again."""
    watcher.until(lambda: watcher.odometry)
    begin = watcher.odometry[-1].pose.pose.position
    assert watcher.odometry[-1].header.frame_id == 'odom'
    assert watcher.odometry[-1].child_frame_id == 'base_link'
    assert watcher.speed < 0.01
    watcher.until(lambda: watcher.speed > 0.15, lambda: watcher.command(0.2))
    assert watcher.odometry[-1].twist.twist.linear.x > 0.15
    watcher.until(lambda: watcher.speed < 0.005)
    end = watcher.odometry[-1].pose.pose.position
    assert np.hypot(end.x - begin.x, end.y - begin.y) > 0.05


def test_a_command_that_is_not_finite_does_nothing(watcher):
    """What comes from a broken controller must not reach the physics."""
    watcher.until(lambda: watcher.odometry)
    seen = len(watcher.odometry)
    watcher.until(lambda: len(watcher.odometry) > seen + 10, lambda: watcher.command(float('nan')))
    assert watcher.speed < 0.01


def test_reset_starts_the_next_episode(watcher):
    """The seed goes up by one, the answer says so, and the robot is at a new start."""
    watcher.until(lambda: watcher.episodes)
    before = json.loads(watcher.episodes[-1].data)
    answer = watcher.reset()
    watcher.until(lambda: json.loads(watcher.episodes[-1].data)['seed'] == before['seed'] + 1)
    after = json.loads(watcher.episodes[-1].data)
    assert answer.success
    assert answer.message == f'seed {after["seed"]}, scenario {after["scenario"]}'
    assert after['outcome'] == '' and after['time'] < before['time']
    assert set(after) == {'seed', 'scenario', 'time', 'outcome', 'distance', 'x', 'y', 'yaw'}


def test_the_other_messages():
    """Compressed and lossy pictures, stamped commands, an episode that ends; SIGTERM ends it."""
    process = start(**SMALL, frame_rate='20.0', compressed='true', frame_loss='0.5',
                    enable_stamped_cmd_vel='true', camera_reliable='true', time_limit='2.0')
    watcher = Watcher(process, CompressedImage, TwistStamped)
    try:
        watcher.until(lambda: len(watcher.images) >= 5)
        # What was sent once all were connected: about half of the frames that odometry tells of.
        seen_frames, seen_images = len(watcher.odometry), len(watcher.images)
        watcher.until(lambda: len(watcher.odometry) >= seen_frames + 40,
                      lambda: watcher.command(0.3))
        share = (len(watcher.images) - seen_images) / (len(watcher.odometry) - seen_frames)
        assert 0.1 < share < 0.9
        picture = pictures.decode(read_compressed_image(serialize_message(watcher.images[-1]), 0))
        assert picture.shape == (120, 160, 3) and picture.std() > 5.0
        watcher.until(lambda: json.loads(watcher.episodes[-1].data)['outcome'] == 'timeout')
        watcher.until(lambda: watcher.speed < 0.01, lambda: watcher.command(0.3))
        assert watcher.reset().message.startswith('seed 8,')
        watcher.until(lambda: watcher.speed > 0.1, lambda: watcher.command(0.3))
    finally:
        watcher.close()
        status, said = finish(process, signal.SIGTERM)
    assert status == 0, said
    assert 'Traceback' not in said
    assert ('timeout: seed 7, scenario' in said and 'to start the next episode: ros2 service call '
            '/sim_robot/reset std_srvs/srv/Trigger' in said)


def test_episodes_go_on_by_themselves():
    """Each end starts the next seed, and the node that drives forgets the episode before."""
    process = start(**{**SMALL, 'episodes': 'loop'}, frame_rate='10.0', time_limit='0.5')
    watcher = Watcher(process)
    forgotten = []

    def forget(_, response):
        forgotten.append(json.loads(watcher.episodes[-1].data)['seed'])
        return response
    watcher.node.create_service(Trigger, 'vla_nav_node/reset', forget)
    try:
        watcher.until(lambda: watcher.episodes
                      and json.loads(watcher.episodes[-1].data)['seed'] >= 9)
        watcher.until(lambda: len(forgotten) > 1)
    finally:
        watcher.close()
        status, said = finish(process, signal.SIGINT)
    assert status == 0, said
    assert 'the next episode starts in 2 s' in said and 'a new episode: seed 9' in said


@pytest.mark.parametrize('parameters,found', [
    ({'frame_rate': '30'}, "'frame_rate' to '30'"),
    ({'width': '3'}, 'Parameter width out of range'),
    ({'episodes': 'two'}, "episodes: 'two'; expected loop or one"),
    ({'scenario': 'nowhere'}, "no scenario 'nowhere'"),
])
def test_bad_parameters_are_refused(parameters, found):
    """One line says what was found and what is expected; the exit status is 2."""
    process = start(**{**SMALL, **parameters})
    _, said = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 2
    assert found in said and 'expected' in said
    assert len(said.strip().splitlines()) == 1, said


@pytest.mark.parametrize(('arguments', 'found'), [
    (['--ros-args', '-p', 'frame_rat:=20.0'], 'write frame_rate instead of frame_rat'),
    (['--ros-args', '-p', 'backend:=torch'], 'has no parameter backend'),  # the other node's
    (['seed:=7'], "unknown arguments: 'seed:=7'"), (['--version'], 'sim_node '),
    (['--ros-args', '--params-file', str(CONFIG), '-p', 'width:=3'], 'width out of range')])
def test_what_reaches_nobody_is_refused_and_the_other_nodes_file_is_not(arguments, found, capfd):
    if arguments == ['--version']:
        with pytest.raises(SystemExit) as end:
            main(arguments)
        assert end.value.code == 0
    else:
        assert main(arguments) == 2
    assert found in ''.join(capfd.readouterr())
