"""Garbage collection when it is asked for, and only then."""

import gc
import weakref

import pytest

from vla_nav_node import garbage


class Loop:
    """Something that only a collection can clear away."""

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
    """Make so much garbage; tell what is left of the first piece."""
    first = weakref.ref(Loop())
    for _ in range(count):
        Loop()
    return first


def test_garbage_waits_until_it_is_asked_for():
    garbage.settle()
    before = sum(generation['collections'] for generation in gc.get_stats())
    first = litter(10 * garbage.WAITING)
    assert first() is not None
    assert sum(generation['collections'] for generation in gc.get_stats()) == before
    garbage.tidy()
    assert first() is None


def test_a_little_is_left_for_later():
    garbage.settle()
    first = litter(garbage.WAITING // 10)
    garbage.tidy()
    assert first() is not None


def test_what_has_grown_old_is_cleared_away_too():
    garbage.settle()
    old = Loop()
    first = weakref.ref(old)
    gc.collect(1)
    gc.collect(1)  # now it is of the oldest generation
    del old
    for _ in range(garbage.FULL_EVERY + 1):
        litter(garbage.WAITING)
        garbage.tidy()
    assert first() is None


def test_without_a_driving_thread_python_collects_by_itself():
    garbage.settle()
    first = litter(garbage.BACKSTOP)
    assert first() is None


def test_whoever_collects_in_another_way_is_left_alone():
    garbage.settle()
    gc.set_threshold(100, 10 ** 9, 10 ** 9)  # as backends.gentle_import does
    before = gc.get_stats()[1]['collections']
    litter(garbage.WAITING)
    garbage.tidy()
    assert gc.get_stats()[1]['collections'] == before
