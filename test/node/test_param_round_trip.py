"""What `ros2 param dump` writes starts the node again, with the same values."""

from contextlib import contextmanager
import os
from pathlib import Path

from hypothesis import example, given, settings, strategies as st
import pytest
from rcl_interfaces.msg import ParameterType
from rclpy.node import Node
from rclpy.parameter import Parameter, parameter_value_to_python
from rig import domain
from tiny import write_tiny
from vla_nav_node.backends import BACKENDS
from vla_nav_node.driving.parameters import parameters
from vla_nav_node.errors import SettingError
from vla_nav_node.node.managed_node import VlaNavNode
from vla_nav_node.node.parameter_calls import stored
from vla_nav_node.node.start.shutdown_context import start
import yaml

LIMITS = {'linear_x': 0.8, 'linear_y': 0.8}
TABLE = {row.name: row for row in parameters(LIMITS, tuple(BACKENDS))}
RUNTIMES = ('onnx', 'onnx:fp32@cpu', 'onnx:int8@cpu', 'torch', 'torch:fp16@cuda', 'tensorrt')
STATES = 200
TEXT = st.text(st.characters(exclude_categories=('Cs',), exclude_characters='\0'), max_size=20)
LIKE_NUMBERS = st.text('0189+-.eExXpPaAfFnNiItTyY_()', min_size=1, max_size=6)


def values(row):
    """Return a strategy for the values of a parameter."""
    if row.choices:
        return st.sampled_from(row.choices)
    if row.name == 'fallback_backends':  # each runtime once
        return st.lists(st.sampled_from(RUNTIMES), unique=True).map(tuple)
    return {bool: st.booleans(), int: st.integers(int(row.low), int(row.high)),
            float: st.floats(row.low, row.high, allow_subnormal=False),
            str: TEXT.filter(lambda text: allowed(row, text))}[row.kind]


def allowed(row, value):
    """Return whether a parameter may have a value."""
    try:
        row.check(value)
    except SettingError:
        return False
    return True


SETTINGS = st.fixed_dictionaries({row.name: values(row) for row in TABLE.values()
                                  if row.name != 'model'})


@pytest.fixture(scope='module')
def home(tmp_path_factory):
    """Write a policy; return its directory, in which the tests write their files."""
    return Path(write_tiny(tmp_path_factory.mktemp('round_trip') / 'tiny').directory).parent


@contextmanager
def node(home, *arguments):
    """Start a node, which is not configured."""
    os.environ['ROS_DOMAIN_ID'] = str(domain())
    context = start(['--ros-args', '-p', f'model:={home / "tiny"}', *arguments])
    try:
        node = VlaNavNode(context)
        yield node
        node.destroy_node()
    finally:
        context.try_shutdown()


def file_of(home, values):
    """Write a parameters file as `ros2 param dump` does, and return the arguments for it."""
    file = home / 'dump.yaml'
    file.write_text(yaml.dump({'/vla_nav_node': {'ros__parameters': values}},
                              default_flow_style=False))
    return '--params-file', str(file)


def dumped(node):
    """Return what `ros2 param dump` reads from a node."""
    names = sorted(node.list_parameters([], 0).names)
    return {name: parameter_value_to_python(node.get_parameter(name).get_parameter_value())
            for name in names}


def set_all(node, **values):
    """Set parameters as ROS's service does; return '' or the reason of the refusal."""
    result = node.set_parameters_atomically(
        [Parameter(name, value=stored(value)) for name, value in values.items()])
    assert result.successful != bool(result.reason)
    return result.reason


@pytest.fixture(scope='module')
def running(home):
    """Return a node that goes from one state to the next."""
    with node(home) as running:
        yield running


@pytest.mark.slow
@pytest.mark.timeout(400)  # a start takes 60 ms of a processor's time
def test_a_dump_of_any_state_starts_the_node_with_that_state(home, running):
    starts = []

    @settings(max_examples=STATES, deadline=None)
    @given(SETTINGS)
    def check(wanted):
        live = {name: value for name, value in wanted.items() if TABLE[name].live}
        fixed = {name: stored(value) for name, value in wanted.items() if name not in live}
        assert set_all(running, **live) == ''
        dump = {**dumped(running), **fixed}
        assert {name: dump[name] for name in wanted} == {
            name: stored(value) for name, value in wanted.items()}
        with node(home, *file_of(home, dump)) as again:
            assert dumped(again) == dump
            assert set_all(again, **dump) == ''  # as ros2 param load does
            assert dumped(again) == dump
        starts.append(dump)
    check()
    assert len(starts) >= STATES


def read_back(home, texts):
    """Return what ROS reads from a dump of texts."""
    file = file_of(home, {f'p{index}': text for index, text in enumerate(texts)})
    os.environ['ROS_DOMAIN_ID'] = str(domain())
    context = start(['--ros-args', *file])
    try:
        bare = Node('vla_nav_node', context=context, enable_rosout=False,
                    automatically_declare_parameters_from_overrides=True)
        found = [bare.get_parameter(f'p{index}').value for index in range(len(texts))]
        bare.destroy_node()
    finally:
        context.try_shutdown()
    return found


