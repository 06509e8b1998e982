"""No false winner and no blindness, on series of times as machines make them."""

import numpy as np
import pytest
from vla_nav_node.bench.tuning import paired_blocks
from vla_nav_node.bench.tuning.paired_blocks import (
    Block, by_start, compare, EQUAL, figures, Pair, Ratio, SLOWER, verdict, why, WINNER)
from vla_nav_node.bench.tuning.search import MOST_STARTS, QUICK_DUEL_PAIRS, STARTS

STEPS, PAIRS = 10, QUICK_DUEL_PAIRS


@pytest.fixture(autouse=True)
def fewer_resamples(monkeypatch):
    """Draw fewer samples: many duels are simulated."""
    monkeypatch.setattr(paired_blocks, 'RESAMPLES', 500)


def times(generator, scale, burner):
    """Return a block as a machine makes it: skewed, drifting, with spikes."""
    place = generator.lognormal(0.0, 0.1)  # of the process, for this turn
    ms = scale * place * 0.4 * generator.lognormal(0.0, 0.08, STEPS)
    spikes = generator.random(STEPS) < (0.15 if burner else 0.01)
    return ms + spikes * generator.exponential(1.5 if burner else 0.4, STEPS)


def duel(generator, scale=1.0, cpu=1.0, burner=False, starts=range(STARTS)):
    """Return the pairs of a duel; where the memory of a process lies makes 1 %."""
    pairs = []
    for start in starts:
        lucky = generator.lognormal(0.0, 0.01, 2)
        drift = np.exp(np.cumsum(generator.normal(0.0, 0.02, PAIRS)))
        for number in range(PAIRS):
            pairs.append(Pair(*(Block(times(generator, drift[number] * luck * factor, burner),
                                      used * generator.lognormal(0.0, 0.03))
                                for luck, factor, used in zip(lucky, (1.0, scale), (1.0, cpu))),
                              start))
    return pairs


def decided(generator, *how, **more):
    """Return the verdict of a duel that goes on as Search's does."""
    pairs = duel(generator, *how, **more)
    if verdict(pairs) == EQUAL and compare(pairs).promising:
        pairs += duel(generator, *how, **more, starts=range(STARTS, MOST_STARTS))
    return verdict(pairs)


@pytest.mark.parametrize('burner', [False, True])
def test_the_defaults_hardly_ever_beat_themselves(burner):
    generator = np.random.default_rng(1)
    answers = [decided(generator, burner=burner) for _ in range(60)]
    assert answers.count(WINNER) <= 2


def test_a_tenth_is_seen_in_both_directions():
    generator = np.random.default_rng(2)
    assert [decided(generator, 0.9) for _ in range(40)].count(WINNER) >= 39
    assert [decided(generator, 1.1) for _ in range(40)].count(SLOWER) >= 39


def test_two_percent_are_no_win_and_a_tenth_less_processor_time_is():
    generator = np.random.default_rng(3)
    assert [decided(generator, 0.98) for _ in range(40)].count(WINNER) <= 2
    assert [decided(generator, 1.0, 0.85) for _ in range(40)].count(WINNER) >= 36
    # But not at the price of the times.
    assert [decided(generator, 1.2, 0.5) for _ in range(20)].count(WINNER) == 0


def test_one_lucky_process_is_no_win():
    """Its lead has to be there at every start."""
    def start(number, scale):
        return [pair._replace(start=number)
                for pair in duel(np.random.default_rng(4), scale)[:PAIRS]]
    assert verdict(start(0, 0.8) + start(1, 1.01) + start(2, 0.8)) != WINNER
    assert verdict(start(0, 0.8) + start(1, 0.8) + start(2, 0.8)) == WINNER


def test_figures_are_those_of_the_steps():
    pair = Pair(Block(np.full(20, 1.0), 2.0), Block(np.arange(1.0, 21.0), 3.0))
    found = figures([pair, pair], 'trial', 18.0)
    assert found['p50'] == pytest.approx(10.5) and found['steps'] == 40
    assert found['late'] == pytest.approx(0.1) and found['cpu_ms'] == 3.0
    ratios = compare([pair, pair])
    assert ratios.cpu == pytest.approx(Ratio(1.5, 1.5, 1.5, 1.0))
    assert ratios.p50.value == pytest.approx(10.5)
    assert len(by_start([pair, pair._replace(start=1)])) == 2


def test_of_a_few_pairs_only_what_is_much_slower_is_called_so():
    def pairs(scale, count):
        return [Pair(Block(np.ones(10), 1.0), Block(np.full(10, scale), 1.0))] * count
    assert [verdict(pairs(1.1, count)) for count in (4, 12)] == [EQUAL, SLOWER]
    assert verdict(pairs(1.5, 4)) == SLOWER


def test_a_lead_is_told_in_words():
    pair = Pair(Block(np.full(20, 2.0), 2.0), Block(np.full(20, 1.0), 1.0))
    assert why(compare([pair] * 3)) == (
        'p99 50% less, slowest tenth 50% less, median 50% less, processor time 50% less')
