"""What is learned of the times."""

import pytest
from vla_nav_node.driving.slowdown.blocks import Block
from vla_nav_node.driving.slowdown.expected import Learning, normal


def add(learning, count, infer=1.0, quiet=True, seconds=1.0):
    """Add blocks."""
    for _ in range(count):
        learning.add(Block(0.0, seconds, {'infer': infer}), quiet)


def warm():
    """Return what has seen the first seconds, which do not count."""
    learning = Learning()
    add(learning, 5, infer=9.0)
    return learning


def test_a_quiet_minute_is_enough_and_what_was_loaded_is_left_out():
    learning = warm()
    add(learning, 59)
    add(learning, 30, infer=2.0, quiet=False)
    assert not learning.suffices(loaded_too=True)
    add(learning, 1)
    assert learning.suffices(loaded_too=False)
    assert learning.normal()['infer'] == (1.0, 0.0, 0.0)


def test_without_a_quiet_minute_all_counts_after_three():
    learning = warm()
    add(learning, 30)
    add(learning, 149, infer=2.0, quiet=False)
    assert not learning.suffices(loaded_too=True)
    add(learning, 1, infer=2.0, quiet=False)
    assert learning.suffices(loaded_too=True) and not learning.suffices(loaded_too=False)
    assert learning.normal()['infer'].p50 == 2.0 and not learning.is_quiet


def test_at_a_slow_pace_seconds_count_and_not_blocks():
    learning = warm()
    add(learning, 30, seconds=2.0)
    assert learning.suffices(loaded_too=False)


def test_the_noise_of_three_in_a_row_and_of_longer_stretches():
    spike = [1.0] * 20 + [1.5, 1.5] + [1.0] * 38  # two in a row are no slow-down
    assert normal(spike, [1.0] * 60) == (1.0, 0.0, 0.0)
    bump = [1.0] * 20 + [1.2] * 5 + [1.0] * 35
    assert normal(bump, [1.0] * 60).short_noise == pytest.approx(0.03)  # one bump is not usual
    bumps = ([1.0] * 12 + [1.2] * 5 + [1.0] * 3) * 3
    assert normal(bumps, [1.0] * 60).short_noise == pytest.approx(0.2)
    drift = [1.0] * 29 + [1.1] * 31
    assert normal(drift, [1.0] * 60).long_noise == pytest.approx(0.1 / 1.1)