@settings(max_examples=20, deadline=None)
@given(st.lists(LIKE_NUMBERS | TEXT, min_size=100, max_size=100))
@example(['NAN', 'nan(x1)', '-inf', 'Infinity', '08', '1e5', '0x1p3', '0xf', 'y', 'N', '.5', '5.'])
def test_a_text_is_refused_if_its_dump_is_read_as_something_else(home, texts):
    row = TABLE['hardware_id']
    for text, found in zip(texts, read_back(home, texts)):
        assert found == text or not allowed(row, text)


@pytest.mark.parametrize('text', ['robot_7', '7a', 'nancy', '1.2.3', 'e5', './08', 'yes sir', ''])
def test_a_text_that_no_reader_takes_for_a_number_is_allowed(text):
    assert allowed(TABLE['hardware_id'], text)


@pytest.mark.parametrize('nothing', ['[]', 'null', '~', "['']", '[""]', "''", 'None'])
def test_no_fallbacks_are_dumped_so_that_they_can_be_read(home, nothing):
    file = home / 'empty.yaml'
    file.write_text(f'/**:\n  ros__parameters:\n    fallback_backends: {nothing}\n')
    for arguments in (['--params-file', str(file)], ['-p', f'fallback_backends:={nothing}']):
        with node(home, *arguments) as started:
            assert dumped(started)['fallback_backends'] == ['']
            with node(home, *file_of(home, dumped(started))) as again:
                assert dumped(again) == dumped(started)


@pytest.mark.parametrize(('kind', 'nothing'), [
    (Parameter.Type.BOOL_ARRAY, []),  # ros2 param set NODE fallback_backends '[]'
    (Parameter.Type.BYTE_ARRAY, []), (Parameter.Type.STRING_ARRAY, []),
    (Parameter.Type.STRING_ARRAY, ['', '']), (Parameter.Type.STRING, 'null'),
    (Parameter.Type.STRING, 'None'), (Parameter.Type.STRING, '')])
def test_no_fallbacks_are_stored_as_strings_however_they_are_set(running, kind, nothing):
    assert set_all(running, fallback_backends=['torch']) == ''
    assert running.set_parameters_atomically(
        [Parameter('fallback_backends', kind, nothing)]).successful
    stored_now = running.get_parameter('fallback_backends')
    assert (stored_now.type_, stored_now.value) == (Parameter.Type.STRING_ARRAY, [''])
    assert running.describe_parameter('fallback_backends').type == (
        ParameterType.PARAMETER_STRING_ARRAY)


def test_parameters_that_do_not_change_may_be_loaded_and_others_are_refused_whole(running):
    before = dumped(running)
    assert set_all(running, image_qos='auto', model=before['model']) == ''
    assert set_all(running, image_qos='auto', max_linear_x=0.25) == ''
    assert dumped(running) == {**before, 'max_linear_x': 0.25}
    reason = set_all(running, max_linear_x=0.5, image_qos='reliable')
    assert reason == ('image_qos cannot change while the node runs; fix: restart the node with '
                      'the new value')
    assert dumped(running) == {**before, 'max_linear_x': 0.25}


@pytest.mark.parametrize('name', [*TABLE, 'use_sim_time'])
def test_no_parameter_can_be_deleted(running, name):
    before = dumped(running)
    result = running.set_parameters_atomically([Parameter(name, Parameter.Type.NOT_SET)])
    assert not result.successful
    assert 'delete' in result.reason or 'undeclared' in result.reason
    assert dumped(running) == before


def test_an_unknown_parameter_is_refused_with_the_nearest_name(running):
    assert set_all(running, max_linar_x=0.1) == (
        '/vla_nav_node has no parameter max_linar_x; fix: write max_linear_x instead')
    assert set_all(running, zzz=0.1) == '/vla_nav_node has no parameter zzz'


def test_every_integer_has_a_range_for_the_editor_of_rqt_reconfigure(running):
    for row in TABLE.values():
        if row.kind is int:
            span, = running.describe_parameter(row.name).integer_range
            allowed = row.choices or (int(row.low), int(row.high))
            assert (span.from_value, span.to_value) == (allowed[0], allowed[-1])
            if row.choices:
                assert tuple(range(span.from_value, span.to_value + 1, span.step)) == row.choices


@pytest.mark.parametrize(('distribution', 'stamped'), [('jazzy', False), ('lyrical', True)])
def test_the_distribution_decides_only_what_the_user_does_not(
        home, monkeypatch, distribution, stamped):
    monkeypatch.setenv('ROS_DISTRO', distribution)
    with node(home) as started:
        assert dumped(started)['enable_stamped_cmd_vel'] == stamped
        assert started._settings.enable_stamped_cmd_vel == stamped
    with node(home, '-p', f'enable_stamped_cmd_vel:={not stamped}') as started:
        assert dumped(started)['enable_stamped_cmd_vel'] != stamped
