"""The states of the managed node, asked for over its services, and what moves in each."""

from contextlib import closing
import signal
import sys
import time

from lifecycle_msgs.msg import Transition
from manager import Manager
import pytest
from rclpy.lifecycle import LifecycleNode
from rig import CameraThread, FAULTY_NODE, NodeProcess, Rig
from std_srvs.srv import SetBool, Trigger
from tiny import needs_torch, write_tiny

from vla_nav_node.node import lifecycle

ROUNDS = 100
SILENCE_S = 0.3  # several control periods


@pytest.fixture(scope='module')
def bundle(tmp_path_factory):
    """Write a tiny policy."""
    return write_tiny(tmp_path_factory.mktemp('bundles') / 'tiny')


@pytest.fixture
def rig():
    """Join the graph, with a camera that films all the time."""
    with closing(Rig()) as rig, CameraThread(rig, 30.0):
        yield rig


@pytest.fixture
def node(rig, bundle):
    """Start a node that waits for its manager."""
    node = NodeProcess(model=bundle.directory, autostart='false')
    rig.process = node
    rig.manager = Manager(rig)
    yield node
    status, said = node.finish()
    assert status == 0 and 'Traceback' not in said, said


def silent(rig, since):
    """Wait, and tell whether no command came after `since`."""
    time.sleep(SILENCE_S)
    return not rig.new_commands(since)


def test_the_graph_is_that_of_rcl(rig):
    with closing(_LifecycleNode('reference', context=rig.context)) as reference:
        machine = reference._state_machine
        assert set(lifecycle.edges()) == {
            (number, label, start, goal)
            for number, label, start, _, goal, _ in machine.transition_graph}
        assert set(lifecycle.LABELS.items()) == set(machine.available_states)


class _LifecycleNode(LifecycleNode):
    close = LifecycleNode.destroy_node


def test_nothing_moves_in_any_state_but_active(rig, node):
    manager = rig.manager
    assert manager.state() == 'unconfigured'
    assert not rig.commands
    for label, state in (('configure', 'inactive'), ('cleanup', 'unconfigured'),
                         ('configure', 'inactive')):
        since = time.monotonic()
        assert manager.change(label) and manager.state() == state
        assert silent(rig, since)
    assert manager.change('activate') and manager.state() == 'active'
    rig.drives()
    assert manager.change('deactivate') and manager.state() == 'inactive'
    assert rig.commands[-1][1:] == (0.0, 0.0)
    assert silent(rig, time.monotonic())
    assert manager.change('shutdown') and manager.state() == 'finalized'
    assert silent(rig, time.monotonic())


def test_a_hundred_rounds_each_ends_at_zero_and_begins_from_standing(rig, node):
    manager = rig.manager
    assert manager.change('configure')
    for _ in range(ROUNDS):
        since = time.monotonic()
        assert manager.change('activate')
        first = rig.drives(since)[0]
        # 2.5 m/s2 (max_acceleration) for at most one control period of 20 ms
        assert max(map(abs, first[1:])) <= 0.051
        assert manager.change('deactivate')
        ended = time.monotonic()
        assert rig.until(lambda: rig.commands[-1][1:] == (0.0, 0.0), 'the last zero')
        assert not [c for c in rig.new_commands(ended) if c[1] or c[2]]
    assert silent(rig, time.monotonic())


def test_impossible_transitions_are_refused_and_the_node_lives(rig, node):
    manager = rig.manager
    for label in ('activate', 'deactivate', 'cleanup', 'no such'):
        assert not manager.change(label)
    for number in (Transition.TRANSITION_ACTIVATE, Transition.TRANSITION_CREATE,
                   Transition.TRANSITION_ON_CONFIGURE_SUCCESS, 255):
        assert not manager.change('', number)
    assert manager.state() == 'unconfigured'
    assert manager.change('', Transition.TRANSITION_CONFIGURE)
    assert manager.state() == 'inactive'


def test_services_and_parameters_answer_in_every_state(rig, node):
    for label in ('', 'configure', 'activate', 'deactivate'):
        if label:
            assert rig.manager.change(label)
        active = rig.manager.state() == 'active'
        for kind, fields in ((Trigger, {}), (SetBool, {'data': True})):
            answer = rig.call(kind, **fields)
            assert answer.success == active, answer.message
            assert active or rig.manager.state() in answer.message
        assert rig.configure(max_acceleration=3.0) == ''
        assert 'control_period_ms' in rig.configure(control_period_ms=0.0)


def test_what_fails_to_configure_says_why_and_may_be_tried_again(rig, tmp_path):
    bundle = write_tiny(tmp_path / 'tiny')
    graph = bundle.directory / 'policy.fp32.onnx'
    node = NodeProcess(model=bundle.directory, autostart='false')
    manager = Manager(rig)
    assert manager.state() == 'unconfigured'
    content = graph.read_bytes()
    graph.write_bytes(content[:-1])
    assert not manager.change('configure') and manager.state() == 'unconfigured'
    graph.write_bytes(content)
    assert manager.change('configure') and manager.change('activate')
    rig.drives()
    status, said = node.finish()
    assert status == 0 and 'configure: ' in said and 'policy.fp32.onnx' in said


@needs_torch
def test_parameters_set_before_configure_are_those_it_configures_with(rig, node):
    assert rig.configure(backend='torch') == ''
    assert rig.manager.change('configure') and rig.manager.change('activate')
    rig.say('policy', 'torch')


