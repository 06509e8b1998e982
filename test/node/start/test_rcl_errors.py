"""The errors by which ROS refuses to start, really provoked, each with its fix."""

import pytest
from rig import domain

from vla_nav_node.errors import SettingError
from vla_nav_node.node.start.rcl_errors import check_domain, explain
from vla_nav_node.node.start.shutdown_context import start

FILE = ('--params-file', 'f.yaml')


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv('ROS_DOMAIN_ID', str(domain()))


def refusal(*line):
    """Return why a command line does not start."""
    with pytest.raises(SettingError) as error:
        start(['--ros-args', *line]).try_shutdown()
    assert '/project/' not in str(error.value) and '.c:' not in str(error.value)
    assert 'check the command line' not in str(error.value)
    return error.value


@pytest.mark.parametrize(('text', 'found', 'fix'), [
    ('a: 1', 'Cannot have a value before ros__parameters at line 1', 'put ros__parameters: below'),
    ('vla:\n  ros__parameter:\n    a: 1', 'before ros__parameters at line 3', 'put ros__par'),
    ('/**:\n  ros__parameters:\n    a: [1', 'Error parsing a event near line 3', 'brackets and'),
    ('/**:\n\tros__parameters:\n    a: 1', 'near line 1', 'spaces instead of tabs'),
    ('/**:\n  ros__parameters:\n    a: [1, x]', 'same type', 'write [0.1, 1.0]'),
    ('/**:\n  ros__parameters:\n    a: &x 1\n    b: *x', 'aliasing', 'without & and *'),
    ('/my-robot:\n  ros__parameters:\n    a: 1', 'alphanumerics', 'names of letters'),
    ('/**:\n  ros__parameters:\n    a: \xff', 'Error parsing', 'correct the file at that line')])
def test_a_bad_parameters_file(tmp_path, text, found, fix):
    (tmp_path / 'f.yaml').write_bytes(text.encode('latin-1'))
    error = refusal(*FILE)
    assert found in error.found and 'f.yaml' in error.found
    assert fix in error.fix


@pytest.mark.parametrize(('line', 'found', 'fix'), [
    (FILE, 'Error opening YAML file', 'check the path after --params-file'),
    (('--params-file', '.'), "'--params-file .'", 'correct the file'),
    (('--params-file',), 'No file path provided', 'write its value after it'),
    (('-p',), 'trailing -p flag', 'write its value after it'),
    (('-p', 'backend=torch'), '-p backend=torch', 'write := between name and value'),
    (('-p', 'backend:=[a'), '-p backend:=[a', 'quote it for the shell'),
    (('-p', '/robot/x:backend:=y'), '-p /robot/x:backend:=y', 'quote it'),
    (('-r', '__ns:=robot'), '-r __ns:=robot', 'write -r __ns:=/NAMESPACE'),
    (('-r', '__ns:=/ro-bot'), '-r __ns:=/ro-bot', 'write -r __ns:=/NAMESPACE'),
    (('-r', '__node:=my-node'), '-r __node:=my-node', 'write -r __node:=NAME'),
    (('-r', 'image'), '-r image', 'write := between the names'),
    (('-r', 'max_linear_x:=0.1'), '-r max_linear_x:=0.1', 'a parameter is -p NAME:=VALUE'),
    (('--log-level', 'loud'), '--log-level loud', 'write --log-level info'),
    (('--log-level',), 'No log level provided', 'write its value'),
    (('--bogus', 'torch'), "'--bogus', 'torch'", 'put one of these before it'),
    (('backend:=torch',), "'backend:=torch'", 'put one of these before it'),
    (('--enclave', 'x'), 'Enclave name is not valid', 'write --enclave /NAME'),
])
def test_a_bad_command_line(line, found, fix):
    error = refusal(*line)
    assert found in error.found
    assert fix in error.fix


@pytest.mark.parametrize('value', ['233', '1000', '-1', 'abc', '1.5', '0x1', '9' * 20])
def test_a_domain_that_does_not_exist(value, monkeypatch):
    monkeypatch.setenv('ROS_DOMAIN_ID', value)
    error = refusal()
    assert error.found == f'ROS_DOMAIN_ID is {value!r}'
    assert (error.expected, error.fix) == ('a number from 0 to 232', 'set ROS_DOMAIN_ID to one')
    check_domain({'ROS_DOMAIN_ID': '233', 'RMW_IMPLEMENTATION': 'rmw_zenoh_cpp'})


@pytest.mark.parametrize('value', ['', '0', '232', ' 7'])
def test_a_domain_that_exists(value):
    check_domain({'ROS_DOMAIN_ID': value})


@pytest.mark.parametrize(('variable', 'value', 'fix'), [
    ('ROS_LOG_DIR', '/proc/none', 'set ROS_LOG_DIR to one'),
    ('FASTRTPS_DEFAULT_PROFILES_FILE', '/nowhere.xml', 'unset FASTRTPS_DEFAULT_PROFILES_FILE'),
    ('FASTDDS_DEFAULT_PROFILES_FILE', '/nowhere.xml', 'unset FASTDDS_DEFAULT_PROFILES_FILE')])
def test_a_bad_environment(variable, value, fix, monkeypatch):
    monkeypatch.setenv(variable, value)
    with pytest.raises(Exception, match=fix):
        start([]).try_shutdown()


def test_what_cannot_be_provoked_here():
    """Another middleware than the one that these wheels are built with, and keys."""
    error = explain('failed to initialize rcl init options: failed to load shared library '
                    "'librmw_none.so' due to dlopen error, at ./src/functions.cpp:65, "
                    'at ./src/rcl/init_options.c:75')
    assert error.fix == 'install the one that RMW_IMPLEMENTATION names, or unset it'
    assert 'functions.cpp' not in error.found
    assert 'docs/security.md' in explain('SECURITY ERROR: directory does not exist').fix
    assert 'check the command line' in explain('the moon is full, at /x/y.c:7').fix
