"""What a user sets and nobody reads: refused at the start, by a node that was really told so."""

import pytest
from rclpy.node import Node
from rig import domain

from vla_nav_node.errors import SettingError
from vla_nav_node.node.start.reach import refuse_unheard
from vla_nav_node.node.start.shutdown_context import start

TOPICS = ('image', 'cmd_vel', '~/enable')
SLOW = '{max_speed: 0.1}'


@pytest.fixture
def told(tmp_path, monkeypatch):
    """Return what starts a node with a command line and checks it; files are written by name."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv('ROS_DOMAIN_ID', str(domain()))

    def told(*line, neighbours=(), **files):
        for name, text in files.items():
            (tmp_path / f'{name}.yaml').write_text(text)
        context = start(['--ros-args', *line])
        try:
            node = Node('driver', context=context)
            node.declare_parameter('max_speed', 0.5)
            node.declare_parameter('backend', 'onnx')
            refuse_unheard(node, context.arguments, TOPICS, neighbours)
            return node.get_parameter('max_speed').value
        finally:
            context.try_shutdown()
    return told


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
def test_what_reaches_the_node_is_taken(told, line, file):
    assert told(*line, f=file) == 0.1


@pytest.mark.parametrize(('line', 'file', 'said', 'advice'), [
    (('-p', 'max_sped:=0.1'), '', r'/driver has no parameter max_sped \(-p max_sped:=0.1\)',
     'write max_speed for max_sped'),
    (('-p', 'MAX_SPEED:=0.1'), '', 'MAX_SPEED', 'leave MAX_SPEED out'),
    (FILE, section('/**', '{max: {sped: 0.1}}'), r'max.sped \(f.yaml, /\*\*\)',
     'write max_speed for max.sped'),
    (FILE, section('driver', '{backnd: torch, zzz: 1}'), r'backnd \(.*, zzz \(f.yaml, /driver\)',
     'write backend for backnd; leave zzz out'),
    (('-p', 'other:max_speed:=0.1'), '', 'is for the node other, and this is /driver',
     'leave the name of the node out'),
    (('-p', 'driver:max_speed:=0.1', *ROBOT), '', 'and this is /robot/driver', 'leave the name'),
    (('-p', 'driver:max_speed:=0.1', '-r', '__node:=pilot'), '', 'this is /pilot', 'leave the'),
    (FILE, section('other') + section('/robot/driver'),
     'f.yaml has nothing for the node /driver, only for /other, /robot/driver',
     r'expected a section /driver or /\*\*'),
    ((*FILE, *ROBOT), section('driver'), 'only for /driver', r'a section /robot/driver or /\*\*'),
    ((*FILE, *ROBOT), section('/*'), 'nothing for the node /robot/driver', r'/\*\*'),
    (FILE, '', 'f.yaml has nothing for the node /driver, only for nobody', 'leave the file out'),
    (FILE, '# all of it a comment\n', 'only for nobody', 'leave the file out'),
    (('-r', 'imge:=/camera'), '', '-r imge:=/camera remaps nothing of /driver; expected one of '
     'image, cmd_vel, ~/enable', 'write image for imge'),
    (('-r', 'backend:=torch'), '', 'remaps nothing', 'write -p backend:=torch'),
    (('-r', '/image:=/camera', *ROBOT), '', 'remaps nothing of /robot/driver', 'write image'),
    (('-r', 'other:image:=/camera'), '', 'remaps nothing', ''),
    (('-r', '/camera:=image'), '', 'remaps nothing', ''),
    (('-r', 'other:__node:=pilot'), '', 'remaps nothing', ''),
])
def test_what_reaches_nobody_ends_the_start(told, line, file, said, advice):
    with pytest.raises(SettingError, match=f'{said}.*{advice}'):
        told(*line, f=file)


def test_a_second_file_for_nobody_is_refused_beside_a_good_one(told):
    with pytest.raises(SettingError, match='g.yaml has nothing for the node /driver'):
        told(*FILE, '--params-file', 'g.yaml', f=section('/**'), g=section('other'))


def test_a_section_of_our_parameters_for_another_node_is_told(told, capfd):
    text = section('/**') + section('drivr') + section('camera', '{use_sim_time: true}')
    assert told(*FILE, f=text) == 0.1
    warning, = [line for line in capfd.readouterr().err.splitlines() if 'WARN' in line]
    assert 'f.yaml, /drivr: not for this node, /driver' in warning


def test_a_wildcard_is_read_as_this_ros_reads_it_or_refused(told):
    for name in ('/*', '/**/driver'):
        try:
            assert told(*FILE, f=section(name)) == 0.1
        except SettingError as error:  # Humble
            assert 'this ROS does not read max_speed from f.yaml' in str(error)


def test_a_file_may_hold_the_neighbours_parameters_where_it_is_for_many_nodes(told):
    text = '{max_speed: 0.1, frame_rate: 20.0}'
    assert told(*FILE, neighbours=('frame_rate',), f=section('/**', text)) == 0.1
    for line, file in ((FILE, section('driver', text)), (('-p', 'frame_rate:=20.0'), '')):
        with pytest.raises(SettingError, match='has no parameter frame_rate'):
            told(*line, neighbours=('frame_rate',), f=file)
    with pytest.raises(SettingError, match='has no parameter frame_rate'):
        told(*FILE, f=section('/**', text))
