"""A config keeps its comments, its order and its old file; nothing is ever half-written."""

import errno
from pathlib import Path
import string

from hypothesis import example, given, settings, strategies as st
import pytest
from rooms import REPOSITORY
import yaml

for package in ('ruamel.yaml',):
    pytest.importorskip(package)

from vla_nav_node.bench.tuning.given import ros_config  # noqa: E402, I100
from vla_nav_node.bench.tuning.given.ros_config import RosConfig  # noqa: E402
from vla_nav_node.errors import SettingError  # noqa: E402

TEXT = """\
# my robot
/**:
  ros__parameters:
    backend: onnx   # fast
    # of the camera
    image_transport: "raw"
    fallback_backends: ["onnx:fp32@cpu", 'torch']
camera:
  ros__parameters:
    rate: 30.0
"""
TUNED = {'backend': 'onnx', 'intra_op_num_threads': 2, 'huge_pages': False, 'rehearsal_ms': 2.0,
         'tuned_for': 'processor=A: B; cores=2', 'tuned_p99_ms': 0.5}


@pytest.fixture
def file(tmp_path):
    """Write a parameter file."""
    path = tmp_path / 'robot.yaml'
    path.write_text(TEXT)
    return path


def test_only_the_tuned_lines_change_and_the_old_file_stays(file):
    config = RosConfig(file)
    config.set(TUNED)
    removed = [line for line in config.diff().splitlines()[2:] if line.startswith('-')]
    assert removed == [] and '+    intra_op_num_threads: 2' in config.diff()
    assert file.read_text() == TEXT  # nothing is written yet
    backup = config.write()
    assert Path(backup).name == 'robot.yaml.bak' and Path(backup).read_text() == TEXT
    written = file.read_text()
    assert [line for line in written.splitlines() if line in TEXT.splitlines()] == \
        TEXT.splitlines()
    assert yaml.safe_load(written)['/**']['ros__parameters'].items() >= TUNED.items()


def test_no_old_file_is_ever_overwritten(file):
    for number in range(3):
        config = RosConfig(file)
        config.set({'intra_op_num_threads': number + 1})
        config.write()
    assert sorted(path.name for path in file.parent.iterdir()) == [
        'robot.yaml', 'robot.yaml.bak', 'robot.yaml.bak1', 'robot.yaml.bak2']
    assert (file.parent / 'robot.yaml.bak').read_text() == TEXT


def test_a_missing_file_is_made(tmp_path):
    config = RosConfig(tmp_path / 'new.yaml')
    config.set(TUNED)
    assert config.write() == ''
    assert yaml.safe_load((tmp_path / 'new.yaml').read_text()) == {
        '/**': {'ros__parameters': TUNED}}


def test_the_file_that_ships_is_changed_in_its_own_lines_only(tmp_path):
    path = tmp_path / 'copy.yaml'
    before = (REPOSITORY / 'config' / 'vla_nav_node.yaml').read_text()
    path.write_text(before)
    config = RosConfig(path)
    config.set(TUNED)
    changed = [line[1:].split(':')[0].strip() for line in config.diff().splitlines()[2:]
               if line[:1] in '+-' and line[:3] not in ('+++', '---')]
    assert set(changed) == set(TUNED) - {'backend'}


@pytest.mark.parametrize(('text', 'name'), [
    ('/**:\n  ros__parameters:\n    a: 1\nvla_nav_node:\n  ros__parameters:\n    a: 2\n', 2),
    ('/robot1/vla_nav_node:\n  ros__parameters:\n    a: 3\n', 3),
    ('robot1:\n  vla_nav_node:\n    ros__parameters:\n      a: 4\n', 4),
    ('robot1:\n  "**":\n    ros__parameters:\n      a: 5\n', 5)])
def test_the_most_specific_section_is_taken(tmp_path, text, name):
    (tmp_path / 'a.yaml').write_text(text)
    assert RosConfig(tmp_path / 'a.yaml').values == {'a': name}


@pytest.mark.parametrize(('text', 'problem'), [
    ('a: [1', 'is not YAML that can be read: line'),
    ('\t- x', 'is not YAML'), ('just words', 'parameters for no node'),
    ('- 1\n- 2\n', 'parameters for no node'), ('a: 1\na: 2\n', 'is not YAML'),
    ('twist_mux:\n  ros__parameters:\n    a: 1\n', 'parameters for /twist_mux'),
    ('---\na: 1\n---\nb: 2\n', 'is not YAML')])
