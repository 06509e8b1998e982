"""Processor, limits, disk and shared memory, on planted files."""

from pathlib import Path
import subprocess
import sys

import pytest
from vla_nav_node.doctor.checks.check import FAILED, OK, SKIPPED, WARNING
from vla_nav_node.doctor.checks.machine import (
    core_quota, disk_space, governor, realtime_limits, shared_memory)
from vla_nav_node.doctor.checks.place import Place
from vla_nav_node.doctor.examination import run


def write(root, files):
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


def found(module, **place):
    return run(module.CHECK, Place(**place))


@pytest.mark.parametrize('names, status', [
    ([], SKIPPED), (['performance'] * 2, OK), (['performance', 'powersave'], WARNING)])
def test_governor(tmp_path, names, status):
    write(tmp_path, {f'devices/system/cpu/cpu{number}/cpufreq/scaling_governor': f'{name}\n'
                     for number, name in enumerate(names)})
    result = found(governor, sys=tmp_path)
    assert result.status == status
    assert 'cpupower' in ''.join(finding.remedy for finding in result.unwell) or status != WARNING


@pytest.mark.parametrize('files, status, words', [
    ({'sys/fs/cgroup/a/b/cpu.max': 'max 100000\n'}, OK, 'no quota'),
    ({'sys/fs/cgroup/a/b/cpu.max': '50000 100000\n'}, WARNING, '0.5 core'),
    ({'sys/fs/cgroup/a/b/cpu.max': 'max 100000\n', 'sys/fs/cgroup/a/cpu.max': '20000 100000\n',
      'sys/fs/cgroup/a/cpu.stat': 'nr_periods 9\nnr_throttled 7\n'}, WARNING, 'so far 7 times'),
    ({'sys/fs/cgroup/a/b/cpu.max': '99900000 100000\n'}, OK, '999 core'), ({}, SKIPPED, '')])
def test_quota_of_version_2(tmp_path, files, status, words):
    stats = {str(Path(name).parent / 'cpu.stat'): '' for name in files}
    write(tmp_path, {'proc/self/cgroup': '0::/a/b\n', **stats, **files})
    result = found(core_quota, proc=tmp_path / 'proc', sys=tmp_path / 'sys')
    assert (result.status, words in result.worst.found) == (status, True)


def test_quota_of_version_1(tmp_path):
    write(tmp_path, {'proc/self/cgroup': '4:cpu,cpuacct:/docker/x\n',
                     'sys/fs/cgroup/cpu/docker/x/cpu.cfs_quota_us': '25000\n',
                     'sys/fs/cgroup/cpu/docker/x/cpu.cfs_period_us': '100000\n'})
    result = found(core_quota, proc=tmp_path / 'proc', sys=tmp_path / 'sys')
    assert result.status == WARNING and '0.25 core' in result.worst.found


@pytest.mark.parametrize('priority, memory, capabilities, count', [
    ('0', '8388608', '0', 2), ('99', 'unlimited', '0', 0), ('0', '65536', '1ffffffffff', 0),
    ('42', '65536', '0', 1)])
def test_realtime(tmp_path, priority, memory, capabilities, count):
    write(tmp_path, {
        'self/limits': f'Max locked memory   {memory}   {memory}   bytes\n'
                       f'Max realtime priority     {priority}      {priority}      \n',
        'self/status': f'Name: x\nCapEff:\t{capabilities}\n'})
    result = found(realtime_limits, proc=tmp_path)
    assert len(result.unwell) == count
    assert all('limits.d' in finding.remedy for finding in result.unwell)


def in_small_disk(tmp_path, size, code):
    """Run code with a tmpfs of some size at tmp_path/disk; skip where none can be mounted."""
    (tmp_path / 'disk').mkdir()
    done = subprocess.run(
        ['unshare', '-rm', 'sh', '-c', f'mount -t tmpfs -o size={size} none {tmp_path}/disk && '
         f'exec {sys.executable} -c "$0"', code], capture_output=True, text=True, timeout=60,
        check=False)
    if 'unshare' in done.stderr or 'mount' in done.stderr:
        pytest.skip(f'no tmpfs can be mounted here: {done.stderr}')
    assert done.returncode == 0, done.stderr
    return done.stdout


IMPORTS = ('import os; from pathlib import Path; from vla_nav_node.doctor.examination import run; '
           'from vla_nav_node.doctor.checks.place import Place; ')


def test_a_full_cache_disk(tmp_path):
    told = in_small_disk(tmp_path, '2m', IMPORTS + (
        'from vla_nav_node.doctor.checks.machine.disk_space import CHECK; '
        f'os.environ["XDG_CACHE_HOME"] = "{tmp_path}/disk"; '
        f'Path("{tmp_path}/disk/fill").write_bytes(bytes(2 << 20)); '
        'result = run(CHECK, Place()); print(result.status, result.worst)'))
    assert told.startswith('failed')
    assert 'No space left on device' in told and 'XDG_CACHE_HOME' in told


@pytest.mark.parametrize('size, status', [('16m', FAILED), ('64m', WARNING), ('256m', OK)])
def test_little_shared_memory(tmp_path, size, status):
    told = in_small_disk(tmp_path, size, IMPORTS + (
        'from vla_nav_node.doctor.checks.machine.shared_memory import CHECK; '
        f'result = run(CHECK, Place(shm=Path("{tmp_path}/disk"))); '
        'print(result.status, result.worst)'))
    assert told.startswith(status) and ('--shm-size' in told) == (status != OK)


def test_no_shared_memory_at_all_and_a_middleware_that_needs_none(tmp_path):
    assert found(shared_memory, shm=tmp_path / 'none').status == FAILED
    assert found(shared_memory, shm=tmp_path,
                 environment={'RMW_IMPLEMENTATION': 'rmw_zenoh_cpp'}).status == SKIPPED


def test_enough_disk():
    assert found(disk_space).status in (OK, WARNING)
