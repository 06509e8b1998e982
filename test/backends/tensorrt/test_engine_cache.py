"""Engines on the disk: only an unchanged one is loaded, and writes are atomic."""

from dataclasses import asdict, replace
import json
import multiprocessing
import os
from pathlib import Path
import resource
import signal
import stat
import subprocess
import sys

from engines import build_slowly, ENGINE, KEY
from hypothesis import given, settings, strategies as st
import pytest
from vla_nav_node.backends.tensorrt.engine_cache import (
    cache_directory, EngineCache, MAGIC, NoEngine)
from vla_nav_node.errors import BackendError

REPOSITORY = Path(__file__).resolve().parents[3]


@pytest.fixture(name='cache')
def _cache(tmp_path):
    return EngineCache(tmp_path / 'engines')


def path_of(cache, key=KEY):
    """Return the file of an engine."""
    return cache.directory / key.file_name


def test_what_was_stored_is_loaded(cache):
    with pytest.raises(NoEngine, match='not been built'):
        cache.load(KEY)
    cache.store(KEY, ENGINE)
    loaded = cache.load(KEY)
    assert (bytes(loaded.plan), loaded.facts) == ENGINE
    assert stat.S_IMODE(path_of(cache).stat().st_mode) == 0o600
    assert stat.S_IMODE(cache.directory.stat().st_mode) == 0o700
    cache.forget(KEY)
    cache.forget(KEY)
    with pytest.raises(NoEngine):
        cache.load(KEY)


def test_a_buffer_that_is_no_bytes_is_stored_too(cache):
    cache.store(KEY, ENGINE._replace(plan=memoryview(bytearray(ENGINE.plan))))
    assert bytes(cache.load(KEY).plan) == ENGINE.plan


@pytest.mark.parametrize('field', asdict(KEY))
def test_everything_it_depends_on_makes_it_another_engine(cache, field):
    other = replace(KEY, **{field: 2 if field == 'recipe' else 'other'})
    assert other.file_name != KEY.file_name
    cache.store(KEY, ENGINE)
    with pytest.raises(NoEngine, match='not been built'):
        cache.load(other)
    path_of(cache).rename(path_of(cache, other))  # as if someone had copied it there
    with pytest.raises(NoEngine, match='engine of something else'):
        cache.load(other)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_whatever_happens_to_the_file_it_is_that_engine_or_none(tmp_path_factory, data):
    cache = EngineCache(tmp_path_factory.getbasetemp() / 'damaged')
    cache.store(KEY, ENGINE)
    content = bytearray(path_of(cache).read_bytes())
    whole, how = bytes(content), data.draw(st.sampled_from(['cut', 'flip', 'insert', 'noise']))
    at = data.draw(st.integers(0, len(content) - 1))
    if how == 'cut':
        del content[at:]
    elif how == 'flip':
        content[at] ^= data.draw(st.integers(1, 255))
    elif how == 'insert':
        content[at:at] = data.draw(st.binary(min_size=1, max_size=50))
    else:
        content = bytearray(data.draw(st.sampled_from([b'', MAGIC])) + data.draw(st.binary()))
    path_of(cache).write_bytes(content)
    try:
        loaded = cache.load(KEY)
    except NoEngine:
        assert bytes(content) != whole
    else:  # some bytes of the header mean nothing, such as a second blank
        assert (bytes(loaded.plan), loaded.facts) == ENGINE


@pytest.mark.parametrize('header', [
    [], {}, {'key': 1, 'facts': {}, 'bytes': 0, 'sha256': ''}, {**asdict(KEY)},
    {'key': asdict(KEY), 'facts': {}, 'bytes': -1, 'sha256': ''},
    {'key': asdict(KEY), 'facts': {}, 'bytes': 10 ** 30, 'sha256': ''}])
def test_a_header_that_is_none_is_refused(cache, header):
    path_of(cache).write_bytes(MAGIC + json.dumps(header).encode() + b'\n')
    with pytest.raises(NoEngine):
        cache.load(KEY)


