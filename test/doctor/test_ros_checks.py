"""The ROS checks: pure judgements, and a real graph with real faults in it."""

import subprocess
import sys
import time

import pytest
import rig
from vla_nav_node.doctor.checks.check import FAILED, OK, SKIPPED, WARNING
from vla_nav_node.doctor.checks.place import Place
from vla_nav_node.doctor.checks.ros import (
    base_stop, camera, command_topic, discovery, installation, large_images)
from vla_nav_node.doctor.examination import run
from vla_nav_node.node.start.fastdds_profile import profile_path

SETTINGS = {'ROS_DISTRO': 'jazzy', 'ROS_DOMAIN_ID': '', 'ROS_LOCALHOST_ONLY': '',
            'ROS_AUTOMATIC_DISCOVERY_RANGE': ''}
# Publishers and subscriptions, by QoS, in one process; ends when stdin is closed.
CAST = """
import sys, time
import numpy, rclpy
from geometry_msgs.msg import Twist
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image
BEST, SURE = ReliabilityPolicy.BEST_EFFORT, ReliabilityPolicy.RELIABLE
rclpy.init()
def node(name, *parameters):
    made = rclpy.create_node(name)
    for key, value in parameters:
        made.declare_parameter(key, value)
    return made
cameras = []
def camera(name, topic, policy, late_s=0.0):
    made = node(name)
    cameras.append((made.create_publisher(Image, topic, QoSProfile(depth=5, reliability=policy)),
                    late_s))
def reader(name, kind, topic, policy, *parameters):
    made = node(name, *parameters)
    made.create_subscription(kind, topic, lambda message: None,
                             QoSProfile(depth=5, reliability=policy))
    nodes.append(made)
nodes = []
{cast}
from threading import Thread
from rclpy.executors import MultiThreadedExecutor
executor = MultiThreadedExecutor()
for made in nodes:
    executor.add_node(made)
Thread(target=executor.spin, daemon=True).start()
Thread(target=lambda: (sys.stdin.read(), __import__('os')._exit(0)), daemon=True).start()
while True:
    for publisher, late_s in cameras:
        message = Image(height=48, width=64, encoding='rgb8', step=192)
        message.data = bytes(48 * 192)
        stamp = time.time_ns() - int(late_s * 1e9)
        message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp, 10 ** 9)
        publisher.publish(message)
    time.sleep(0.05)
"""


class Cast:
    """A process with nodes in it."""

    def __init__(self, cast, **environment):
        self.process = subprocess.Popen(
            [sys.executable, '-c', CAST.replace('{cast}', cast)], stdin=subprocess.PIPE,
            env=rig.environment(**environment))

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.process.stdin.close()
        self.process.wait(10)


def results(names, cast, **more):
    """Return the results of the checks beside a cast."""
    with Cast(cast):
        place = Place(environment=rig.environment(**more.pop('environment', {})), **more)
        deadline = time.monotonic() + 20
        while True:  # it may still be starting
            facts = place.graph().facts
            if facts.get('nodes', 0) > 1 or time.monotonic() > deadline:
                return {module.__name__.rpartition('.')[2]: run(module.CHECK, place)
                        for module in names}
            place._answers.clear()


ALL = (installation, discovery, camera, command_topic, base_stop)
TWO_SENDERS = """
for name in ('joystick', 'navigation'):
    nodes.append(node(name)); nodes[-1].create_publisher(Twist, 'cmd_vel', 5)
reader('base', Twist, 'cmd_vel', SURE)
camera('front', 'image', BEST, 2.0)
reader('recorder', Image, 'image', SURE)
"""


def test_a_graph_full_of_faults():
    found = results(ALL, TWO_SENDERS, live_s=1.0)
    assert found['installation'].status == OK
    assert found['discovery'].status == OK
    commands = found['command_topic']
    assert commands.status == FAILED
    assert '2 publishers: /joystick, /navigation' in commands.worst.found
    assert 'twist_mux' in commands.worst.remedy
    words = ' | '.join(finding.found for finding in found['camera'].unwell)
    assert '/recorder gets nothing from /front' in words
    assert '2.0' in words and 's old when they arrive' in words
    assert found['camera'].status == FAILED
    assert found['base_stop'].status == WARNING
    assert '--base-stops' in found['base_stop'].worst.remedy


SOUND = """
nodes.append(node('driver')); nodes[-1].create_publisher(Twist, 'cmd_vel', 5)
reader('base', Twist, 'cmd_vel', SURE, ('cmd_vel_timeout', 0.5))
camera('front', 'image', SURE, -2.0 * {ahead})
reader('recorder', Image, 'image', {policy})
"""


def test_a_sound_graph_and_a_reliable_camera_asked_for_best_effort():
    found = results(ALL, SOUND.format(policy='BEST', ahead=0), live_s=1.0)
    assert found['command_topic'].status == OK
    assert found['base_stop'].worst.found == (
        '/base stops after 0.5 s without a command (cmd_vel_timeout)')
    assert [finding.status for finding in found['camera'].findings] == [WARNING, OK]
    assert 'asks for best effort' in found['camera'].worst.found
    assert '64x48 rgb8, 0 of' in found['camera'].findings[-1].found


