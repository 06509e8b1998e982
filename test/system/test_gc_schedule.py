"""Garbage is collected on request, and only then."""

import gc
import weakref

import pytest

from vla_nav_node.system import gc_schedule


class Loop:
    """An object that only a collection can free."""

    def __init__(self):
        """Refer to itself."""
        self.itself = self


@pytest.fixture(autouse=True)
def usual_collections():
    """Leave the tests' own process as it was."""
    usual = gc.get_threshold()
    yield
    gc.set_threshold(*usual)
    gc.unfreeze()


def litter(count):
    """Make `count` pieces of garbage; return a reference to the first."""
    first = weakref.ref(Loop())
    for _ in range(count):
        Loop()
    return first


def test_what_became_garbage_since_it_settled_is_collected_when_it_settles_again():
    kept = Loop()
    first = weakref.ref(kept)
    gc_schedule.settle()
    del kept
    gc.collect()
    assert first() is not None  # exempted
    gc_schedule.settle()
    assert first() is None


def test_garbage_waits_until_it_is_asked_for():
    gc_schedule.settle()
    before = sum(generation['collections'] for generation in gc.get_stats())
    first = litter(10 * gc_schedule.WAITING)
    assert first() is not None
    assert sum(generation['collections'] for generation in gc.get_stats()) == before
    gc_schedule.tidy()
    assert first() is None


def test_a_little_is_left_for_later():
    gc_schedule.settle()
    first = litter(gc_schedule.WAITING // 10)
    gc_schedule.tidy()
    assert first() is not None


def test_what_has_grown_old_is_cleared_away_too():
    gc_schedule.settle()
    old = Loop()
    first = weakref.ref(old)
    gc.collect(1)
    gc.collect(1)  # now it is of the oldest generation
    del old
    for _ in range(gc_schedule.FULL_EVERY + 1):
        litter(gc_schedule.WAITING)
        gc_schedule.tidy()
    assert first() is None


def test_without_a_driving_thread_python_collects_by_itself():
    gc_schedule.settle()
    first = litter(gc_schedule.BACKSTOP)
    assert first() is None


def test_whoever_collects_in_another_way_is_left_alone():
    gc_schedule.settle()
    gc.set_threshold(100, 10 ** 9, 10 ** 9)  # as backends.background_import does
    before = gc.get_stats()[1]['collections']
    litter(gc_schedule.WAITING)
    gc_schedule.tidy()
    assert gc.get_stats()[1]['collections'] == before
