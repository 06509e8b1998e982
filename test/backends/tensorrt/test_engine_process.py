"""The process that builds an engine: its progress and its end are reported."""

from dataclasses import asdict
import fcntl
import io
import json
import logging
import os
from pathlib import Path
import shutil
import subprocess
import sys
import time

import pytest
from vla_nav_node.backends import is_installed
from vla_nav_node.backends.cuda.cuda_errors import KERNEL_MODULE
from vla_nav_node.backends.tensorrt.engine_builder import ORPHANED, Progress
from vla_nav_node.backends.tensorrt.engine_cache import Engine, EngineCache, EngineKey
from vla_nav_node.backends.tensorrt.engine_process import build_engine, BUILDER
from vla_nav_node.bundle.bundle import sha256_of, SHIPPED
from vla_nav_node.errors import BackendError

REPOSITORY = Path(__file__).resolve().parents[3]
WITHOUT = pytest.mark.skipif(is_installed('tensorrt'), reason='TensorRT is installed here')


@pytest.fixture(name='graph')
def _graph(tmp_path):
    return Path(shutil.copy(SHIPPED / 'policy.fp32.onnx', tmp_path))


@pytest.fixture(name='cache')
def _cache(tmp_path):
    return EngineCache(tmp_path / 'engines')


def key_of(graph, **changes):
    """Return the key of a graph's engine."""
    return EngineKey(**{**asdict(EngineKey(sha256_of(graph), '10.3.0', 'a GPU', '8.7', 'uuid',
                                           'fp32', 'shapes', 1)), **changes})


@WITHOUT
def test_the_reason_of_a_refusal_comes_from_the_other_process(graph, cache, caplog):
    with caplog.at_level(logging.INFO, 'vla_nav_node'), \
            pytest.raises(BackendError, match='tensorrt is not installed.*pip install'):
        build_engine(graph, key_of(graph), cache, 'tiny')
    assert 'building the TensorRT engine of tiny (fp32) for a GPU' in caplog.text
    assert [path.suffix for path in cache.directory.iterdir()] == ['.lock']


@pytest.mark.skipif(KERNEL_MODULE.exists(), reason='there is a driver here')
def test_the_real_builder_without_a_driver_is_told_as_that(graph, cache):
    """It fails after reading the graph, when it asks TensorRT for a builder."""
    pytest.importorskip('tensorrt', reason='TensorRT is not installed here')
    pytest.importorskip('onnx', reason='onnx is not installed here')
    with pytest.raises(BackendError, match=r'no NVIDIA driver .*failure with error: 35'):
        build_engine(graph, key_of(graph), cache, 'tiny')
    assert [path.suffix for path in cache.directory.iterdir()] == ['.lock']


def test_a_graph_that_was_altered_is_not_built(graph, cache):
    with pytest.raises(BackendError, match='was altered since the bundle was loaded'):
        build_engine(graph, key_of(graph, model='0' * 64), cache, 'tiny')


def test_an_engine_that_another_process_has_built_is_taken(graph, cache):
    key = key_of(graph)
    cache.store(key, Engine(b'plan', {}))
    build_engine(graph, key, cache, 'tiny')
    assert cache.load(key).plan == b'plan'


def test_a_full_disk_is_told_before_minutes_are_spent(graph, cache, tmp_path):
    large = tmp_path / 'large.onnx'
    with open(large, 'wb') as file:  # nothing but a hole, larger than what is free
        file.truncate(shutil.disk_usage(tmp_path).free)
    with pytest.raises(BackendError, match='too little for an engine.*XDG_CACHE_HOME'):
        build_engine(large, key_of(graph), cache, 'tiny')


def test_a_process_that_dies_is_told_with_its_last_words(graph, cache, monkeypatch, tmp_path):
    (tmp_path / 'bin').mkdir()
    for name, script, message in (
            ('crash', 'echo "out of everything" >&2; kill -9 $$', 'killed by SIGKILL: out of'),
            ('fail', 'echo "went wrong" >&2; exit 7', 'ended with status 7: went wrong'),
            ('silent', 'exit 1', 'ended with status 1')):
        path = tmp_path / 'bin' / name
        path.write_text(f'#!/bin/sh\nread order\n{script}\n')
        path.chmod(0o755)
        monkeypatch.setattr(sys, 'executable', str(path))
        with pytest.raises(BackendError, match=message):
            build_engine(graph, key_of(graph), cache, 'tiny')


def test_a_builder_may_take_its_time_to_exit(graph, cache, monkeypatch, tmp_path):
    """A closed input would end it with an error after it has stored the engine."""
    path = tmp_path / 'slow'
    path.write_text(f'#!{sys.executable}\nimport os, select, sys\nsys.stdin.readline()\n'
                    'os.close(1)\nsys.exit(bool(select.select([0], [], [], 0.5)[0]))\n')
    path.chmod(0o755)
    monkeypatch.setattr(sys, 'executable', str(path))
    build_engine(graph, key_of(graph), cache, 'tiny')


def test_the_builder_ends_when_nobody_waits_for_it(graph, cache):
    """A node that was killed must not leave a process behind that keeps its GPU busy."""
    order = {'key': asdict(key_of(graph)), 'graph': str(graph),
             'directory': str(cache.directory)}
    with open(cache.directory / f'{key_of(graph).file_name}.lock', 'w') as lock, \
            subprocess.Popen([sys.executable, '-m', BUILDER], stdin=subprocess.PIPE, text=True,
                             env={**os.environ, 'PYTHONPATH': str(REPOSITORY)}) as process:
        fcntl.flock(lock, fcntl.LOCK_EX)  # so that it has to wait
        process.stdin.write(json.dumps(order) + '\n')
        process.stdin.flush()
        time.sleep(0.5)
        assert process.poll() is None
        process.stdin.close()
        assert process.wait(30) == ORPHANED


def test_progress_is_told_while_it_lasts(monkeypatch):
    monkeypatch.setattr('vla_nav_node.backends.tensorrt.engine_builder.REPORT_EVERY_S', 0.05)
    lines = io.StringIO()
    progress = Progress(lines)
    progress.start()
    progress.enter('Building Engine', 4)
    progress.step('Building Engine', 0)
    progress.enter('Tactics', 90)
    progress.step('Tactics', 29)
    assert progress.text() == '0 s, Building Engine 1 of 4, Tactics 30 of 90'
    progress.leave('Tactics')
    progress.leave('unknown')
    time.sleep(0.3)
    progress.stop()
    reports = [json.loads(line)['progress'] for line in lines.getvalue().splitlines()]
    assert reports and reports[-1].endswith('Building Engine 1 of 4')
    time.sleep(0.2)
    assert len(lines.getvalue().splitlines()) <= len(reports) + 1
