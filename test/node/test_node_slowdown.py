"""A real node is made slower from outside, and says why."""

from contextlib import contextmanager, ExitStack
import os
from pathlib import Path
import subprocess
import sys
import time

import pytest
from rig import environment, NodeProcess, Rig
import tiny

from vla_nav_node.driving.diagnostics.statuses import WARN
from vla_nav_node.node.start import fastdds_profile

HERE = Path(__file__).parents[1]
LEARNER = [sys.executable, str(HERE / 'quick_learner.py')]
BURNER = [sys.executable, '-m', 'vla_nav_node.bench.node.burner']
CORES = sorted(os.sched_getaffinity(0))
SMALL, LARGE = (48, 64), (720, 1280)  # height, width
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


@contextmanager
def camera(size):
    """Send pictures 30 times a second, from a process that Fast DDS's profile lets send them."""
    with process([sys.executable, str(HERE / 'camera_process.py'), '1000000', '30',
                  *map(str, size)]):
        yield


@contextmanager
def process(command):
    """Run a process."""
    started = subprocess.Popen(command, env=fastdds_profile.environment(environment()))
    try:
        yield
    finally:
        started.kill()
        started.wait()


@pytest.fixture(scope='module')
def rig(bundle):
    """Start a node, and wait until it knows what is normal."""
    node = NodeProcess(command=LEARNER, env=fastdds_profile.environment({}),
                       model=bundle.directory, allow_unverified=True)
    rig = Rig()
    rig.process = node.process
    try:
        with camera(SMALL):
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


def named(rig, part, since_s):
    """Wait until the newest status warns and names a cause; return after how many seconds."""
    _, message, values = rig.say('latency', part, since_s)
    assert 'slower than expected' in message and part in values[SLOWER]
    told_s = next(at for at, report in rig.diagnostics
                  if at > since_s and part in report['latency'][1])
    assert report_at(rig, told_s)['latency'][0] == WARN
    print(f'{part}: told after {told_s - since_s:.1f} s')
    return told_s - since_s


def report_at(rig, at_s):
    """Return the report that came at a time."""
    return next(report for at, report in rig.diagnostics if at == at_s)


@contextmanager
def burning():
    """Burn every core twice."""
    with ExitStack() as burners:
        for _ in range(2 * len(CORES)):
            burners.enter_context(process(BURNER))
        yield


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
    with camera(SMALL):
        be_well(rig)
        with burning():
            named(rig, 'other processes use', time.monotonic())
            assert 'most: python' in value(rig, SLOWER)
        be_well(rig)  # again
        assert 'slower than expected' not in rig.diagnostics[-1][1]['latency'][1]


def test_cores_that_are_taken_away(rig):
    with camera(SMALL):
        be_well(rig)
        with confined(rig.process.pid, CORES[:1]):
            named(rig, 'threads of this process may use 1 core only', time.monotonic())


def test_larger_pictures(rig):
    with camera(SMALL):
        be_well(rig)
    with camera(LARGE):
        rig.until(lambda: '1280' in rig.diagnostics[-1][1]['camera'][1], 'a larger picture')
        named(rig, 'pictures are 1280x720 rgb8, 64x48 rgb8 before', time.monotonic())
