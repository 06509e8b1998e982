"""The benchmark of the node measures what it reports, and counts every image."""

from contextlib import contextmanager
import json
import os
from pathlib import Path
import signal
import subprocess
import sys
from threading import Event, Thread
import time
from types import SimpleNamespace
from unittest.mock import patch

from hypothesis import given, strategies as st
import pytest

for package in ('rclpy', 'rich', 'PIL', 'psutil', 'onnxruntime', 'torch'):
    pytest.importorskip(package)

from geometry_msgs.msg import Twist  # noqa: E402, I100, they come after the checks above
import rclpy  # noqa: E402
from rclpy.executors import SingleThreadedExecutor  # noqa: E402
from rclpy.qos import qos_profile_sensor_data  # noqa: E402
from rclpy.serialization import deserialize_message  # noqa: E402
from sensor_msgs.msg import Image  # noqa: E402
from tiny import write_tiny  # noqa: E402
from vla_nav_node.backends import open_backend  # noqa: E402
from vla_nav_node.bench import process_memory  # noqa: E402
from vla_nav_node.bench.node import node_figures, node_tables, startup  # noqa: E402
from vla_nav_node.bench.node.probe import Block, make_pictures, Probe  # noqa: E402
from vla_nav_node.bench.node.sides import (  # noqa: E402
    ECHO, idiomatic, OURS, ours, OURS_TORCH, Side, sides)
from vla_nav_node.bundle.bundle import load_bundle  # noqa: E402
from vla_nav_node.commands import latency as verb  # noqa: E402
from vla_nav_node.driving.latency_recorder import FIELDS  # noqa: E402
from vla_nav_node.system import machine  # noqa: E402
from vla_nav_node.vision.preprocess import Preprocess  # noqa: E402

ROOT = Path(__file__).parents[3]
QUANTILES = {'p50', 'p95', 'p99', 'most'}
FRAMES = 12
OTHERS = idiomatic(1, {})
times = st.floats(0.001, 1e4)


@pytest.fixture(scope='module')
def model(tmp_path_factory):
    """Write a tiny bundle."""
    return write_tiny(tmp_path_factory.mktemp('bench') / 'tiny').directory


