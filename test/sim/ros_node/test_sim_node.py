"""The simulated robot as a process, over real ROS 2."""

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
from vla_nav_node.vision import image_encodings

PATIENCE_S = 30.0  # for discovery and slow machines; nothing waits that long when all is well
DOMAIN = 1 + os.getpid() % 15
SECOND_DOMAIN = DOMAIN + 15  # of a second robot: on one graph both would serve the same reset
CONFIG = Path(__file__).parents[3] / 'config' / 'vla_nav_node.yaml'
SMALL = {'width': 160, 'height': 120, 'seed': 7, 'episodes': 'one'}  # fits every transport


def start(domain=DOMAIN, **parameters):
    """Start the simulated robot as a process."""
    command = [sys.executable, '-m', 'vla_nav_node.sim.ros_node.sim_node', '--ros-args']
    for name, value in parameters.items():
        command += ['-p', f'{name}:={value}']
    environment = {**os.environ, 'ROS_DOMAIN_ID': str(domain),
                   'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST'}
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)


def finish(process, number):
    """End the process with a signal; return its exit status and stderr."""
    process.send_signal(number)
    try:
        _, stderr = process.communicate(timeout=PATIENCE_S)
    finally:
        process.kill()
    return process.returncode, stderr


class Client:
    """A node that keeps the robot's messages, commands it and resets it."""

    def __init__(self, process, image_type=Image, twist_type=Twist, domain=DOMAIN):
        """Subscribe to all of the robot's topics."""
        self.process = process
        self.context = rclpy.Context()
        os.environ['ROS_AUTOMATIC_DISCOVERY_RANGE'] = 'LOCALHOST'
        rclpy.init(context=self.context, domain_id=domain)
        self.node = rclpy.create_node('client', context=self.context)
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
        """Request the next episode and return the response."""
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
def client():
    """Start a robot with a small camera, Twist and Image; it must exit with 0."""
    process = start(**SMALL, frame_rate='20.0')
    client = Client(process)
    yield client
    client.close()
    status, stderr = finish(process, signal.SIGINT)
    assert status == 0, stderr
    assert 'Traceback' not in stderr


def stamp_of(message):
    """Return a message's stamp in seconds."""
    return Time.from_msg(message.header.stamp).nanoseconds / 1e9


def test_frames_arrive(client):
    """Images come at the rate that was set, stamped when taken, and differ."""
    client.until(lambda: len(client.images) >= 30)
    last = client.images[-1]
    assert (last.encoding, last.width, last.height, last.step) == ('rgb8', 160, 120, 480)
    assert last.header.frame_id == 'camera_optical_frame'
    stamps = np.array([stamp_of(message) for message in client.images])
    gaps = np.diff(stamps)
    assert gaps.min() > 0.0
    assert 0.02 < np.median(gaps) < 0.2  # 0.05 is set
    assert 0.0 <= client.node.get_clock().now().nanoseconds / 1e9 - stamps[-1] < PATIENCE_S
    decoded = [image_encodings.decode(read_image(serialize_message(message), 0))
               for message in client.images[-5:]]
    assert decoded[0].std() > 5.0  # not one colour
    # The sensor's noise, or the camera would pass for a frozen one. Two frames in a row are equal
    # once in 64 times.
    assert any(not np.array_equal(decoded[0], other) for other in decoded[1:])


def test_it_drives_and_stops_by_itself(client):
    """A command moves it forward; without further ones it stops."""
    client.until(lambda: client.odometry)
    begin = client.odometry[-1].pose.pose.position
    assert client.odometry[-1].header.frame_id == 'odom'
    assert client.odometry[-1].child_frame_id == 'base_link'
    assert client.speed < 0.01
    client.until(lambda: client.speed > 0.15, lambda: client.command(0.2))
    assert client.odometry[-1].twist.twist.linear.x > 0.15
    client.until(lambda: client.speed < 0.005)
    end = client.odometry[-1].pose.pose.position
    assert np.hypot(end.x - begin.x, end.y - begin.y) > 0.05


def test_a_command_that_is_not_finite_does_nothing(client):
    """What a broken controller sends must not reach the physics."""
    client.until(lambda: client.odometry)
    seen = len(client.odometry)
    client.until(lambda: len(client.odometry) > seen + 10, lambda: client.command(float('nan')))
    assert client.speed < 0.01


