"""The rows of the report, its answer, and what goes into a config."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from vla_nav_node.backends.options import BackendOptions
from vla_nav_node.bench.tuning.arena import Pace
from vla_nav_node.bench.tuning.paired_blocks import Block, Pair
from vla_nav_node.bench.tuning.report.tune_rows import answer, rows_of, thrift
from vla_nav_node.bench.tuning.search import Entry, ranked
from vla_nav_node.bench.tuning.trial import Subject, Trial

BASELINE = Trial(Subject('a', 'onnx', Path('a.onnx')), own_defaults=True)
PACE = Pace()


def entry(name, scale, cpu=1.0, duel=False):
    """Return a trial that takes `scale` times as long as the baseline."""
    made = Entry(replace(BASELINE, own_defaults=False, planted=name))
    pairs = [Pair(Block(np.ones(10), 1.0), Block(np.full(10, scale), cpu))] * 12
    made.add(pairs)
    if duel:
        made.duel, made.status = pairs, 'winner'
    return made


def test_the_winner_is_first_failures_last_and_the_baseline_in_its_place():
    failed = Entry(replace(BASELINE, planted='d'), status='failed', reason='it crashed')
    rows = rows_of(BASELINE, [entry('a', 1.5), failed, entry('b', 0.8, duel=True),
                              entry('c', 0.7)], PACE)
    assert [row['settings'] for row in rows] == [
        'b', 'c', "ONNX Runtime's own defaults", 'a', "ONNX Runtime's own defaults"]
    assert [row['rank'] for row in rows] == [1, 2, 3, 4, None]
    assert [row['status'] for row in rows] == ['winner', 'ahead', 'baseline', 'slower', 'failed']
    assert rows[0]['p99'] == pytest.approx(0.8) and rows[2]['p50'] == 1.0


def test_of_two_equal_ones_the_thrifty_one_is_first():
    fast, thrifty, slow = entry('a', 0.80), entry('b', 0.81, 0.5), entry('c', 0.95, 0.1)
    assert ranked([slow, fast, thrifty]) == [thrifty, fast, slow]


def test_the_answer_is_in_words():
    won = entry('b', 0.8, 0.5, duel=True)
    assert answer(won, [won], PACE) == (
        'Take onnx: b: p99 20% less, slowest tenth 20% less, median 20% less, processor time '
        '50% less than the baseline. p50 0.80 ms instead of 1.00, p99 0.80 instead of 1.00, '
        'processor time a step 0.50 ms instead of 1.00, at one step every 20 ms.')
    assert answer(None, [entry('a', 1.0)], PACE).startswith('no winner, the defaults stay: no')
    assert 'Give more --minutes' in answer(None, [], PACE)


def test_what_saves_much_processor_time_is_told():
    said = thrift(None, [entry('a', 1.2, 0.05), entry('b', 1.0, 0.9)])
    assert said == ("If the robot needs the processor: onnx: a takes 5% of the baseline's "
                    'processor time; its median is 1.20 and its p99 1.20 times as long.')
    assert thrift(None, [entry('b', 1.0, 0.9)]) == thrift(None, []) == ''
    assert thrift(entry('c', 0.5, 0.06, duel=True), [entry('a', 1.2, 0.05)]) == ''


def test_a_trial_tells_all_of_its_settings():
    trial = replace(BASELINE, own_defaults=False).with_changes(
        {'huge_pages': False, 'intra_op_num_threads': 2, 'rehearsal_ms': 2.0})
    assert trial.name == 'onnx: intra_op_num_threads=2, huge_pages=false, rehearsal_ms=2'
    assert trial.options == BackendOptions(intra_op_num_threads=2, huge_pages=False)
    assert trial.at_defaults().name == 'onnx: the defaults'
