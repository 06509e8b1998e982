"""The command line and parameters files, parsed as ROS does it."""

from hypothesis import given, settings, strategies as st
import pytest
from vla_nav_node.errors import SettingError
from vla_nav_node.node.start.ros_arguments import (
    matches, parse, readers_of, refuse_non_ros, sections, split)
import yaml

NAMES = st.text('abz_9', min_size=1, max_size=4).filter(lambda name: not name[0].isdigit())
PLAIN = st.text('abz:=-./', max_size=6).filter(lambda text: text not in ('--', '--ros-args'))


def write(folder, text):
    """Write a parameters file."""
    path = folder / 'params.yaml'
    path.write_text(text)
    return str(path)


@given(st.lists(st.tuples(st.booleans(), st.lists(PLAIN, max_size=3)), max_size=4))
def test_arguments_for_ros_are_split_from_the_others(parts):
    line = [text for ros, texts in parts
            for text in ('--ros-args' if ros else '--', *texts)]
    assert split(line) == ([text for ros, texts in parts if ros for text in texts],
                           [text for ros, texts in parts if not ros for text in texts])


@pytest.mark.parametrize(('rule', 'section', 'name'), [
    ('backend:=torch', '/**', 'backend'), ('pilot:backend:=torch', 'pilot', 'backend'),
    ('a.b:=x:=y:z', '/**', 'a.b'), ('backend:=', '/**', 'backend')])
@pytest.mark.parametrize('flag', ['-p', '--param'])
def test_a_rule_of_a_parameter(flag, rule, section, name):
    override, = parse(['--ros-args', flag, rule]).overrides
    assert override[:3] == (f'-p {rule}', section, (name,))


@pytest.mark.parametrize(('rule', 'node', 'match', 'to'), [
    ('image:=/camera', '', 'image', '/camera'), ('pilot:image:=a/b', 'pilot', 'image', 'a/b'),
    ('__ns:=/robot', '', '__ns', '/robot'), ('rostopic://image:=x', '', 'image', 'x'),
    ('pilot:rosservice://~/reset:=x', 'pilot', '~/reset', 'x')])
@pytest.mark.parametrize('flag', ['-r', '--remap'])
def test_a_rule_of_a_remapping(flag, rule, node, match, to):
    remapping, = parse(['x', '--ros-args', flag, rule, '--', 'y']).remappings
    assert remapping == (f'-r {rule}', node, match, to)


@pytest.mark.parametrize(('section', 'full_name', 'expected'), [
    ('/**', '/robot1/vla_nav_node', True), ('**', '/vla_nav_node', True),
    ('/*', '/vla_nav_node', True), ('/*', '/robot1/vla_nav_node', False),
    ('vla_nav_node', '/vla_nav_node', True), ('/vla_nav_node', '/vla_nav_node', True),
    ('vla_nav_node', '/robot1/vla_nav_node', False), ('vla_nav_node', '/pilot', False),
    ('/robot1/vla_nav_node', '/robot1/vla_nav_node', True),
    ('robot1/vla_nav_node', '/robot2/vla_nav_node', False),
    ('/**/vla_nav_node', '/a/b/vla_nav_node', True), ('/**/vla_nav_node', '/vla_nav_node', True),
    ('/*/vla_nav_node', '/a/b/vla_nav_node', False), ('/robot1/**', '/robot1/vla_nav_node', True),
    ('/robot1/**', '/robot2/vla_nav_node', False), ('', '/vla_nav_node', False)])
def test_which_node_a_section_matches(section, full_name, expected):
    assert matches(section, full_name) is expected


@given(st.dictionaries(NAMES, st.one_of(
    st.just({}), st.dictionaries(NAMES, st.one_of(st.integers(), st.dictionaries(
        NAMES, st.integers(), min_size=1, max_size=2)), max_size=3)), min_size=1, max_size=3))
