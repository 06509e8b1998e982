"""Who uses the cores."""

from planted_kernel import Clock, Planted
import pytest
from vla_nav_node.system.load.cpu_use import (
    CpuReader, CpuUse, explain_idler, explain_load, explain_others, explain_own, explain_stolen)

QUIET = CpuUse(2, 0.1, 0.2, 0.0)


def test_the_use_between_two_readings(tmp_path):
    linux, clock = Planted(tmp_path), Clock()
    reader = CpuReader(linux.roots, clock, lambda: frozenset({0, 1}))
    linux.cpu(used=100, own=50)
    assert reader.read() is None  # nothing to compare with
    clock.now_s += 2.0
    linux.cpu(used=400, own=150, stolen=20)
    assert reader.read() == pytest.approx((2, 1.0, 0.5, 0.05))


def test_only_the_cores_that_it_may_use_count(tmp_path):
    linux, clock = Planted(tmp_path), Clock()
    reader = CpuReader(linux.roots, clock, lambda: frozenset({1}))
    linux.cpu(used=0)
    reader.read()
    clock.now_s += 1.0
    linux.cpu(used=200)
    assert reader.read() == pytest.approx((1, 1.0, 0.0, 0.0))


def test_readings_that_are_too_close_are_left_out(tmp_path):
    linux, clock = Planted(tmp_path), Clock()
    reader = CpuReader(linux.roots, clock, lambda: frozenset({0, 1}))
    linux.cpu(used=0)
    reader.read()
    clock.now_s += 0.1
    assert reader.read() is None
    clock.now_s += 0.9
    linux.cpu(used=100)
    assert reader.read().others == pytest.approx(1.0)


def test_without_the_files_there_is_no_sample(tmp_path):
    reader = CpuReader(Planted(tmp_path).roots)
    assert reader.read() is None is reader.read()


def test_this_machine_tells():
    clock = Clock()
    reader = CpuReader(clock_s=clock)
    reader.read()
    clock.now_s += 1.0
    assert reader.read().cores >= 1


def test_others_that_use_more_are_told_and_less_is_harmless():
    busy = [QUIET._replace(others=1.8)] * 3
    assert explain_others([QUIET], busy) == 'other processes use 1.8 of 2 cores, 0.1 before'
    assert explain_others([QUIET], [QUIET._replace(others=0.3)]) == ''
    assert explain_others([QUIET], [QUIET, *busy]) == ''  # for a moment only
    assert explain_others(busy, [QUIET]) == explain_idler([QUIET], busy) == ''
    assert explain_idler(busy, [QUIET]).startswith('other processes use 0.1 cores, 1.8 before')
    assert explain_own([QUIET], [QUIET._replace(own=1.0)]).startswith('this process itself uses')


def test_on_many_cores_it_takes_more_to_matter():
    many = CpuUse(64, 1.0, 0.2, 0.0)
    assert explain_others([many], [many._replace(others=6.0)]) == ''
    assert explain_others([many], [many._replace(others=9.0)])


def test_stolen_time():
    assert 'takes 10% of its time (steal), 0% before' in explain_stolen(
        [QUIET], [QUIET._replace(stolen=0.1)])
    assert explain_stolen([QUIET], [QUIET._replace(stolen=0.02)]) == ''


def test_what_disturbs_learning():
    assert explain_load([]) == explain_load([QUIET._replace(others=0.4)]) == ''
    assert explain_load([QUIET._replace(others=1.2)]) == 'other processes used 1.2 of 2 cores'
    assert explain_load([QUIET._replace(stolen=0.2)]) == 'the host took 20% of the time'