def start_latency(*arguments):
    """Start the verb as the user does."""
    environment = {**os.environ, 'PYTHONPATH': str(ROOT),
                   'ROS_DOMAIN_ID': str(2 + os.getpid() % 25)}
    return subprocess.Popen(
        [sys.executable, '-m', 'vla_nav_node.cli', 'latency', *map(str, arguments)], cwd=ROOT,
        env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def latency(*arguments):
    """Run the verb; return its exit status and its output."""
    bench = start_latency(*arguments)
    try:
        said = bench.communicate(timeout=115.0)[0]
    finally:
        bench.terminate()
    return bench.returncode, said


@pytest.mark.slow
def test_all_sides_answer_and_nothing_is_lost_silently(tmp_path, model):
    path = tmp_path / 'figures.json'
    status, said = latency(
        '--frames', FRAMES, '--warm-up', 2, '--starts', 1, '--only', 'vga', 'back', 'busy',
        'start', '--model', model, '--idiomatic-threads', 1, 2, '--json', path)
    assert path.is_file(), said
    report = json.loads(path.read_text())
    assert set(report['conditions']) == {'vga', 'back', 'busy'}
    for by_side in report['conditions'].values():
        assert list(by_side) == ['ours', 'ours_torch', 'idiomatic_1', 'idiomatic_2', 'echo']
        for name, found in by_side.items():
            assert_complete(name, found)
    for backend in ('onnx', 'torch'):
        found = report['start'][backend]
        assert len(found['starts']) == 1
        assert found['seconds'] > 0.0
        assert found['rss_mb'] > found['pss_mb'] > 10.0
    assert report['machine']['versions']['rclpy'] != 'not found'
    assert {'before', 'during', 'load_average', 'cpu', 'cores'} <= set(report['machine'])
    measured = {target['name']: target['met'] for target in report['targets']}
    assert None not in measured.values()
    assert status == (1 if False in measured.values() else 0), said
    assert 'image to command' in said and 'Traceback' not in said


def assert_complete(name, found):
    """Check one side's figures under one condition, whatever the times are."""
    assert found['sent'] == FRAMES == found['answered'] + found['unanswered']
    assert found['answered'] >= FRAMES // 2, name
    assert found['misses'] == found['late'] + found['unanswered']
    assert set(found['image_to_command']) == QUANTILES
    if name != 'echo':
        assert found['cycles'] >= FRAMES // 2
        ours_too = name.startswith('ours')
        assert set(found['stages']) == set(FIELDS if ours_too else OTHERS.fields)
        assert 0.0 < found['own_cost']['p50'] < found['stages']['cycle']['most']


def running_with(text):
    """Count the processes that have `text` in their command line."""
    count = 0
    for path in Path('/proc').glob('[0-9]*/cmdline'):
        try:
            count += text.encode() in path.read_bytes()
        except OSError:  # it has just ended
            continue
    return count


def test_no_node_is_left_when_it_is_ended(model):
    mark = f'model:={model}'
    bench = start_latency('--only', 'hd', '--model', model)
    try:
        deadline = time.monotonic() + 60.0
        while running_with(mark) < 4:  # ours twice, the idiomatic one twice
            assert time.monotonic() < deadline and bench.poll() is None
            time.sleep(0.05)
        bench.send_signal(signal.SIGTERM)
        said = bench.communicate(timeout=30.0)[0]
    finally:
        bench.kill()
    assert bench.returncode == 2
    assert 'interrupted' in said and 'Traceback' not in said
    assert not running_with(mark)


@pytest.mark.parametrize('arguments, reason', [
    (['--model', 'nowhere'], 'no bundle at nowhere'),
    (['--frames', '0'], 'nothing to measure'),
    (['--idiomatic-threads', '0'], 'nothing to measure'),
    (['--set', 'backend=torch'], 'expected NAME:=VALUE'),
])
def test_it_tells_why_it_cannot_run(arguments, reason):
    status, said = latency(*arguments)
    assert status == 2
    assert reason in said and 'Traceback' not in said


class Answerer:
    """A node that answers each image with the commands of a script, each after a while."""

    def __init__(self, side, script):
        """Answer each image with the script: (seconds to wait, linear.x) for each command."""
        self.node = rclpy.create_node('answerer', namespace=side.namespace)
        self.commands = self.node.create_publisher(Twist, 'cmd_vel', 10)
        self.node.create_subscription(Image, 'image', self.on_image, qos_profile_sensor_data)
        self.script = script
        self.executor = SingleThreadedExecutor()
        self.executor.add_node(self.node)
        self.ending = Event()
        self.thread = Thread(target=self.run)
        self.thread.start()

    def run(self):
        """Spin until `close`."""
        while not self.ending.is_set():
            self.executor.spin_once(timeout_sec=0.05)

    def on_image(self, msg):
        """Play the script."""
        for wait_s, speed in self.script:
            time.sleep(wait_s)
            command = Twist()
            command.linear.x = speed
            self.commands.publish(command)

    def close(self):
        """Leave the graph."""
        self.ending.set()
        self.thread.join()
        self.executor.shutdown()
        self.node.destroy_node()


@pytest.fixture
def graph(model):
    """Join a ROS graph of our own, whose idiomatic node has the tiny model."""
    rclpy.init(args=['--ros-args', '-p', f'model:={model}'], domain_id=70 + os.getpid() % 20)
    yield
    rclpy.try_shutdown()


@contextmanager
def scripted(side, script):
    """Return a probe, and a node that has played its script once, to an image of the probe's."""
    answerer, probe = Answerer(side, script), Probe(side)
    try:
        picture, = make_pictures(16, 12)[:1]
        deadline = time.monotonic() + 30.0
        while probe.send(picture) is None:
            assert time.monotonic() < deadline, 'no answer'
        assert probe.send(picture, 0.5) is not None  # and what comes after the first command
        probe._spin(time.perf_counter() + 0.5)
        yield lambda: probe.send(picture), answerer
    finally:
        probe.close()
        answerer.close()


def test_a_stop_is_no_answer(graph):
    with scripted(Side('stopping', '', ''), [(0.0, 0.5)]) as (ask, answerer):
        answerer.script = [(0.0, 0.0), (0.3, 0.5)]
        assert ask() >= 300.0


@pytest.mark.parametrize('repeats', [True, False])
def test_a_command_that_is_repeated_is_no_answer(graph, repeats):
    side = Side('repeating', '', '', repeats=repeats)
    script = [(0.0, 0.25), (0.1, 0.5)]
    with scripted(side, script) as (ask, answerer):
        answerer.script = [(0.0, 0.5), (0.3, 0.25)]
        assert (ask() >= 300.0) == repeats


def test_images_without_an_answer_and_the_turns_that_pass_are_counted(graph):
    probe = Probe(Side('nobody', '', ''))
    block = probe.measure(make_pictures(16, 12), 2)
    probe.close()
    assert block.waits_ms == [None, None]
    assert block.skipped >= 2 * 49  # each is waited for during a second of 50 turns


def test_the_idiomatic_node_is_the_same_policy(graph, model):
    from vla_nav_node.bench.node.idiomatic_node import IdiomaticNode
    bundle, node = load_bundle(model), IdiomaticNode()
    backend, prepare = open_backend('onnx', bundle), Preprocess(bundle.input)
    state = bundle.zero_state()
    for serialised in make_pictures(640, 480):
        rgb = node.to_rgb(deserialize_message(bytes(serialised), Image))
        action, state = backend.infer(prepare(rgb), state)
        assert node.infer(node.normalise(rgb)) == pytest.approx(action[0].tolist(), abs=0.02)
    node.destroy_node()


@given(st.lists(st.none() | times, max_size=50), st.integers(0, 100),
       st.lists(st.tuples(times, times), max_size=50))
def test_summary_counts_every_image(waits, skipped, cycles):
    found = node_figures.summarise(OTHERS, Block(waits, skipped, cycles))
    assert found['sent'] == len(waits) == found['answered'] + found['unanswered']
    assert found['unanswered'] == waits.count(None)
    assert found['misses'] == sum(wait is None or wait > 20.0 for wait in waits)
    assert found['turns_skipped'] == skipped
    assert found['cycles'] == len(cycles)
    assert (found['own_cost'] is None) == (not cycles)
    json.dumps(found)


@pytest.fixture(scope='module')
def this_machine():
    """Describe this machine, once."""
    return verb.describe_machine()


def made_report(this_machine, ours_ms, others_ms=6.0):
    """Return a made-up report: all times of our node are equal, and all those of the others."""
    def block(value):
        return Block([value] * 10, 0, [(value, value / 2.0)] * 10)

    def found():
        node = Side('', '', '', ('cycle', 'infer'))
        return {OURS: node_figures.summarise(node, block(ours_ms)),
                OURS_TORCH: node_figures.summarise(node, block(ours_ms)),
                'idiomatic_1': node_figures.summarise(OTHERS, block(others_ms)),
                'idiomatic_4': node_figures.summarise(OTHERS, block(10.0 * others_ms)),
                'echo': node_figures.summarise(ECHO, Block([others_ms / 5.0] * 10))}
    start = {backend: {'starts': [{'seconds': 0.5}], 'seconds': 0.5, 'rss_mb': 100.0,
                       'pss_mb': 90.0} for backend in startup.BACKENDS}
    return {'frames': 10, 'conditions': {name: found() for name in ('vga', 'back', 'hd', 'busy')},
            'start': start, 'machine': {
                **this_machine, 'during': {'cores_in_use': 1.0, 'steal': 0.5},
                'disturbance': 'everything'}}


def test_the_other_side_is_judged_at_its_best(this_machine):
    """A target that is met only against the slower number of threads is missed."""
    report = made_report(this_machine, 6.0)
    assert node_figures.best(report['conditions'], 'vga', 'p50') == 6.0
    met = {target.name: target.met for target in node_figures.judge(report)}
    assert met['image to command, idiomatic / ours, p50'] is False
    assert met['image to command, idiomatic / ours, torch on both sides, p50'] is True


def test_every_number_of_threads_is_a_side_of_its_own():
    found = sides({'precision': 'int8', 'model': 'a'}, {'model': 'a'}, [1, 4])
    assert [side.name for side in found] == [
        OURS, OURS_TORCH, 'idiomatic_1', 'idiomatic_4', 'echo']
    unstamped = {'enable_stamped_cmd_vel': 'false'}
    assert [side.parameters for side in found] == [
        {'precision': 'int8', 'model': 'a', **unstamped},
        {'precision': 'int8', 'model': 'a', 'backend': 'torch', **unstamped},
        {'model': 'a', 'threads': 1}, {'model': 'a', 'threads': 4}, {}]
    assert len({side.namespace for side in found}) == len(found)


@pytest.mark.parametrize('ours_ms, good', [(0.6, True), (60.0, False)])
def test_the_targets_are_judged(this_machine, ours_ms, good, capsys):
    report = made_report(this_machine, ours_ms)
    targets = node_figures.judge(report)
    assert [target.met for target in targets if target.met is None] == []
    assert all(target.met for target in targets) == good
    node_tables.print_report(report, targets)
    said = capsys.readouterr().out
    assert ('MISSED' in said) != good
    assert 'was not idle' in said and '1280x720' in said and 'burning' in said


def test_what_was_not_measured_is_not_judged(this_machine, capsys):
    report = {**made_report(this_machine, 0.6), 'conditions': {}, 'start': {}}
    targets = node_figures.judge(report)
    assert {target.met for target in targets} == {None}
    node_tables.print_report(report, targets)
    assert 'not measured' in capsys.readouterr().out


def test_our_side_has_the_fields_of_the_node():
    assert ours('ours', {}).fields == FIELDS


@given(st.integers(0, 10 ** 9), st.integers(0, 10 ** 9))
def test_memory_is_read(rss, pss):
    text = (f'55a-7ff ---p 00000000 00:00 0    [rollup]\nRss:      {rss} kB\nPss:  {pss} kB\n'
            f'Pss_Anon:   1 kB\nSwap: 0 kB\n')
    sizes = process_memory.parse_sizes(text)
    assert (sizes['Rss'], sizes['Pss']) == pytest.approx((rss * 1.024e-3, pss * 1.024e-3))


def test_memory_of_this_process():
    found = process_memory.memory_of(os.getpid())
    assert found['rss_mb'] >= found['pss_mb'] > 1.0


@given(st.lists(st.integers(0, 10 ** 9), min_size=8, max_size=8))
def test_times_are_read(numbers):
    names = ('user', 'nice', 'system', 'idle', 'iowait', 'irq', 'softirq', 'steal')
    times = SimpleNamespace(**dict(zip(names, numbers)))
    with patch('psutil.cpu_times', lambda: times):
        found = machine.now()
    assert found.used == sum(numbers) - times.idle - times.iowait - times.steal
    assert found.stolen == times.steal


def test_a_machine_that_does_something_else_is_told():
    def found(cores, steal):
        return machine.disturbance({'cores': 2, 'before': {'cores_in_use': cores},
                                    'during': {'steal': steal}})
    assert found(0.0, 0.0) == ''
    assert found(1.5, 0.0).startswith('other processes used 1.50 of its 2 cores')
    assert '2.0% of its time' in found(0.0, 0.02)