@settings(max_examples=30)
def test_the_names_of_a_file(tmp_path_factory, nodes):
    path = write(tmp_path_factory.mktemp('p'), yaml.safe_dump(
        {node: {'ros__parameters': names} for node, names in nodes.items()}))
    found = {override.section: set(override.names) for override in sections(path)}
    assert found == {f'/{node}': {
        f'{name}.{inner}' if inner else name for name, value in names.items()
        for inner in (value if isinstance(value, dict) else [''])}
        for node, names in nodes.items()}


@pytest.mark.parametrize(('text', 'found'), [
    ('robot:\n  pilot:\n    ros__parameters: {a: 1}\n', {'/robot/pilot': ('a',)}),
    ('/robot:\n  /pilot:\n    ros__parameters: {a: 1}\n', {'/robot/pilot': ('a',)}),
    ('a:\n  ros__parameters: {b: 1}\n---\nc:\n  ros__parameters: {d.e: [1]}\n',
     {'/a': ('b',), '/c': ('d.e',)}),
    ('a:\n  ros__parameters: {on: 1, 2: !!binary x, n: null}\n', {'/a': ('on', '2', 'n')}),
    ('', {'': ()}), ('# nothing\n', {'': ()}), ('a: 1\n', {'': ()}), ('[a]\n', {'': ()}),
    ('a:\n  ros__parameters:\n', {'/a': ()})])
def test_the_sections_of_a_file(tmp_path, text, found):
    path = write(tmp_path, text)
    assert {override.section: override.names for override in sections(path)} == found


def test_a_file_that_is_no_yaml_is_named(tmp_path):
    with pytest.raises(SettingError, match='params.yaml: .* expected a parameters file in YAML'):
        sections(write(tmp_path, 'a: [\n'))


@pytest.mark.parametrize(('text', 'readers'), [
    ('/**:\n  ros__parameters: {a: 1}\n', ['driver', 'robot']),
    ('driver:\n  ros__parameters: {a: 1}\n', ['driver']),
    ('/r1/robot:\n  ros__parameters: {a: 1}\n', ['driver', 'robot']),  # for no node: all refuse it
    ('robot:\n  ros__parameters: {a: 1}\ndriver:\n  ros__parameters: {}\n', ['driver', 'robot'])])
def test_which_node_gets_the_file_of_a_launch(tmp_path, text, readers):
    assert readers_of(write(tmp_path, text), '', ['driver', 'robot']) == readers


@pytest.mark.parametrize('namespace', ['r1', '/r1', '/r1/'])
def test_which_node_gets_the_file_of_a_launch_in_a_namespace(tmp_path, namespace):
    path = write(tmp_path, '/r1/robot:\n  ros__parameters: {a: 1}\n')
    assert readers_of(path, namespace, ['driver', 'robot']) == ['robot']


@pytest.mark.parametrize('line', [[], ['--'], ['--ros-args', '-p', 'a:=1'],
                                  ['--ros-args', '--', '--ros-args']])
def test_arguments_for_ros_are_accepted(line):
    refuse_non_ros('driver', 'Drive.', line)


@pytest.mark.parametrize('line', [
    ['backend:=torch'], ['image:=/camera'], ['-p', 'a:=1'], ['--params-file', 'f'], ['--hel'],
    ['--ros-args', '-p', 'a:=1', '--', 'x'], ['', '--ros-args'], ['--backend', 'torch']])
def test_other_arguments_are_refused(line):
    with pytest.raises(SettingError, match='unknown arguments: .*--ros-args -p NAME:=VALUE'):
        refuse_non_ros('driver', 'Drive.', line)


@pytest.mark.parametrize(('line', 'text'), [
    (['--help'], 'Drive.'), (['-h'], 'Drive.'), (['--version'], 'driver '),
    (['--ros-args', '-p', 'a:=1', '--', '--help'], 'Drive.')])
def test_help_and_version_print_and_end(capsys, line, text):
    with pytest.raises(SystemExit) as end:
        refuse_non_ros('driver', 'Drive.', line)
    assert end.value.code == 0
    assert text in capsys.readouterr().out
