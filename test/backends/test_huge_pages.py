"""Memory moves into huge pages, keeps its contents, and does not grow."""

import mmap
from pathlib import Path
import re

import numpy as np
import pytest
from vla_nav_node.backends import huge_pages
from vla_nav_node.backends.huge_pages import HUGE, NewMemory


def in_huge_pages():
    """Return how much of this process is in huge pages, in MB."""
    text = Path('/proc/self/smaps_rollup').read_text()
    return int(re.search(r'AnonHugePages:\s+(\d+)', text)[1]) / 1e3


def test_what_is_in_use_is_moved_and_stays_as_it_is():
    memory = NewMemory()
    values = np.arange(8 * HUGE // 8)
    before, checksum = in_huge_pages(), values.sum()
    result = memory.use_huge_pages()
    if not result.megabytes:
        pytest.skip(f'this kernel moves nothing at once: {result}')
    assert in_huge_pages() >= before
    assert result.megabytes >= 6 * HUGE / 1e6
    assert values.sum() == checksum
    assert 'MB in huge pages' in str(result)


def test_what_is_not_in_use_is_left_alone():
    memory = NewMemory()
    region = mmap.mmap(-1, 64 * HUGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    for offset in range(0, 64 * HUGE, HUGE):
        region[offset] = 1  # one page of each block
    before = int(Path('/proc/self/statm').read_text().split()[1])
    memory.use_huge_pages()
    grown = (int(Path('/proc/self/statm').read_text().split()[1]) - before) * mmap.PAGESIZE
    assert grown < 32 * HUGE
    region.close()


def test_what_was_there_before_is_left_alone():
    values = np.arange(8 * HUGE // 8)
    assert NewMemory().use_huge_pages().megabytes < 2 * HUGE / 1e6
    assert values[-1] == len(values) - 1


def test_without_proc_it_says_why(tmp_path):
    result = NewMemory(tmp_path).use_huge_pages()
    assert (result.megabytes, result.later) == (0.0, 0.0)
    assert str(result) == f'no huge pages: {tmp_path}/pagemap: No such file or directory'


def test_other_sizes_of_pages_are_left_alone(monkeypatch):
    monkeypatch.setattr(huge_pages.mmap, 'PAGESIZE', 65536)
    assert 'pages are of 64 kB' in NewMemory().use_huge_pages().problem


def test_only_memory_of_allocators_is_moved():
    maps = ('7f0000000000-7f0000a00000 rw-p 00000000 00:00 0 \n'
            '7f1000100000-7f1000700000 rw-p 00000000 00:00 0                          [heap]\n'
            '7f2000000000-7f2000a00000 rw-p 00000000 00:00 0                          [stack]\n'
            '7f3000000000-7f3000a00000 rw-s 00000000 00:01 77 /dev/shm/segment\n'
            '7f4000000000-7f4000a00000 r--p 00000000 00:00 0 \n'
            '7f5000000000-7f5000a00000 rw-p 00001000 08:01 42 /usr/lib/libc.so.6\n')
    assert list(huge_pages._regions(maps)) == [
        (0x7f0000000000, 0x7f0000a00000), (0x7f1000200000, 0x7f1000600000)]
