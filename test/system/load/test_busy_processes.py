"""Which other processes are busy."""

import os

from planted_kernel import Clock, Planted
import pytest
from vla_nav_node.system.load.busy_processes import Busy, BusyReader, explain


def stat(name, ticks, started=5):
    """Return a line of /proc/PID/stat."""
    return f'1 ({name}) S {" ".join(["0"] * 10)} {ticks} {" ".join(["0"] * 7)} {started}'


def test_the_busiest_come_first_and_this_process_is_left_out(tmp_path):
    linux, clock = Planted(tmp_path), Clock()
    reader = BusyReader(linux.roots, clock)
    own = f'proc/{os.getpid()}/stat'
    linux.plant({'proc/7/stat': stat('a b) c', 100), 'proc/8/stat': stat('idle', 9000),
                 own: stat('we', 0), 'proc/sys/stat': ''})
    assert reader.read() is None
    clock.now_s += 2.0
    linux.plant({'proc/7/stat': stat('a b) c', 300), 'proc/9/stat': stat('new', 20, 6),
                 'proc/8/stat': stat('renamed', 9001), own: stat('we', 200)})
    busy = reader.read()
    assert busy[:2] == [Busy('a b) c', 7, pytest.approx(1.0)), Busy('new', 9, pytest.approx(0.1))]
    assert explain([], [busy]) == 'most: a b) c (pid 7) 1.0, new (pid 9) 0.1'
    assert explain([], []) == ''


def test_an_old_reading_is_not_compared_with(tmp_path):
    linux, clock = Planted(tmp_path), Clock()
    reader = BusyReader(linux.roots, clock)
    linux.plant({'proc/7/stat': stat('a', 0)})
    reader.read()
    clock.now_s += 600.0
    linux.plant({'proc/7/stat': stat('a', 60000)})
    assert reader.read() is None
    clock.now_s += 1.0
    assert reader.read() == [Busy('a', 7, 0.0)]
    assert BusyReader(Planted(tmp_path / 'none').roots).read() is None