def test_what_is_no_parameter_file_is_refused_in_one_line(tmp_path, text, problem):
    path = tmp_path / 'a.yaml'
    path.write_text(text)
    with pytest.raises(SettingError) as caught:
        RosConfig(path)
    assert problem in str(caught.value) and '\n' not in str(caught.value)
    assert path.read_text() == text


def test_bytes_that_are_no_text_are_refused(tmp_path):
    (tmp_path / 'a.yaml').write_bytes(b'\xff\xfe\x00')
    with pytest.raises(SettingError, match='cannot be read'):
        RosConfig(tmp_path / 'a.yaml')


def test_a_read_only_file_is_refused_before_any_work(file):
    file.chmod(0o444)
    with pytest.raises(SettingError, match='robot.yaml is read-only'):
        RosConfig(file)


@pytest.mark.parametrize(('path', 'problem'), [
    ('.', 'is a directory'), ('nowhere/robot.yaml', 'its directory does not exist')])
def test_a_place_where_no_file_can_be_is_refused(tmp_path, path, problem):
    with pytest.raises(SettingError, match=problem):
        RosConfig(tmp_path / path)


def test_a_read_only_directory_is_refused(file, monkeypatch):
    monkeypatch.setattr(ros_config.os, 'access', lambda path, mode: Path(path) != file.parent)
    with pytest.raises(SettingError, match='is read-only'):
        RosConfig(file)


@pytest.mark.parametrize('links', [True, False])
def test_a_full_disk_leaves_the_file_as_it_was(file, monkeypatch, links):
    def full(*_):
        raise OSError(errno.ENOSPC, 'No space left on device')
    config = RosConfig(file)
    config.set(TUNED)
    monkeypatch.setattr('vla_nav_node.system.atomic_files.flush', full)
    if not links:
        monkeypatch.setattr(ros_config.os, 'link', full)
    with pytest.raises(SettingError, match='robot.yaml cannot be written: No space left'):
        config.write()
    assert file.read_text() == TEXT
    assert {path.name for path in file.parent.iterdir()} <= {'robot.yaml', 'robot.yaml.bak'}


def test_a_file_system_without_links_gets_a_copy(file, monkeypatch):
    def none(*_):
        raise OSError(errno.EPERM, 'Operation not permitted')
    monkeypatch.setattr(ros_config.os, 'link', none)
    for number in range(2):
        config = RosConfig(file)
        config.set({'intra_op_num_threads': number + 1})
        config.write()
    assert (file.parent / 'robot.yaml.bak').read_text() == TEXT
    assert (file.parent / 'robot.yaml.bak1').exists()


def test_a_link_stays_a_link(file):
    link = file.with_name('link.yaml')
    link.symlink_to(file)
    config = RosConfig(link)
    config.set({'intra_op_num_threads': 2})
    config.write()
    assert link.is_symlink() and 'intra_op_num_threads: 2' in file.read_text()


names = st.text(string.ascii_lowercase + '_', min_size=1, max_size=12).map(lambda name: f'x{name}')
values = st.one_of(
    st.booleans(), st.integers(-1000, 1000), st.floats(0.001, 1000.0).map(lambda x: round(x, 3)),
    st.text(string.printable.strip() + ' ', max_size=20), st.lists(
        st.text(string.ascii_letters, max_size=5), max_size=3))
comments = st.text(string.ascii_letters + ' ', max_size=20)


@settings(max_examples=60, deadline=None)
@example(before={'x_': False}, comment='', tuned={'x_': '0?', 'xa': 'on'}, style=None)
@given(before=st.dictionaries(names, values, min_size=1, max_size=6), comment=comments,
       tuned=st.dictionaries(names, st.one_of(st.booleans(), st.integers(0, 99), st.floats(
           0.0, 20.0).map(lambda x: round(x, 3)), st.text(string.printable.strip(), max_size=20)),
           max_size=4), style=st.sampled_from([None, False, True]))
def test_what_is_not_tuned_comes_back_as_it_was(tmp_path_factory, before, comment, tuned, style):
    path = tmp_path_factory.mktemp('config') / 'a.yaml'
    tree = {'/**': {'ros__parameters': before}, 'other': {'ros__parameters': dict(before)}}
    path.write_text(f'# {comment}\n' + yaml.safe_dump(tree, default_flow_style=style,
                                                      sort_keys=False))
    config = RosConfig(path)
    config.set(tuned)
    config.write()
    written = path.read_text()
    found = yaml.safe_load(written)
    assert found['/**']['ros__parameters'] == {**before, **tuned}
    assert found['other'] == tree['other']
    assert list(found['/**']['ros__parameters'])[:len(before)] == list(before)
    assert written.startswith(f'# {comment}'.rstrip())
