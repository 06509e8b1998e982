"""Command limits: finite, within limits and slew."""

import math

from hypothesis import given, strategies as st
import pytest
from vla_nav_node.driving.command_limits import ABSURD_FACTOR, CommandLimits, LONGEST_SLEW_S

ANY = st.floats(allow_nan=True, allow_infinity=True)


def test_limits_and_slew():
    limits = CommandLimits(0.8, 0.4, max_acceleration=2.5, period_s=0.02)
    first = limits.apply([5.0, -5.0], 10.0)
    assert (first.linear_x, first.linear_y) == pytest.approx((0.05, -0.05))
    second = limits.apply([5.0, -5.0], 10.04)
    assert (second.linear_x, second.linear_y) == pytest.approx((0.15, -0.15))
    for tick in range(100):
        last = limits.apply([5.0, -5.0], 10.06 + 0.02 * tick)
    assert (last.linear_x, last.linear_y) == (0.8, -0.4)


def test_a_long_gap_allows_no_jump():
    limits = CommandLimits(0.8, 0.8, max_acceleration=2.5)
    limits.apply([0.0, 0.0], 0.0)
    assert limits.apply([0.8, 0.0], 60.0).linear_x == pytest.approx(2.5 * LONGEST_SLEW_S)


@pytest.mark.parametrize('bad', [math.nan, math.inf, -math.inf])
def test_an_output_that_is_not_finite_stops_at_once_and_ramps_up_again(bad):
    limits = CommandLimits(0.8, 0.8, max_acceleration=2.5)
    for tick in range(50):
        limits.apply([0.8, 0.8], 0.02 * tick)
    stop = limits.apply([0.1, bad], 1.0)
    assert (stop.linear_x, stop.linear_y) == (0.0, 0.0)
    assert stop.reason == 'the policy gave a number that is not finite'
    assert limits.apply([0.8, 0.8], 1.02).linear_x == pytest.approx(0.05)


@given(st.lists(st.tuples(ANY, ANY, st.floats(-1.0, 10.0)), max_size=30))
def test_any_output_becomes_a_command_within_limits_and_slew(steps):
    limits = CommandLimits(0.8, 0.4, max_acceleration=2.5)
    now, last = 0.0, (0.0, 0.0)
    for x, y, seconds in steps:
        now += seconds
        command = limits.apply([x, y], now)
        assert abs(command.linear_x) <= 0.8
        assert abs(command.linear_y) <= 0.4
        if not command.is_stop:
            assert abs(command.linear_x - last[0]) <= 2.5 * LONGEST_SLEW_S + 1e-9
            assert abs(command.linear_y - last[1]) <= 2.5 * LONGEST_SLEW_S + 1e-9
        last = (command.linear_x, command.linear_y)


@pytest.mark.parametrize('wanted', [[1e30, 0.0], [0.0, -8.1], [3.4e38, math.inf]])
def test_an_absurd_output_stops_and_is_not_clamped_to_full_speed(wanted):
    limits = CommandLimits(0.01, 0.8, max_acceleration=2.5, max_plausible=ABSURD_FACTOR * 0.8)
    assert limits.apply([7.9, -7.9], 0.0).reason == ''
    stop = limits.apply(wanted, 0.02)
    assert (stop.linear_x, stop.linear_y) == (0.0, 0.0)
    assert stop.reason.startswith('the policy gave ')
