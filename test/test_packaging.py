"""What colcon, pip and rosdep read has to be there, and to agree with itself."""

import configparser
import json
from pathlib import Path
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree

import pytest
from vla_nav_node.driving.latency_recorder import FIELDS
from vla_nav_node.errors import VlaNavError
from vla_nav_node.node.start import fastdds_profile

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope='module')
def manifest():
    """Read package.xml."""
    return ElementTree.parse(ROOT / 'package.xml').getroot()


def read_setup(argument: str) -> str:
    """Ask setup.py, as colcon does."""
    done = subprocess.run([sys.executable, '-W', 'ignore', 'setup.py', '--quiet', argument],
                          cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_package_xml_is_what_colcon_takes_for_ament_python(manifest):
    assert manifest.get('format') == '3'
    assert manifest.findtext('name') == 'vla_nav_node'
    assert manifest.findtext('export/build_type') == 'ament_python'
    assert manifest.findtext('license') == 'Apache-2.0'
    assert all(manifest.findtext(tag) for tag in ('description', 'maintainer', 'version'))
    assert '@' in manifest.find('maintainer').get('email')


def test_name_and_version_are_the_same_everywhere(manifest):
    pytest.importorskip('setuptools', reason='setuptools is not in this environment')
    assert read_setup('--name') == manifest.findtext('name')
    assert read_setup('--version') == manifest.findtext('version')


def test_every_ros_package_that_is_imported_is_a_dependency(manifest):
    listed = {element.text for element in manifest if element.tag.endswith('depend')}
    code = '\n'.join(path.read_text() for folder in ('vla_nav_node', 'launch')
                     for path in (ROOT / folder).rglob('*.py'))
    imported = set(re.findall(r'^\s*(?:from|import) (\w+)', code, re.MULTILINE))
    ros = {name for name in imported
           if name.endswith(('_msgs', '_srvs', '_interfaces')) or name in (
               'rclpy', 'cv_bridge', 'launch', 'launch_ros', 'ament_index_python')}
    assert ros >= {'rclpy', 'sensor_msgs', 'launch_ros'}
    assert ros <= listed


def test_what_reads_jpegs_comes_with_pip_and_with_rosdep(manifest):
    """Without it a compressed camera is refused; rosdep's key is in its python.yaml."""
    assert 'python3-simplejpeg-pip' in {
        element.text for element in manifest.findall('exec_depend')}
    assert "'simplejpeg>=1.8'" in (ROOT / 'setup.py').read_text()


def test_what_describes_the_machine_comes_with_the_extras_of_the_verbs_that_measure():
    setup = (ROOT / 'setup.py').read_text()
    assert "MEASURE = ['psutil>=5.9']" in setup
    for extra in ('GPU_BENCH', 'BENCH', 'CONVERT'):
        assert re.search(rf'^{extra} = .*\bMEASURE\b', setup, re.MULTILINE)
    assert 'psutil' not in setup.partition('install_requires=')[2].partition(']')[0]


def test_ros2_run_finds_its_executables():
    config = configparser.ConfigParser()
    config.read(ROOT / 'setup.cfg')
    assert config['install']['install_scripts'] == '$base/lib/vla_nav_node'
    assert config['develop']['script_dir'] == '$base/lib/vla_nav_node'
    assert (ROOT / 'resource' / 'vla_nav_node').is_file()


def test_changelog_is_one_that_catkin_reads():
    lines = (ROOT / 'CHANGELOG.rst').read_text().splitlines()
    assert lines[1] == 'Changelog for package vla_nav_node'
    assert set(lines[0]) == set(lines[2]) == {'^'}
    heading = lines.index('Forthcoming')
    assert set(lines[heading + 1]) == {'-'}


def test_rqt_perspective_plots_what_the_node_publishes():
    perspective = json.loads((ROOT / 'config' / 'vla_nav_node.perspective').read_text())
    manager = perspective['groups']['pluginmanager']
    assert 'rqt_runtime_monitor/RuntimeMonitor' in manager['keys']['running-plugins']['repr']
    plotted = []
    for plugin in manager['groups'].values():
        topics = plugin['groups']['plugin']['keys']['topics']['repr']
        plotted += re.findall(r'/vla_nav_node/latency/data\[(\d)\]', topics)
    assert [FIELDS[int(index)] for index in plotted] == ['cycle', 'infer', 'publish', 'age']


def test_the_profile_that_is_found_is_the_one_that_ships():
    assert fastdds_profile.profile_path() == ROOT / 'config' / 'fastdds.xml'
    profile = fastdds_profile.profile_path().read_text()
    assert re.search(r'<segment_size>(\d+)<', profile).group(1) == str(32 << 20)


def test_profile_is_added_under_both_names_and_leaves_the_rest():
    environment = fastdds_profile.environment({'HOME': '/home/robot'})
    assert environment.pop('HOME') == '/home/robot'
    assert environment == dict.fromkeys(
        ('FASTRTPS_DEFAULT_PROFILES_FILE', 'FASTDDS_DEFAULT_PROFILES_FILE'),
        str(fastdds_profile.profile_path()))


@pytest.mark.parametrize('name', fastdds_profile.VARIABLES)
def test_a_profile_of_the_users_own_wins(name, tmp_path):
    own = tmp_path / 'own.xml'
    own.write_text('<profiles xmlns="http://www.eprosima.com/XMLSchemas/fastRTPS_Profiles"/>')
    assert fastdds_profile.environment({name: str(own)}) == {name: str(own)}


@pytest.mark.parametrize('name', fastdds_profile.VARIABLES)
@pytest.mark.parametrize(('content', 'problem'), [
    (None, 'No such file or directory'), ('', 'it is not XML (no element found'),
    ('<dds>', 'it is not XML'), ('profiles: {}', 'it is not XML'),
    ('<html/>', 'its root element is html, not dds or profiles')])
def test_a_profile_that_fast_dds_would_pass_over_is_refused(name, content, problem, tmp_path):
    own = tmp_path / 'own.xml'
    if content is not None:
        own.write_text(content)
    for more in ({}, {'RMW_IMPLEMENTATION': 'rmw_fastrtps_cpp'}):
        with pytest.raises(VlaNavError, match=re.escape(f'{name} is {own}: {problem}')):
            fastdds_profile.environment({name: str(own), **more})
    other = {name: str(own), 'RMW_IMPLEMENTATION': 'rmw_cyclonedds_cpp'}
    assert fastdds_profile.environment(other) == other  # it reads no such file


def test_a_directory_is_no_profile(tmp_path):
    with pytest.raises(VlaNavError, match='Is a directory'):
        fastdds_profile.environment({fastdds_profile.VARIABLES[0]: str(tmp_path)})


def test_profile_of_an_ament_prefix_is_found(tmp_path, monkeypatch):
    config = tmp_path / 'share' / 'vla_nav_node' / 'config'
    config.mkdir(parents=True)
    (config / 'fastdds.xml').write_text('<dds/>')
    packages = tmp_path / 'lib' / 'python3' / 'site-packages'
    elsewhere = packages / 'vla_nav_node' / 'node' / 'start' / 'fastdds_profile.py'
    monkeypatch.setattr(fastdds_profile, '__file__', str(elsewhere))
    assert fastdds_profile.profile_path() == config / 'fastdds.xml'
    monkeypatch.setattr(fastdds_profile, '__file__',
                        '/a/vla_nav_node/node/start/fastdds_profile.py')
    monkeypatch.setenv('AMENT_PREFIX_PATH', f'/opt/nothing:{tmp_path}')
    assert fastdds_profile.profile_path() == config / 'fastdds.xml'


def test_a_missing_profile_is_refused_with_where_it_was_looked_for(monkeypatch, tmp_path):
    monkeypatch.setattr(fastdds_profile, '__file__',
                        str(tmp_path / 'vla_nav_node' / 'node' / 'start' / 'fastdds_profile.py'))
    monkeypatch.setattr(fastdds_profile.sys, 'prefix', str(tmp_path))
    monkeypatch.setenv('AMENT_PREFIX_PATH', '')
    with pytest.raises(VlaNavError, match=f'no fastdds.xml in {tmp_path}/config'):
        fastdds_profile.profile_path()
