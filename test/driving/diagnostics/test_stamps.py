"""The sentences about stamps that do not match the clock."""

from hypothesis import given, strategies as st
import pytest

from vla_nav_node.driving.diagnostics.stamps import DAY_S, HOUR_S, in_future, span, too_old, YEAR_S

NOW_S = 1_700_000_000.0
RECORDING = 'ros2 bag play --clock'
ZONE = 'a time zone'


def old(stamp_s, now_s=NOW_S):
    """Return the sentence about an image that is too old."""
    return too_old(round(stamp_s * 1e9), round(now_s * 1e9), 0.2)


def ahead(by_s, now_s=NOW_S):
    """Return the sentence about an image stamped in the future."""
    return in_future(round((now_s + by_s) * 1e9), round(now_s * 1e9))


@pytest.mark.parametrize(('seconds', 'text'), [
    (0.25, '0.25 s'), (90.0, '90 s'), (600.0, '10 minutes'), (7200.0, '2 hours'),
    (3 * DAY_S, '3 days'), (5 * YEAR_S, '5 years')])
def test_durations_have_a_readable_unit(seconds, text):
    assert span(seconds) == text


@pytest.mark.parametrize('uptime_s', [0.5, 30.0, HOUR_S, 12 * DAY_S, 3 * YEAR_S])
def test_a_clock_that_counts_from_a_start_is_known_by_its_stamps(uptime_s):
    text = old(uptime_s)
    assert f'counts from a start {span(uptime_s)} ago, not from 1970' in text
    assert 'set use_sim_time' in text and 'time since boot' in text
    assert RECORDING not in text


@pytest.mark.parametrize('age_s', [15.0, 400.0, HOUR_S + 99.0, 5 * DAY_S, 3 * YEAR_S])
def test_a_recording_or_a_clock_that_is_behind(age_s):
    text = old(NOW_S - age_s)
    assert f'the image was {span(age_s)} old when it arrived (image_timeout is 0.2 s)' in text
    assert RECORDING in text and 'use_sim_time' in text and 'synchronise both clocks' in text
    assert ZONE not in text


@pytest.mark.parametrize('hours', [1, 2, 3.5, 5.5, 9, 14])
def test_a_clock_that_shows_local_time(hours):
    assert ZONE in old(NOW_S - hours * HOUR_S - 0.05)
    assert ZONE in ahead(hours * HOUR_S - 0.05)


def test_a_little_late_is_no_other_clock():
    text = old(NOW_S - 0.21)
    assert text.startswith('the image was 0.21 s old when it arrived (image_timeout is 0.2 s)')
    assert RECORDING not in text and 'delayed in transport' in text


def test_a_node_on_simulated_time_before_a_camera_on_system_time():
    text = ahead(NOW_S, now_s=50.0)
    assert "this node's clock counts from a start 50 s ago" in text
    assert 'use_sim_time is set here but not at the camera' in text


def test_the_future_by_a_little_has_the_fix():
    assert ahead(0.5) == ('the image is stamped 0.5 s in the future; synchronise the clocks of '
                          'camera and node (or set use_sim_time on both)')


@given(st.integers(1, 2 ** 62), st.integers(1, 2 ** 62))
def test_every_pair_of_times_is_put_into_words(stamp_ns, now_ns):
    text = in_future if stamp_ns > now_ns else lambda *pair: too_old(*pair, 0.2)
    assert 'clock' in text(stamp_ns, now_ns)
