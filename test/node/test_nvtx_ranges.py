"""NVTX ranges as seen by a small profiler that is loaded into the node's process."""

import importlib.util
import os
from pathlib import Path
import shutil
import subprocess
import sys

import pytest
from rig import environment
from tiny import write_tiny

from vla_nav_node.driving.cycle import Timing
from vla_nav_node.node.nvtx_ranges import DOMAIN, PUBLISH, RangeTimer

INJECTION = Path(__file__).parents[1] / 'nvtx_injection.c'
# nvtx may be on the search path only.
SEARCH = os.pathsep.join([str(INJECTION.parents[1]), os.environ.get('PYTHONPATH', '')])
FRAMES = 20
without_nvtx = pytest.mark.skipif(importlib.util.find_spec('nvtx') is not None,
                                  reason='the package nvtx is installed')


def profile(bundle, **more):
    """Drive a real node on noise, with ranges."""
    return subprocess.run(
        [sys.executable, '-m', 'vla_nav_node.cli', 'profile', '--model', str(bundle.directory),
         '--frames', str(FRAMES), '--set', 'nvtx:=true'], text=True, capture_output=True,
        env=environment(PYTHONPATH=SEARCH, **more), cwd=INJECTION.parents[1], timeout=100,
        check=False)


@pytest.fixture(scope='module')
def injection(tmp_path_factory):
    """Compile the profiler."""
    compiler = shutil.which('cc')
    if not compiler:
        pytest.skip('no C compiler here')
    library = tmp_path_factory.mktemp('nvtx') / 'injection.so'
    subprocess.run([compiler, '-shared', '-fPIC', str(INJECTION), '-o', str(library)], check=True)
    return library


def test_a_profiler_sees_every_stage_of_every_cycle(injection, tmp_path):
    pytest.importorskip('nvtx')
    ranges = tmp_path / 'ranges.txt'
    done = profile(write_tiny(tmp_path / 'tiny'), NVTX_INJECTION64_PATH=str(injection),
                   NVTX_RANGES=str(ranges))
    assert done.returncode == 0, done.stderr
    # The watchdog publishes, too: such a range may be anywhere.
    lines = [line for line in ranges.read_text().splitlines() if PUBLISH not in line]
    begun = [line.split()[2] for line in lines if line.startswith(f'begin {DOMAIN} ')]
    assert begun[:8] == list(Timing._fields) * 2
    assert all(begun.count(stage) >= FRAMES for stage in Timing._fields)
    text = ranges.read_text()
    assert text.count(f'begin {DOMAIN} {PUBLISH}') >= FRAMES
    assert text.count('begin ') == text.count('end ')


def test_ranges_without_a_profiler_work():
    nvtx = pytest.importorskip('nvtx')
    watch = RangeTimer(nvtx.get_domain(DOMAIN))
    watch.start()
    for stage in Timing._fields:
        watch.enter(stage)
    assert min(watch.stop()) > 0.0 and watch.stage == ''


@without_nvtx
def test_a_missing_package_is_named_and_the_node_does_not_start(tmp_path):
    done = profile(write_tiny(tmp_path / 'tiny'))
    assert done.returncode == 2
    assert 'nvtx is true, but the Python package nvtx is unavailable' in done.stderr
    assert "pip install 'nvtx>=" in done.stderr


def test_without_ranges_nothing_of_nvtx_is_loaded(tmp_path):
    code = ('import sys\n'
            'import vla_nav_node.node.nvtx_ranges\n'
            'assert "nvtx" not in sys.modules\n')
    subprocess.run([sys.executable, '-c', code], check=True, cwd=INJECTION.parents[1],
                   env={**os.environ, 'PYTHONPATH': SEARCH}, timeout=60)
