"""When a time counts as slower."""

import numpy as np
import pytest
from vla_nav_node.driving.slowdown.blocks import Block
from vla_nav_node.driving.slowdown.expected import Learning, Normal, normal
from vla_nav_node.driving.slowdown.judgement import Judge

CALM = Normal(1.0)


def told(medians, expected=CALM, has_cause=False):
    """Return whether it is slower after each second with these medians, ms."""
    judge, results = Judge('infer'), []
    for second, value in enumerate(medians):
        judge.add(Block(float(second), 1.0, {'infer': value}))
        results.append(judge.judge(expected, has_cause))
    return results


def test_with_a_cause_three_seconds_are_enough():
    assert told([1.0] * 5 + [1.11] * 3, has_cause=True) == [False] * 7 + [True]
    assert not any(told([1.09] * 100, has_cause=True))
    assert not any(told([1.0, 1.24, 1.24] * 9, has_cause=True))


def test_twice_as_slow_needs_two_seconds():
    assert told([1.0] * 5 + [2.0] * 2, has_cause=True) == [False] * 6 + [True]
    assert not any(told([1.0, 2.0] * 10, has_cause=True))


def test_without_a_cause_it_has_to_last():
    results = told([1.0] * 60 + [1.12] * 60)
    assert 30 <= results.index(True) - 60 < 35
    assert not any(told(([1.0] * 60 + [1.3] * 25) * 5))  # a neighbour on the host
    assert not any(told([1.09] * 300))


def test_what_was_seen_while_learning_is_no_slow_down():
    noisy = Normal(1.0, short_noise=0.2, long_noise=0.15)
    assert not any(told([1.19] * 100, noisy, has_cause=True))
    assert any(told([1.21] * 3, noisy, has_cause=True))
    assert not any(told([1.22] * 300, noisy))
    assert any(told([1.23] * 300, noisy))


def test_it_is_over_when_it_is_clearly_faster():
    results = told([1.2] * 3 + [1.08] * 50, has_cause=True)
    assert all(results[3:])  # neither slow nor well: it does not flicker
    results = told([1.2] * 3 + [1.0] * 10, has_cause=True)
    assert results.index(False, 3) == 5  # three of the newest five


def test_the_time_of_the_onset():
    judge = Judge('infer')
    for second, value in enumerate([1.0] * 10 + [1.2] * 4):
        judge.add(Block(100.0 + second, 1.0, {'infer': value}))
    assert judge.judge(CALM, has_cause=True)
    assert judge.since_s == 109.0
    assert judge.describe(CALM) == 'infer is 20% slower than expected (p50 1.20 ms, not 1.00)'


def test_after_a_gap_it_begins_anew():
    judge = Judge('infer')
    for second in (1.0, 2.0, 3.0):
        judge.add(Block(second, 1.0, {'infer': 2.0}))
    assert judge.judge(CALM, has_cause=True)
    judge.add(Block(300.0, 1.0, {'infer': 2.0}))
    assert not judge.judge(CALM, has_cause=True)


def shaky(seed, seconds):
    """Return medians of seconds as a shared machine has them: noise, drift, outliers, bumps."""
    rng = np.random.default_rng(seed)
    drift = np.zeros(seconds)
    for second, step in zip(range(1, seconds), rng.normal(0.0, 0.004, seconds)):
        drift[second] = 0.98 * drift[second - 1] + step
    medians = 1.0 + drift + rng.normal(0.0, 0.03, seconds)
    medians[rng.random(seconds) < 0.02] *= 1.5
    for start in range(0, seconds, 300):
        start += rng.integers(0, 200)
        medians[start:start + rng.integers(2, 25)] *= 1.2
    return medians


@pytest.mark.parametrize('seed', range(20))
def test_hours_of_quiet_noise_are_never_told(seed):
    """Twenty times an hour; what is learned is the first minute of each."""
    medians = shaky(seed, 3600)
    learned = normal(medians[:60], np.ones(60))
    assert not any(told(medians[60:], learned))


@pytest.mark.parametrize('seed', range(20))
def test_in_the_same_noise_a_slow_down_is_told(seed):
    learning, medians = Learning(), shaky(seed, 360)
    for value in (*medians[:5], *medians[:60]):
        learning.add(Block(0.0, 1.0, {'infer': value}), True)
    learned = learning.normal()['infer']
    more = 1.05 + max(0.1, learned.short_noise)  # and what the noise of a second takes away
    assert any(told(medians[60:] * 1.05 * more, learned, has_cause=True)[:6])
    assert any(told(medians[60:] * (1.1 + 1.5 * max(0.1, learned.long_noise)), learned))


def test_recorded_series_of_a_quiet_node_are_never_told(recorded):
    """Five minutes each, of the shipped policy on a shared virtual machine with two cores."""
    assert len(recorded) > 10
    for name, medians in recorded.items():
        learned = normal(medians[:60], np.ones(60))
        if not name.startswith('drifting'):
            assert not any(told(medians[60:], learned)), name


def test_a_recorded_drift_of_a_third_is_told_when_it_has_lasted(recorded):
    medians = recorded['drifting 50 Hz infer']
    results = told(medians[60:], normal(medians[:60], np.ones(60)))
    assert 180 < results.index(True) + 60 < 260 and all(results[results.index(True):])
