"""A real node is made slower from outside, and says why."""

from array import array
from contextlib import contextmanager
import os
from pathlib import Path
import subprocess
import sys
import time

from camera_process import scene
import cv2
import pytest
from rclpy.qos import qos_profile_sensor_data
from rig import CameraThread, environment, NodeProcess, Rig
from sensor_msgs.msg import CompressedImage
import tiny

from vla_nav_node.driving.diagnostics.statuses import WARN

HERE = Path(__file__).parents[1]
LEARNER = [sys.executable, str(HERE / 'quick_learner.py')]
BURNER = [sys.executable, '-m', 'vla_nav_node.bench.node.burner']
CORES = sorted(os.sched_getaffinity(0))
SMALL, LARGE = (48, 64), (480, 640)  # height, width
SLOWER = 'slower because'

pytestmark = [tiny.needs_torch, pytest.mark.slow,
              pytest.mark.skipif(len(CORES) < 2, reason='needs two cores'),
              pytest.mark.skipif(bool(tiny.WRITER), reason='needs a policy of another size')]


TINY = tiny.architecture
CHANNELS = 512


def large(*arguments):
    """Return an architecture that computes for milliseconds, in several threads."""
    described = TINY(*arguments)
    first, relu, *others, linear, last = described['encoder']
    wide = {'type': 'Conv2d', 'in_channels': 4, 'out_channels': CHANNELS, 'kernel_size': 1}
    deep = {'type': 'Conv2d', 'in_channels': CHANNELS, 'out_channels': CHANNELS, 'kernel_size': 3,
            'padding': 1}
    linear = {**linear, 'in_features': linear['in_features'] // 4 * CHANNELS}
    return {**described, 'encoder': [first, relu, wide, deep, relu, *others, linear, last]}


@pytest.fixture(scope='module')
def bundle(tmp_path_factory):
    """Write a policy that other processes slow down."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tiny, 'architecture', large)
        return tiny.write_tiny(tmp_path_factory.mktemp('bundles') / 'large')


def camera(rig, size):
    """Return a camera that sends jpegs 30 times a second; large ones take long to decode."""
    jpegs = [cv2.imencode('.jpg', scene(seed, *size))[1].tobytes() for seed in range(8)]
    return CameraThread(rig, 30.0, lambda number: jpegs[number % 8], to_message=jpeg_message)


def jpeg_message(jpeg, stamp_ns):
    """Return a CompressedImage."""
    msg = CompressedImage(format='rgb8; jpeg compressed bgr8', data=array('B', jpeg))
    msg.header.stamp.sec, msg.header.stamp.nanosec = divmod(stamp_ns, 10 ** 9)
    return msg


@pytest.fixture(scope='module')
def rig(bundle):
    """Start a node, and wait until it knows what is normal."""
    node = NodeProcess(command=LEARNER, model=bundle.directory, allow_unverified=True,
                       image_transport='compressed', frozen_timeout=0.0)
    rig = Rig()
    rig.process = node.process
    rig.images = rig.node.create_publisher(
        CompressedImage, 'image/compressed', qos_profile_sensor_data)
    try:
        with camera(rig, SMALL):
            rig.until(lambda: value(rig, 'expected from').startswith('learned'), 'learning')
        yield rig
    finally:
        rig.close()
        node.process.kill()
        node.wait()


def value(rig, key):
    """Return a value of the newest status of the latency."""
    return rig.diagnostics[-1][1]['latency'][2].get(key, '') if rig.diagnostics else ''


def be_well(rig):
    """Wait until nothing is slower; skip the test on a machine that is busy anyway."""
    try:
        rig.until(lambda: not value(rig, SLOWER) and float(value(rig, 'infer slower %')) < 8.0)
    except AssertionError:
        pytest.skip(f'this machine is not quiet: {value(rig, SLOWER)}')


def named(rig, part):
    """Wait until the newest status warns and names a cause; print after how many seconds."""
    since_s = time.monotonic()
    try:
        _, message, values = rig.say('latency', part, since_s)
    except AssertionError:
        if max(float(value(rig, f'{name} slower %')) for name in ('infer', 'prepare')) < 15.0:
            pytest.skip('it does not slow the node down on this machine')
        raise
    assert 'slower than expected' in message and part in values[SLOWER]
    told_s, level = next((at, report['latency'][0]) for at, report in list(rig.diagnostics)
                         if at > since_s and part in report['latency'][1])
    assert level == WARN
    print(f'{part}: told after {told_s - since_s:.1f} s')


@contextmanager
def burning():
    """Burn every core twice."""
    burners = [subprocess.Popen(BURNER, env=environment()) for _ in range(2 * len(CORES))]
    try:
        yield
    finally:
        for burner in burners:
            burner.kill()
            burner.wait()


@contextmanager
def confined(pid, cores):
    """Let all threads of a process use these cores only, as `taskset -a` does."""
    tasks = [int(task) for task in os.listdir(f'/proc/{pid}/task')]
    for task in tasks:
        os.sched_setaffinity(task, cores)
    try:
        yield
    finally:
        for task in tasks:
            os.sched_setaffinity(task, CORES)


def test_processes_that_burn_the_cores(rig):
    with camera(rig, SMALL):
        be_well(rig)
        if 'load' in value(rig, 'expected from'):
            pytest.skip(f'this machine is not quiet: {value(rig, "expected from")}')
        with burning():
            named(rig, 'other processes use')
            assert 'most: python' in value(rig, SLOWER)
        be_well(rig)  # again
        assert 'slower than expected' not in rig.diagnostics[-1][1]['latency'][1]


def test_cores_that_are_taken_away(rig):
    with camera(rig, SMALL):
        be_well(rig)
        with confined(rig.process.pid, CORES[:1]):
            named(rig, 'threads of this process may use 1 core only')


def test_larger_pictures(rig):
    with camera(rig, SMALL):
        be_well(rig)
    with camera(rig, LARGE):
        rig.until(lambda: '640' in rig.diagnostics[-1][1]['camera'][1], 'a larger picture')
        named(rig, 'pictures are 640x480')
