"""The watched times, a second at a time."""

import pytest
from vla_nav_node.driving.latency_recorder import FIELDS, LatencyRecorder
from vla_nav_node.driving.slowdown.blocks import Blocks


def record(latency, at_s, **values):
    """Record one cycle."""
    latency.record(at_s, tuple(values.get(field, 0.0) for field in FIELDS))


def test_the_medians_of_what_is_new():
    latency = LatencyRecorder()
    record(latency, 9.0, infer=99.0)
    blocks = Blocks(latency)  # it begins here
    for number in range(20):
        record(latency, 10.0 + 0.05 * number, infer=1.0 + number, decode=2.0, preprocess=0.5,
               deserialise=0.25)
    block = blocks.take(11.0)
    assert block.medians == {'infer': 10.5, 'prepare': 2.75}
    assert block.seconds == pytest.approx(1.0)
    assert blocks.take(12.0) is None


def test_few_cycles_wait_for_more_but_not_for_long():
    latency = LatencyRecorder()
    blocks = Blocks(latency)
    for number in range(6):
        record(latency, 10.0 + number / 6, infer=1.0)
    assert blocks.take(11.0) is None
    for number in range(6):
        record(latency, 11.0 + number / 6, infer=3.0)
    assert blocks.take(12.0).medians['infer'] == 2.0
    for number in range(6):
        record(latency, 20.0 + number / 6, infer=1.0)
    assert blocks.take(21.0) is None
    for number in range(6):
        record(latency, 30.0 + number / 6, infer=1.0)
    assert blocks.take(31.0) is None  # those before the gap are too old


def test_cycles_that_failed_before_infer_do_not_count():
    latency = LatencyRecorder()
    blocks = Blocks(latency)
    for number in range(40):
        record(latency, 10.0 + number / 40, infer=0.0 if number % 2 else 1.0, decode=1.0)
    assert blocks.take(11.0).medians == {'infer': 1.0, 'prepare': 1.0}