def test_a_camera_ahead_of_this_clock():
    found = results([camera], SOUND.format(policy='SURE', ahead=1), live_s=1.0)['camera']
    assert found.status == FAILED and 's ahead of this clock' in found.worst.found
    assert 'chronyc' in found.worst.remedy


@pytest.mark.parametrize('text, status, words', [
    (None, OK, 'in force'), ('<dds><profiles>', FAILED, 'not XML'), ('missing', FAILED, 'No such'),
    ('<dds><profiles><participant profile_name="a" is_default_profile="true"><rtps><userTransports'
     '><transport_id>none</transport_id></userTransports></rtps></participant></profiles></dds>',
     FAILED, 'MiB of shared memory'), ('', WARNING, 'no Fast DDS profile is set')])
def test_the_profile_and_whether_it_is_in_force(tmp_path, text, status, words):
    path = str(profile_path()) if text is None else str(tmp_path / 'profile.xml') if text else ''
    if text and text != 'missing':
        (tmp_path / 'profile.xml').write_text(text)
    environment = {name: value for name, value in rig.environment().items()
                   if 'PROFILES_FILE' not in name}
    place = Place(environment={**environment, **dict.fromkeys(large_images.NAMES, path)},
                  live_s=0.0)
    result = run(large_images.CHECK, place)
    assert (result.status, words in result.worst.found) == (status, True), result.worst
    assert result.worst.remedy or status == OK


def test_a_middleware_that_is_not_installed():
    place = Place(environment=rig.environment(RMW_IMPLEMENTATION='rmw_cyclonedds_cpp'), live_s=0.0)
    assert run(installation.CHECK, place).status == FAILED
    assert run(camera.CHECK, place).status == SKIPPED


def test_a_domain_that_there_is_not():
    place = Place(environment=rig.environment(ROS_DOMAIN_ID='300'), live_s=0.0)
    result = run(discovery.CHECK, place)
    assert result.status == FAILED and '300' in result.worst.found


@pytest.mark.parametrize('changes, count', [
    ({}, 0), ({'ROS_AUTOMATIC_DISCOVERY_RANGE': 'OFF'}, 1), ({'ROS_LOCALHOST_ONLY': '1'}, 1),
    ({'ROS_LOCALHOST_ONLY': '1', 'ROS_DISTRO': 'humble'}, 0),
    ({'ROS_AUTOMATIC_DISCOVERY_RANGE': 'localhost'}, 0),
    ({'ROS_AUTOMATIC_DISCOVERY_RANGE': 'HOST'}, 1)])
def test_discovery_ranges(changes, count):
    assert len(list(discovery.judge_range({**SETTINGS, **changes}))) == count


@pytest.mark.parametrize('distribution, names, status, words', [
    ('', [], SKIPPED, 'not installed'), ('', ['jazzy'], FAILED, 'not sourced'),
    ('jazzy', ['jazzy'], FAILED, 'another Python')])
def test_ros_that_is_not_found(tmp_path, distribution, names, status, words):
    for name in names:
        (tmp_path / 'ros' / name).mkdir(parents=True)
        (tmp_path / 'ros' / name / 'setup.bash').touch()
    found, = installation.absent(Place(environment={'ROS_DISTRO': distribution}, opt=tmp_path))
    assert found.status == status and words in found.found


HEARD = {'images': 100, 'problem': '', 'hz': 50.0, 'size': [640, 480], 'encoding': 'rgb8',
         'age_s': 0.01, 'lost': 0, 'numbered': True}
TOPIC = {'topic': '/image', 'publishers': [['/front', 'Image', 'reliable', '']]}


@pytest.mark.parametrize('changes, status, words', [
    ({}, OK, '50.0 Hz'), ({'lost': 9}, WARNING, '9 of 109 images were lost'),
    ({'hz': 2.0}, WARNING, '2.0 Hz'), ({'images': 0}, FAILED, '0 image(s) in 2 s'),
    ({'problem': 'encoding x'}, FAILED, 'encoding x'), ({'age_s': 2.0}, FAILED, '2.00 s old')])
def test_what_was_heard(changes, status, words):
    found = list(camera.judge_heard(TOPIC, {**HEARD, **changes}, False, 2.0))
    assert found[0].status == status and words in found[0].found


def test_two_cameras_on_one_topic():
    two = {**TOPIC, 'conflicts': [], 'subscribers': [], 'publishers': TOPIC['publishers'] * 2}
    assert [finding.status for finding in camera.judge_qos(two)] == [FAILED]


@pytest.mark.parametrize('senders, readers, status, remedy', [
    ([['/a', 'Twist']], [['/b', 'Twist']], OK, ''), ([['/a', 'Twist']], [], WARNING, 'remap'),
    ([['/a', 'Twist']], [['/b', 'TwistStamped']], FAILED, 'enable_stamped_cmd_vel:=true'),
    ([['/a', 'Twist']], [['/b', 'TwistStamped'], ['/b', 'Twist']], OK, ''),
    ([['/a', 'Twist'], ['/c', 'Twist']], [['/b', 'Twist']], FAILED, 'twist_mux')])
def test_who_is_on_the_command_topic(senders, readers, status, remedy):
    found = list(command_topic.judge({'topic': '/cmd_vel'}, senders, readers))
    assert [finding.status for finding in found] == [status] * (status != OK)
    assert not found or remedy in found[0].remedy
