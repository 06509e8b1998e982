"""Images from another process: that they arrive, and what diagnostics say if they do not."""

from dataclasses import replace
from itertools import count
from pathlib import Path
import subprocess
import sys
import time

import cv2
from geometry_msgs.msg import TwistStamped
import pytest
from rclpy.qos import QoSProfile
from rclpy.time import Time
from rig import CameraThread, environment, NodeProcess, Rig
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CompressedImage, Image
from tiny import write_tiny

from vla_nav_node.backends import open_backend
from vla_nav_node.bundle.bundle import amend
from vla_nav_node.driving.diagnostics.statuses import ERROR, OK, WARN
from vla_nav_node.driving.parameters import parameters, settings_of
from vla_nav_node.errors import VlaNavError
from vla_nav_node.node.configured import _policy_and_cycle as policy_and_cycle
from vla_nav_node.node.start import fastdds_profile
from vla_nav_node.policy.runtime_opener import RuntimeOpener

CAMERA = [sys.executable, str(Path(__file__).parents[1] / 'camera_process.py')]
FRAMES = 1000


class Scene:
    """A node, and an operator that reads its diagnostics."""

    def __init__(self, bundle, env, **parameters):
        """Start the node."""
        self.env = env
        self.node = NodeProcess(model=bundle.directory, env=env, **parameters)
        self.rig = Rig()

    def film(self, *arguments):
        """Run a camera process to its end."""
        subprocess.run([*CAMERA, *map(str, arguments)], env=self.env, check=True, timeout=90)

    def close(self):
        """Leave the graph and end the node."""
        self.rig.close()
        status, stderr = self.node.finish()
        assert status == 0, stderr


def bare_environment():
    """Return an environment without any Fast DDS profile."""
    env = environment()
    for name in fastdds_profile.VARIABLES:
        env.pop(name, None)
    return env


@pytest.fixture
def scene(bundle, request):
    """Start a node with the profile, or with the requested environment and parameters."""
    wanted = getattr(request, 'param', {})
    env = wanted.get('env', fastdds_profile.environment(bare_environment()))
    scene = Scene(bundle, env, **wanted.get('parameters', {}))
    yield scene
    scene.close()


def counts(scene):
    """Return the numbers of received, replaced and lost images in diagnostics."""
    values = scene.rig.say('camera', '')[2]
    return [int(values[key]) for key in
            ('received', 'replaced by a newer one', 'lost in transport')]


@pytest.mark.parametrize('kind', ['best effort', 'reliable'])
def test_with_the_profile_every_image_arrives(scene, kind):
    frames = FRAMES if kind == 'best effort' else FRAMES // 10
    scene.film(frames, 50, 480, 640, *(['reliable'] if kind == 'reliable' else []))
    received, replaced, lost = counts(scene)
    cycles = scene.rig.say('latency', '')[2]['cycles since start']
    print(f'\n{kind}: {frames} images of 640x480 at 50 Hz: {received} received, {replaced} '
          f'replaced by a newer one, {cycles} processed, {lost} lost')
    assert lost == 0
    assert received >= 0.99 * frames
    assert int(cycles) + replaced >= 0.99 * frames


@pytest.mark.parametrize('scene', [{'env': bare_environment()}], indirect=True)
def test_without_the_profile_losses_are_counted_and_the_fix_is_named(scene):
    scene.film(150, 50, 480, 640)
    received, _, lost = counts(scene)
    print(f'\nwithout the profile: {received} of 150 received, {lost} counted as lost')
    if received > 140:
        pytest.skip(f'{received} of 150 images arrive on this machine without the profile')
    # Losses before the first and after the last image that arrived cannot be counted.
    assert lost >= 0.5 * (150 - received)
    warned = [entry['camera'] for _, entry in scene.rig.diagnostics
              if 'lost' in entry['camera'][1]]
    assert any(level in (WARN, ERROR) and 'FASTRTPS_DEFAULT_PROFILES_FILE=' in message
               and 'fastdds.xml' in message for level, message, _ in warned)


def test_the_subscription_becomes_what_the_publishers_offer(scene):
    rig = scene.rig
    with CameraThread(rig):
        rig.drives()
        assert rig.say('camera', 'images/s')[2]['subscribed'] == 'best effort'
    rig.node.destroy_publisher(rig.images)
    rig.images = rig.node.create_publisher(Image, 'image', QoSProfile(depth=5))
    with CameraThread(rig):
        rig.drives()
        rig.until(lambda: rig.diagnostics[-1][1]['camera'][2]['subscribed'] == 'reliable',
                  'a reliable subscription')
        rig.drives()


@pytest.mark.parametrize('scene', [{'parameters': {'image_qos': 'reliable'}}], indirect=True)
def test_a_qos_that_cannot_match_is_named(scene):
    with CameraThread(scene.rig):
        level, message, _ = scene.rig.say(
            'camera', '1 publisher, best effort, but image_qos is reliable')
    assert level == ERROR
    assert 'set image_qos to auto' in message


@pytest.mark.parametrize('scene', [
    {'parameters': {'image_transport': 'compressed', 'enable_stamped_cmd_vel': True,
                    'image_rotation': 180}}], indirect=True)
