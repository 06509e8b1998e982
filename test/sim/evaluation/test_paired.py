"""Paired episodes: counts, intervals and paths."""

import math

import pytest
from vla_nav_node.sim.evaluation.paired import (
    compare_pairs, mcnemar_p, paired_interval, path_deviation)
from vla_nav_node.sim.evaluation.trials import Result


def results(outcomes, path=((0.0, 0.0), (1.0, 0.0))):
    """Return episodes with such ends, r for reached and c for contact."""
    names = {'r': 'reached', 'c': 'contact'}
    return [Result(seed, 'random', names[one], 6.0, 0.3, math.nan, path)
            for seed, one in enumerate(outcomes, 10)]


def test_pairs_are_counted_by_seed():
    found = compare_pairs(results('rrrcc' * 40), results('rrcrc' * 40, ((0.0, 0.0), (1.0, 0.5))))
    assert found['seeds'] == [10, 209] and found['episodes'] == 200
    assert (found['only_reference'], found['only_this'], found['lost']) == (40, 40, 0.0)
    assert found['success']['reached'] == found['reference']['reached'] == 0.6
    assert found['path_deviation_m'] == {'mean': 0.25, 'max': 0.5}
    low, high = found['lost_interval95']
    assert low == pytest.approx(-high) and 0.05 < high < 0.12
    assert found['mcnemar_p'] == 1.0


def test_newcombes_interval():
    """The example of Fagerland, Lydersen and Laake 2014: 21 children, before and after."""
    assert paired_interval(1, 1, 7, 12) == pytest.approx((-0.507, -0.026), abs=1e-3)
    low, high = paired_interval(200, 0, 0, 0)
    assert low == pytest.approx(-high) and 0 < high < 0.02


def test_mcnemars_exact_test():
    assert mcnemar_p(0, 0) == 1.0
    assert mcnemar_p(1, 7) == pytest.approx(2 * 9 / 256)


def test_paths_are_compared_at_equal_times():
    """An episode that ends sooner ends the comparison."""
    assert path_deviation([(0, 0), (1, 0), (2, 0)], [(0, 0), (1, 1)]) == (0.5, 1.0)