@pytest.mark.parametrize('state', ['unconfigured', 'inactive', 'active', 'finalized'])
def test_a_signal_ends_it_in_any_state(rig, bundle, state):
    node = NodeProcess(model=bundle.directory, autostart='false')
    manager = Manager(rig)
    for label in {'unconfigured': (), 'inactive': ('configure',), 'finalized': ('shutdown',),
                  'active': ('configure', 'activate')}[state]:
        assert manager.change(label)
    assert manager.state() == state
    status, said = node.finish(signal.SIGTERM)
    assert status == 0 and 'Traceback' not in said, said


def test_a_manager_as_nav2_has_it_brings_it_up_sees_it_die_and_brings_it_up_again(rig, bundle):
    manager = Manager(rig)
    node = NodeProcess(model=bundle.directory, autostart='false')
    assert manager.startup()
    rig.drives()
    node.process.kill()
    node.process.wait()
    rig.until(lambda: not manager.is_there(), 'the end of its services')
    node = NodeProcess(model=bundle.directory, autostart='false')
    manager.reset()  # to every node, in whatever state it is
    assert manager.state() == 'unconfigured'
    assert manager.startup()
    rig.drives()
    manager.reset()
    assert manager.state() == 'unconfigured' and silent(rig, time.monotonic())
    assert node.finish()[0] == 0


# The node, on a backend whose opening does what the code given first says.
OPENING = [sys.executable, '-c', (
    'import sys, time\n'
    'from vla_nav_node.backends.onnx import onnx_backend\n'
    'from vla_nav_node.node import main\n'
    'code, opened = sys.argv.pop(1), onnx_backend.OnnxBackend.__init__\n'
    'def open(self, *request):\n'
    '    exec(code)\n'
    '    opened(self, *request)\n'
    'onnx_backend.OnnxBackend.__init__ = open\n'
    'sys.exit(main.main())\n')]
SLOW_S = 4.0


# The node, whose activation lasts until the file given first is there.
ACTIVATING = [sys.executable, '-c', (
    'import sys, time\n'
    'from pathlib import Path\n'
    'from vla_nav_node.node import main\n'
    'from vla_nav_node.node.heartbeat import Heartbeat\n'
    'end = Path(sys.argv.pop(1))\n'
    'def start(self):\n'
    '    while not end.exists():\n'
    '        time.sleep(0.01)\n'
    'Heartbeat.start = start\n'
    'sys.exit(main.main())\n')]


def test_a_robot_that_drives_already_can_be_disabled_before_its_state_is_active(rig, bundle,
                                                                                tmp_path):
    node = NodeProcess(command=[*ACTIVATING, str(tmp_path / 'end')], model=bundle.directory,
                       autostart='false')
    manager = Manager(rig)
    assert manager.change('configure')
    activated = manager.begin('activate')
    rig.drives()
    assert manager.state() == 'activating'
    assert rig.call(SetBool, data=False).success
    rig.stands()
    (tmp_path / 'end').touch()
    rig.until(activated.done, 'the end of the activation')
    assert activated.result().success and node.finish()[0] == 0


def test_the_state_is_answered_within_a_second_while_an_engine_is_built(rig, bundle):
    node = NodeProcess(command=[*OPENING, f'time.sleep({SLOW_S})'], model=bundle.directory,
                       autostart='false')
    manager = Manager(rig)
    assert manager.state() == 'unconfigured'
    configured = manager.begin('configure')
    states, refusals, worst = set(), set(), 0.0
    while not configured.done():
        began = time.monotonic()
        states.add(manager.state())
        worst = max(worst, time.monotonic() - began)
        refusals.add(rig.configure(max_acceleration=2.0))
    assert configured.result().success and 'configuring' in states and worst < 1.0
    assert any('the node is configuring' in refusal for refusal in refusals)
    assert node.finish()[0] == 0


def test_what_nobody_foresaw_is_logged_with_its_cause_and_everything_is_released(rig, bundle):
    node = NodeProcess(command=[*OPENING, 'raise ZeroDivisionError("the cause")'],
                       model=bundle.directory, autostart='false')
    manager = Manager(rig)
    for _ in range(2):
        assert not manager.change('configure') and manager.state() == 'unconfigured'
    assert manager.change('shutdown') and manager.state() == 'finalized'
    status, said = node.finish()
    assert status == 0 and said.count('configure: ZeroDivisionError: the cause') == 2
    assert 'Traceback' not in said


def test_a_hung_backend_is_deactivated_at_once_and_finalized_at_cleanup(rig, bundle, tmp_path):
    fault = tmp_path / 'fault'
    node = NodeProcess(command=FAULTY_NODE, env={'FAULT_FILE': str(fault)},
                       model=bundle.directory, autostart='false')
    manager = Manager(rig)
    assert manager.change('configure') and manager.change('activate')
    rig.drives()
    fault.write_text('hang')
    rig.say('driving', 'infer has not come back')
    began = time.monotonic()
    assert manager.change('deactivate')
    assert time.monotonic() - began < 2.0 and silent(rig, time.monotonic())
    assert not manager.change('cleanup') and manager.state() == 'finalized'
    status, said = node.finish()
    assert status == 0 and 'a backend hangs and cannot be closed' in said