def test_reset_starts_the_next_episode(client):
    """The seed goes up by one, the response says so, and the robot is at a new start."""
    client.until(lambda: client.episodes)
    before = json.loads(client.episodes[-1].data)
    answer = client.reset()
    client.until(lambda: json.loads(client.episodes[-1].data)['seed'] == before['seed'] + 1)
    after = json.loads(client.episodes[-1].data)
    assert answer.success
    assert answer.message == f'seed {after["seed"]}, scenario {after["scenario"]}'
    assert after['outcome'] == '' and after['time'] < before['time']
    assert set(after) == {'seed', 'scenario', 'time', 'outcome', 'distance', 'x', 'y', 'yaw'}


def drive_and_stop(client):
    """Drive the robot, and wait until it stands because no more commands come."""
    client.until(lambda: client.odometry)
    client.until(lambda: client.speed > 0.15, lambda: client.command(0.2))
    client.until(lambda: client.speed < 0.005)


def test_it_takes_both_types_of_commands_at_once_and_says_which():
    process = start(SECOND_DOMAIN, **SMALL, frame_rate='20.0')
    try:
        for kind in (Twist, TwistStamped):
            client = Client(process, twist_type=kind, domain=SECOND_DOMAIN)
            drive_and_stop(client)
            client.close()
    finally:
        status, said = finish(process, signal.SIGINT)
    assert status == 0, said
    assert said.count('cmd_vel arrives as Twist\n') == 1
    assert said.count('cmd_vel arrives as TwistStamped\n') == 1
    assert said.count('has arrived as Twist and as TwistStamped: the robot obeys both; fix: ') == 1


def test_the_other_messages():
    """Compressed and lossy images, stamped commands, an episode that ends; SIGTERM exits."""
    process = start(SECOND_DOMAIN, **SMALL, frame_rate='20.0', compressed='true',
                    frame_loss='0.5', camera_reliable='true', time_limit='2.0')
    client = Client(process, CompressedImage, TwistStamped, SECOND_DOMAIN)
    try:
        client.until(lambda: len(client.images) >= 5)
        # Counted once all are connected: about half as many images as odometry messages.
        seen_frames, seen_images = len(client.odometry), len(client.images)
        client.until(lambda: len(client.odometry) >= seen_frames + 40,
                     lambda: client.command(0.3))
        share = (len(client.images) - seen_images) / (len(client.odometry) - seen_frames)
        assert 0.1 < share < 0.9
        picture = image_encodings.decode(
            read_compressed_image(serialize_message(client.images[-1]), 0))
        assert picture.shape == (120, 160, 3) and picture.std() > 5.0
        client.until(lambda: json.loads(client.episodes[-1].data)['outcome'] == 'timeout')
        client.until(lambda: client.speed < 0.01, lambda: client.command(0.3))
        assert client.reset().message.startswith('seed 8,')
        client.until(lambda: client.speed > 0.1, lambda: client.command(0.3))
    finally:
        client.close()
        status, said = finish(process, signal.SIGTERM)
    assert status == 0, said
    assert 'Traceback' not in said
    assert ('timeout: seed 7, scenario' in said and 'to start the next episode: ros2 service call '
            '/sim_robot/reset std_srvs/srv/Trigger' in said)


def test_episodes_go_on_by_themselves():
    """Each end starts the next seed, and the node that drives forgets the episode before."""
    process = start(**{**SMALL, 'episodes': 'loop'}, frame_rate='10.0', time_limit='0.5')
    client = Client(process)
    forgotten = []

    def forget(_, response):
        forgotten.append(json.loads(client.episodes[-1].data)['seed'])
        return response
    client.node.create_service(Trigger, 'vla_nav_node/reset', forget)
    try:
        client.until(lambda: client.episodes
                     and json.loads(client.episodes[-1].data)['seed'] >= 9)
        client.until(lambda: len(forgotten) > 1)
    finally:
        client.close()
        status, said = finish(process, signal.SIGINT)
    assert status == 0, said
    assert 'the next episode starts in 2 s' in said and 'a new episode: seed 9' in said


@pytest.mark.parametrize('parameters,found', [
    ({'frame_rate': '30'}, 'frame_rate is the integer 30'),
    ({'width': '3'}, 'Parameter width out of range'),
    ({'episodes': 'two'}, "episodes: 'two'; expected loop or one"),
    ({'scenario': 'nowhere'}, "no scenario 'nowhere'"),
])
def test_bad_parameters_are_refused(parameters, found):
    """One line says what was found and what is expected; the exit status is 2."""
    process = start(**{**SMALL, **parameters})
    _, stderr = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 2
    assert found in stderr and 'expected' in stderr
    assert len(stderr.strip().splitlines()) == 1, stderr


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
