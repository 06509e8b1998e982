"""The ros2 param command with the real node, where that command is installed."""

import shutil
import subprocess

import pytest
from rig import environment, NodeProcess, Rig

pytestmark = [
    pytest.mark.ros2cli,
    pytest.mark.skipif(not shutil.which('ros2'), reason='the ros2 command is not installed')]
NAME = '/vla_nav_node'
STATES = [  # how the node starts, and what is set while it runs
    ({}, {}),
    ({'fallback_backends': '[]', 'hardware_id': '"12"'}, {}),
    ({'fallback_backends': "['torch']"}, {'fallback_backends': '[]'}),
    ({'image_rotation': 180}, {'fallback_backends': "['torch', 'onnx:fp32@cpu']",
                               'max_linear_x': '0.125', 'control_period_ms': '10.0',
                               'stamp_source': 'image'}),
]


def param(verb, *arguments):
    """Return the output of `ros2 param VERB`, and its errors, once it finds the node."""
    for _ in range(10):
        done = subprocess.run(['ros2', 'param', verb, NAME, *arguments], env=environment(),
                              capture_output=True, text=True, timeout=60, check=False)
        if 'Node not found' not in done.stderr:
            return done.stdout, done.stderr
    raise AssertionError(done.stderr)


def started(arguments=(), **parameters):
    """Return an active node, and the rig that has seen its first command."""
    node, rig = NodeProcess(arguments=arguments, **parameters), Rig()
    rig.until(lambda: rig.commands, 'the first command')
    return node, rig


def end(node, rig):
    """End the node."""
    rig.close()
    status, stderr = node.finish()
    assert status == 0, stderr


@pytest.fixture(scope='module', autouse=True)
def no_daemon_left():
    """End the daemon that the ros2 command leaves behind in this ROS domain."""
    yield
    subprocess.run(['ros2', 'daemon', 'stop'], env=environment(), capture_output=True, check=False)


def dump():
    """Return what `ros2 param dump` prints."""
    output, errors = param('dump')
    assert not errors
    return output


@pytest.mark.parametrize(('at_start', 'live'), STATES)
def test_a_dump_starts_the_node_again_and_can_be_loaded(bundle, tmp_path, at_start, live):
    node, rig = started(model=bundle.directory, **at_start)
    try:
        for name, value in live.items():
            assert param('set', name, value) == ('Set parameter successful\n', '')
        written = dump()
    finally:
        end(node, rig)
    file = tmp_path / 'dump.yaml'
    file.write_text(written)
    node, rig = started(['--ros-args', '--params-file', str(file)])
    try:
        assert dump() == written
        output, errors = param('load', str(file))
        assert 'Set parameter image_timeout successful' in output
        assert 'failed' not in errors.replace(UNREAD, '')
        assert dump() == written
    finally:
        end(node, rig)


# ros2 param load reads the text of a dump twice, so that a string of digits becomes a number.
UNREAD = 'Set parameter hardware_id failed: hardware_id is the integer 12; expected a string'


def test_deleting_and_misspelling_are_answered_in_words(bundle):
    node, rig = started(model=bundle.directory)
    try:
        written = dump()
        assert param('delete', 'fallback_backends')[1] == (
            'Deleting parameter failed: fallback_backends cannot be deleted; expected a list of '
            "strings, such as ['onnx:fp32@cpu', 'torch']; fix: set it to its default, ['']\n")
        assert 'fix: write max_linear_x instead' in param('set', 'max_linar_x', '0.1')[1]
        assert 'fix: restart the node' in param('set', 'image_qos', 'reliable')[1]
        assert 'expected a double from 0.01 to 2 s' in param('set', 'image_timeout', '5.0')[1]
        assert 'fix: write 1.0' in param('set', 'image_timeout', '1')[1]
        assert dump() == written
    finally:
        end(node, rig)
