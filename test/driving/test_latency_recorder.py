"""The record of the latencies."""

import numpy as np
import pytest
from vla_nav_node.driving.latency_recorder import FIELDS, LatencyRecorder, Percentiles


def row(cycle, used=0.5):
    """Return the values of a cycle."""
    return (cycle, *range(1, len(FIELDS) - 1), used)


def test_percentiles_and_misses():
    recorder = LatencyRecorder()
    for number in range(1, 101):
        recorder.record(number * 0.01, row(number, used=number / 98))
    summary = recorder.summary(1.0)
    assert list(summary.fields) == list(FIELDS)
    assert summary.fields['cycle'] == pytest.approx((50.5, 95.05, 99.01, 100.0))
    assert summary.fields['deserialise'] == Percentiles(1.0, 1.0, 1.0, 1.0)
    assert (summary.cycles, summary.misses, summary.total_misses) == (100, 2, 2)
    assert summary.rate == pytest.approx(101.0, rel=0.01)


def test_the_window_slides_and_the_totals_stay():
    recorder = LatencyRecorder(window_s=1.0)
    for number in range(400):
        recorder.record(number * 0.01, row(number, used=2.0 if number < 100 else 0.1))
    summary = recorder.summary(3.99)
    assert (summary.cycles, summary.misses) == (100, 0)
    assert (summary.total_cycles, summary.total_misses) == (400, 100)
    assert summary.fields['cycle'].most == 399.0


def test_the_ring_keeps_the_newest():
    recorder = LatencyRecorder(window_s=100.0, capacity=10)
    for number in range(25):
        recorder.record(number * 0.01, row(number))
    summary = recorder.summary(0.25)
    assert (summary.cycles, summary.total_cycles) == (10, 25)
    assert summary.fields['cycle'].p50 == pytest.approx(np.median(range(15, 25)))


def test_without_cycles():
    recorder = LatencyRecorder(window_s=1.0)
    assert recorder.summary(0.0).fields == {}
    recorder.record(0.0, row(1.0))
    assert recorder.summary(5.0).cycles == 0
    assert recorder.summary(5.0).total_cycles == 1


def test_rows_since_a_count_come_in_order_also_where_the_ring_ends():
    recorder = LatencyRecorder(capacity=10)
    for number in range(8):
        recorder.record(float(number), row(number))
    count, rows = recorder.rows_since(5)
    assert (count, rows[:, 0].tolist()) == (8, [5.0, 6.0, 7.0])
    for number in range(8, 13):
        recorder.record(float(number), row(number))
    assert recorder.rows_since(8)[1][:, 0].tolist() == [8.0, 9.0, 10.0, 11.0, 12.0]
    assert recorder.rows_since(0)[1][:, 1].tolist() == list(range(3, 13))  # what is left
    assert len(recorder.rows_since(13)[1]) == 0
