"""Settings without effect are refused at the start, by a node that really has them."""

import pytest
from rclpy.node import Node
from rig import domain

from vla_nav_node.errors import SettingError
from vla_nav_node.node.start.shutdown_context import start
from vla_nav_node.node.start.unused_settings import refuse_unused

TOPICS = ('image', 'cmd_vel', '~/enable')
SLOW = '{max_speed: 0.1}'


@pytest.fixture
def launch(tmp_path, monkeypatch):
    """Return a function that starts a node with a command line, and files by name."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv('ROS_DOMAIN_ID', str(domain()))

    def launch(*line, shared=(), **files):
        for name, text in files.items():
            (tmp_path / f'{name}.yaml').write_text(text)
        context = start(['--ros-args', *line])
        try:
            node = Node('driver', context=context)
            node.declare_parameter('max_speed', 0.5)
            node.declare_parameter('backend', 'onnx')
            refuse_unused(node, context.arguments, TOPICS, shared)
            return node.get_parameter('max_speed').value
        finally:
            context.try_shutdown()
    return launch


def section(name, values=SLOW):
    """Return a section of a parameters file."""
    return f'{name}:\n  ros__parameters: {values}\n'


FILE = ('--params-file', 'f.yaml')
ROBOT = ('-r', '__ns:=/robot')


@pytest.mark.parametrize(('line', 'file'), [
    (('-p', 'max_speed:=0.1'), ''), (('-p', 'driver:max_speed:=0.1'), ''),
    (FILE, section('/**')), (FILE, section('driver')), (FILE, section('/driver')),
    ((*FILE, *ROBOT), section('/robot/driver')),
    ((*FILE, *ROBOT), 'robot:\n  driver:\n    ros__parameters: {max_speed: 0.1}\n'),
    ((*FILE, '-r', '__node:=pilot'), section('pilot')),
    ((*FILE, '-r', 'driver:__node:=pilot'), section('pilot') + section('other', '{x: 1}')),
    ((*FILE, '--params-file', 'f.yaml'), section('/**')),
    ((*FILE, '-p', 'use_sim_time:=true', '-p', 'start_type_description_service:=false'),
     section('/**')),
    ((*FILE, '-r', 'image:=/camera', '-r', '/cmd_vel:=/base/cmd_vel', '-r', '~/enable:=go', '-r',
      'driver:cmd_vel:=x', '-r', '/tf:=tf', '-r', 'rosout:=/log', '-r', '~/get_parameters:=/get'),
     section('/**')),
    (('-p', 'max_speed:=0.1', '-p', 'qos_overrides./image.subscription.depth:=1'), '')])
def test_settings_for_the_node_take_effect(launch, line, file):
    assert launch(*line, f=file) == 0.1


@pytest.mark.parametrize(('line', 'file', 'found', 'fix'), [
    (('-p', 'max_sped:=0.1'), '', r'/driver has no parameter max_sped \(-p max_sped:=0.1\)',
     'write max_speed instead of max_sped'),
    (('-p', 'MAX_SPEED:=0.1'), '', 'MAX_SPEED', 'remove MAX_SPEED'),
    (FILE, section('/**', '{max: {sped: 0.1}}'), r'max.sped \(f.yaml, /\*\*\)',
     'write max_speed instead of max.sped'),
    (FILE, section('driver', '{backnd: torch, zzz: 1}'), r'backnd \(.*, zzz \(f.yaml, /driver\)',
     'write backend instead of backnd; remove zzz'),
    (('-p', 'other:max_speed:=0.1'), '', 'is for the node other; this node is /driver',
     'remove the node name'),
    (('-p', 'driver:max_speed:=0.1', *ROBOT), '', 'node is /robot/driver', 'remove the node'),
    (('-p', 'driver:max_speed:=0.1', '-r', '__node:=pilot'), '', 'node is /pilot', 'remove the'),
    (FILE, section('other') + section('/robot/driver'),
     'f.yaml has no section for the node /driver, only for /other, /robot/driver',
     r'expected a section /driver or /\*\*'),
    ((*FILE, *ROBOT), section('driver'), 'only for /driver', r'a section /robot/driver or /\*\*'),
    ((*FILE, *ROBOT), section('/*'), 'no section for the node /robot/driver', r'/\*\*'),
    (FILE, '', 'f.yaml has no section for the node /driver; expected', 'remove the file'),
    (FILE, '# all of it a comment\n', 'node /driver; expected', 'remove the file'),
    (('-r', 'imge:=/camera'), '', '-r imge:=/camera remaps no name of /driver; expected one of '
     'image, cmd_vel, ~/enable', 'write image instead of imge'),
    (('-r', 'backend:=torch'), '', 'remaps no name', 'write -p backend:=torch'),
    (('-r', '/image:=/camera', *ROBOT), '', 'remaps no name of /robot/driver', 'write image'),
    (('-r', 'other:image:=/camera'), '', 'remaps no name', ''),
    (('-r', '/camera:=image'), '', 'remaps no name', ''),
    (('-r', 'other:__node:=pilot'), '', 'remaps no name', ''),
])
def test_a_setting_without_effect_ends_the_start(launch, line, file, found, fix):
    with pytest.raises(SettingError, match=f'{found}.*{fix}'):
        launch(*line, f=file)


def test_a_second_file_for_no_node_is_refused_beside_a_good_one(launch):
    with pytest.raises(SettingError, match='g.yaml has no section for the node /driver'):
        launch(*FILE, '--params-file', 'g.yaml', f=section('/**'), g=section('other'))


def test_a_section_of_this_nodes_parameters_for_another_node_is_warned_of(launch, capfd):
    text = section('/**') + section('drivr') + section('camera', '{use_sim_time: true}')
    assert launch(*FILE, f=text) == 0.1
    warning, = [line for line in capfd.readouterr().err.splitlines() if 'WARN' in line]
    assert 'f.yaml, /drivr: not for this node, /driver' in warning


def test_a_wildcard_is_read_as_this_ros_reads_it_or_refused(launch):
    for name in ('/*', '/**/driver'):
        try:
            assert launch(*FILE, f=section(name)) == 0.1
        except SettingError as error:  # Humble
            assert 'this ROS distribution does not read max_speed from f.yaml' in str(error)


def test_a_section_for_many_nodes_may_hold_parameters_of_the_others(launch):
    text = '{max_speed: 0.1, frame_rate: 20.0}'
    assert launch(*FILE, shared=('frame_rate',), f=section('/**', text)) == 0.1
    for line, file in ((FILE, section('driver', text)), (('-p', 'frame_rate:=20.0'), '')):
        with pytest.raises(SettingError, match='has no parameter frame_rate'):
            launch(*line, shared=('frame_rate',), f=file)
    with pytest.raises(SettingError, match='has no parameter frame_rate'):
        launch(*FILE, f=section('/**', text))