def test_a_file_that_others_write_or_that_is_none_is_not_loaded(cache, tmp_path):
    cache.store(KEY, ENGINE)
    path_of(cache).chmod(0o666)
    with pytest.raises(NoEngine, match='not a file that only this user writes'):
        cache.load(KEY)
    path_of(cache).rename(tmp_path / 'elsewhere')
    path_of(cache).symlink_to(tmp_path / 'elsewhere')
    with pytest.raises(NoEngine, match='cannot be read'):
        cache.load(KEY)
    path_of(cache).unlink()
    os.mkfifo(path_of(cache))
    with pytest.raises(NoEngine, match='not a file that only this user writes'):
        cache.load(KEY)
    path_of(cache).unlink()
    path_of(cache).mkdir()
    with pytest.raises(NoEngine, match='cannot be read'):
        cache.load(KEY)
    with pytest.raises(BackendError, match='no engine can be kept'):
        cache.forget(KEY)
    with pytest.raises(BackendError, match='no engine can be kept'):
        cache.store(KEY, ENGINE)


def test_a_directory_that_others_write_is_refused(tmp_path):
    (tmp_path / 'engines').mkdir()
    (tmp_path / 'engines').chmod(0o777)
    with pytest.raises(BackendError, match='written by others.*chmod 700'):
        EngineCache(tmp_path / 'engines')


def test_a_directory_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / 'file').write_text('')
    with pytest.raises(BackendError, match='no engine can be kept in.*XDG_CACHE_HOME'):
        EngineCache(tmp_path / 'file' / 'engines')


def test_the_directory_is_the_users_cache(monkeypatch, tmp_path):
    monkeypatch.setenv('HOME', str(tmp_path))
    for set_to, root in (('', tmp_path / '.cache'), ('relative', tmp_path / '.cache'),
                         ('/var/cache/me', Path('/var/cache/me'))):
        monkeypatch.setenv('XDG_CACHE_HOME', set_to)
        assert cache_directory() == root / 'vla_nav_node' / 'engines'


def test_a_stale_engine_is_built_again(cache):
    cache.store(KEY, ENGINE)
    content = path_of(cache).read_bytes()
    path_of(cache).write_bytes(content[:-5])
    fresh = ENGINE._replace(plan=b'fresh')
    cache.load_or_build(KEY, lambda: fresh)
    assert bytes(cache.load(KEY).plan) == b'fresh'
    cache.load_or_build(KEY, lambda: pytest.fail('it was there'))


def test_when_the_building_fails_nothing_is_left(cache):
    def fail():
        raise BackendError('no')
    with pytest.raises(BackendError, match='no'):
        cache.load_or_build(KEY, fail)
    assert [path.suffix for path in cache.directory.iterdir()] == ['.lock']
    cache.load_or_build(KEY, lambda: ENGINE)  # and the lock is free


def test_of_several_processes_one_builds(tmp_path):
    context = multiprocessing.get_context('spawn')
    arguments = (tmp_path / 'engines', tmp_path / 'diary')
    processes = [context.Process(target=build_slowly, args=(arguments[0], number, arguments[1]))
                 for number in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert len((tmp_path / 'diary').read_text().splitlines()) == 1


HOLD = ('import sys, time\n'
        'from pathlib import Path\n'
        'from vla_nav_node.backends.tensorrt.engine_cache import EngineCache, EngineKey\n'
        'def build():\n'
        '    print("building", flush=True)\n'
        '    time.sleep(60)\n'
        'EngineCache(Path(sys.argv[1])).load_or_build(EngineKey(*eval(sys.argv[2])), build)\n')


def test_a_builder_that_is_killed_leaves_the_lock_to_the_next(cache):
    process = subprocess.Popen(
        [sys.executable, '-c', HOLD, str(cache.directory), repr(tuple(asdict(KEY).values()))],
        env={**os.environ, 'PYTHONPATH': str(REPOSITORY)}, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == 'building\n'
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    cache.load_or_build(KEY, lambda: ENGINE)
    assert bytes(cache.load(KEY).plan) == ENGINE.plan


def test_a_full_disk_is_told_and_leaves_no_half_file(cache):
    cache.store(KEY, ENGINE)
    before = sorted(path.name for path in cache.directory.iterdir())
    usual = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, usual[1]))  # Python ignores the signal
    try:
        with pytest.raises(BackendError, match='no engine can be kept.*free some space'):
            cache.store(KEY, ENGINE._replace(plan=bytes(100_000)))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, usual)
    assert sorted(path.name for path in cache.directory.iterdir()) == before
    assert bytes(cache.load(KEY).plan) == ENGINE.plan  # the old one is untouched