def test_compressed_images_and_stamped_commands(scene):
    rig = scene.rig
    rig.close()
    scene.rig = rig = Rig(twist=TwistStamped)
    rig.images = rig.node.create_publisher(CompressedImage, 'image/compressed', 5)
    with CameraThread(rig, to_message=compressed):
        rig.drives()
        level, message, values = rig.say('camera', 'images/s')
    assert (level, values['topic']) == (OK, '/image/compressed')
    assert '64x48 jpeg' in message
    with CameraThread(rig, to_message=cut):
        message = rig.errs('camera', 'do not decode')['driving'][1]
    assert 'standing still: decode: ' in message and 'premature end' in message
    with CameraThread(rig, to_message=compressed):
        rig.drives()


@pytest.mark.parametrize('scene', [
    {'parameters': {'enable_stamped_cmd_vel': True, 'stamp_source': 'image'}}], indirect=True)
def test_commands_carry_the_stamp_of_their_image_and_stops_that_of_now(scene):
    rig = scene.rig
    rig.close()
    scene.rig = rig = Rig(twist=TwistStamped)
    commands, images = [], []

    def stamp_ns(rig):
        images.append(rig.now_ns())
        return images[-1]

    def since(number):  # stamp, whether it moves
        return [(Time.from_msg(msg.header.stamp).nanoseconds,
                 bool(msg.twist.linear.x or msg.twist.linear.y)) for msg in commands[number:]]
    rig.node.create_subscription(TwistStamped, 'cmd_vel', commands.append, 100)
    with CameraThread(rig, rate=20.0, stamp_ns=stamp_ns):
        rig.drives()
        rig.until(lambda: len(since(0)) > 20)
    rig.stands()
    moving = [stamp for stamp, moves in since(0) if moves]
    assert set(moving) <= set(images)
    assert len(set(moving)) < len(moving)  # repeated in between, with the same stamp
    stops = [stamp for stamp, moves in since(0)[-3:] if not moves]
    assert len(stops) == 3 and min(stops) > images[-1] and len(set(stops)) == 3
    assert rig.configure(stamp_source='now') == ''
    before = len(commands)
    with CameraThread(rig, rate=20.0, stamp_ns=stamp_ns):
        rig.until(lambda: any(moves for _, moves in since(before)))
    assert not {stamp for stamp, moves in since(before) if moves} & set(images)


def cut(rgb, stamp_ns):
    """Return half a JPEG with the end marker of a whole one."""
    msg = compressed(rgb, stamp_ns)
    msg.data = msg.data[:len(msg.data) // 2] + msg.data[-2:]
    return msg


def compressed(rgb, stamp_ns):
    """Return a JPEG message."""
    msg = CompressedImage(format='jpeg')
    msg.data = cv2.imencode('.jpg', rgb)[1].tobytes()
    msg.header.stamp.sec, msg.header.stamp.nanosec = divmod(stamp_ns, 10 ** 9)
    return msg


@pytest.mark.parametrize('wanted', [{}, {'image_rotation': 90}, {'image_rotation': 0}])
def test_the_node_rotates_pictures_by_the_parameter_or_else_by_the_bundle(tmp_path, wanted):
    bundle = write_tiny(tmp_path / 'tiny')
    bundle = amend(bundle, lambda manifest: manifest['input'].update(rotation=270))
    table = parameters(bundle.limits, ('onnx',), bundle.input.rotation)
    _, cycle = policy_and_cycle(RuntimeOpener(bundle, open_backend, True),
                                settings_of(table, wanted))
    assert cycle.preprocess.spec == replace(
        bundle.input, rotation=wanted.get('image_rotation', 270))


@pytest.mark.parametrize('transport_of_images', ['raw', 'compressed'])
def test_without_the_library_for_jpegs_only_a_compressed_camera_ends_the_start(
        bundle, monkeypatch, transport_of_images):
    monkeypatch.setitem(sys.modules, 'simplejpeg', None)
    settings = settings_of(parameters(bundle.limits, ('onnx',)),
                           {'image_transport': transport_of_images})
    if transport_of_images == 'raw':
        policy_and_cycle(RuntimeOpener(bundle, open_backend), settings)
    else:
        with pytest.raises(VlaNavError, match="pip install 'simplejpeg>="):
            policy_and_cycle(RuntimeOpener(bundle, open_backend), settings)


@pytest.mark.parametrize('scene', [{'parameters': {'use_sim_time': True}}], indirect=True)
def test_simulated_time_and_its_jump_back(scene):
    rig, time_s = scene.rig, count(50.0, 0.02)
    clock = rig.node.create_publisher(Clock, '/clock', 1)

    def tick(rig, back_s=0.0):
        stamp_ns = round((next(time_s) - back_s) * 1e9)
        clock.publish(Clock(clock=Time(nanoseconds=stamp_ns).to_msg()))
        return stamp_ns
    with CameraThread(rig, stamp_ns=lambda rig: 50 * 10 ** 9):
        rig.say('driving', 'use_sim_time is set, but no /clock message has arrived')
    with CameraThread(rig, stamp_ns=tick):
        rig.drives()
    since = time.monotonic()
    with CameraThread(rig, stamp_ns=lambda rig: tick(rig, back_s=40.0)):
        rig.until(lambda: any('jumped back by ' in entry['driving'][1]
                              for at, entry in rig.diagnostics if at > since), 'the jump')
        rig.drives()
