"""What a camera may do wrong in time."""

from array import array
from dataclasses import replace

import pytest

from vla_nav_node.guard import FrameGuard, same_bytes, Verdict
from vla_nav_node.interfaces import Frame
from vla_nav_node.settings import parameters, settings_of

SETTINGS = settings_of(parameters({'linear_x': 1.0, 'linear_y': 1.0}, ('onnx',)), {})
NOW_S = 1_700_000_000.0  # of the ROS clock, when the monotonic one is 1000 s


class Stream:
    """Frames at times that the test sets, and what the guard says to them."""

    def __init__(self, **changes):
        """Start a guard."""
        self.guard = FrameGuard(replace(SETTINGS, **changes))
        self.count = 0

    def send(self, stamp_s, now_s=None, data=None):
        """Judge a frame stamped `stamp_s` that comes at `now_s`, and drive on it if it may be."""
        self.count += 1
        data = b'%08d' % self.count if data is None else data
        now_s = stamp_s if now_s is None else now_s
        frame = Frame(data, 'rgb8', 1, 1, 3, round((NOW_S + stamp_s) * 1e9),
                      round((1000.0 + now_s) * 1e9))
        verdict = self.guard.check(frame, round((NOW_S + now_s) * 1e9))
        if not verdict.reason:
            self.guard.drove(frame)
        return verdict


def test_the_first_frame_resets_and_the_next_ones_do_not():
    stream = Stream()
    assert stream.send(0.00) == Verdict('', True)
    assert stream.send(0.02) == Verdict('', False)
    assert stream.send(0.02, now_s=0.03) == Verdict('', False)  # the same stamp twice is no sin


def test_a_gap_resets():
    stream = Stream(state_reset_gap=0.5)
    stream.send(0.0)
    assert stream.send(0.49) == Verdict('', False)
    assert stream.send(1.0) == Verdict('', True)


def test_frames_that_were_not_driven_on_count_as_a_gap():
    stream = Stream(state_reset_gap=0.5)
    stream.send(0.0)
    for tick in range(1, 60):
        assert stream.send(0.01 * tick, now_s=0.01 * tick + 1.0).reason
    assert stream.send(0.6) == Verdict('', True)


@pytest.mark.parametrize(('stamp_s', 'now_s', 'reason'), [
    (-NOW_S, 0.0, 'the image has no time stamp (it is zero)'),
    (0.0, 0.21, 'the image was 0.21 s old when it arrived (image_timeout is 0.2 s)'),
    (0.16, 0.0, 'the image is stamped 0.16 s in the future'),
    (NOW_S, 0.0, 's in the future'),
])
def test_untimely_frames_are_refused_and_leave_no_trace(stamp_s, now_s, reason):
    stream = Stream()
    stream.send(0.0)
    assert reason in stream.send(stamp_s, now_s).reason
    assert stream.send(0.02 + now_s) == Verdict('', False)


def test_a_little_in_the_future_is_allowed():
    assert Stream().send(0.14, now_s=0.0).reason == ''


def test_backwards_stops_for_that_frame():
    stream = Stream()
    stream.send(0.10)
    assert stream.send(0.08, now_s=0.12) == Verdict(
        'image stamps run backwards (0.02 s): frames out of order, or two cameras on one topic')
    assert stream.send(0.09, now_s=0.13).reason  # still behind the newest
    assert stream.send(0.14) == Verdict('', False)


def test_a_far_jump_back_is_a_new_time():
    stream = Stream()
    stream.send(100.0)
    verdict = stream.send(2.0)
    assert verdict.reset
    assert verdict.reason == 'image stamps jumped back by 98 s; starting anew from there'
    assert stream.send(2.02) == Verdict('', True)
    assert stream.send(2.04) == Verdict('', False)


def test_a_frozen_picture_stops_until_it_changes():
    stream = Stream(frozen_timeout=0.5)
    for tick in range(26):
        assert stream.send(0.02 * tick, data=b'same').reason == ''
    assert stream.send(0.52, data=b'same').reason == (
        'the picture is frozen: identical for 0.5 s (frozen_timeout is 0.5 s)')
    assert stream.send(0.54, data=b'other').reason == ''
    assert stream.send(0.56, data=b'same').reason == ''


def test_zero_turns_the_frozen_guard_off():
    stream = Stream(frozen_timeout=0.0)
    for tick in range(200):
        assert stream.send(0.1 * tick, data=b'same').reason == ''


def test_a_restart_forgets_how_long_the_picture_was_the_same():
    stream = Stream(frozen_timeout=0.5)
    stream.send(0.0, data=b'same')
    assert stream.send(0.6, data=b'same').reason
    stream.guard.restart()
    assert stream.send(0.7, data=b'same') == Verdict('', True)


@pytest.mark.parametrize('kind', [bytes, bytearray, memoryview, lambda data: array('B', data)])
def test_pictures_are_compared_whole(kind):
    data = bytes(range(256)) * 1000
    assert same_bytes(kind(data), kind(data))
    assert same_bytes(kind(b''), kind(b''))
    assert not same_bytes(kind(data), kind(data[:-1]))
    for place in (0, 4095, 4096, 70_000, len(data) - 1):
        other = bytearray(data)
        other[place] ^= 1
        assert not same_bytes(kind(data), kind(bytes(other)))


def numbered(*sequences, every_s=0.02):
    """Give the reasons for which frames with these sequence numbers are refused."""
    guard, reasons = FrameGuard(SETTINGS), []
    for count, sequence in enumerate(sequences):
        at_ns = round((1000.0 + every_s * count) * 1e9)
        frame = Frame(b'%08d' % count, 'rgb8', 1, 1, 3, at_ns, at_ns, sequence=sequence)
        reasons.append(guard.check(frame, at_ns).reason)
    return reasons


@pytest.mark.parametrize(('sequences', 'every_s'), [
    ((1, 2, 5, 9, 10), 0.02),  # lost on the way
    ((7, 8, 1, 2, 3, 4), 0.02),  # a camera that starts anew
    ((7, 8, 1, 2, 1, 2, 3), 0.6),  # twice
    ((0, 0, 0, 0, 0), 0.02),  # a middleware that does not count
])
def test_one_camera_is_never_taken_for_two(sequences, every_s):
    assert not any(numbered(*sequences, every_s=every_s))


@pytest.mark.parametrize('sequences', [
    (100, 101, 1, 102, 2, 103, 3, 104), (1, 2, 100, 3, 101, 4, 102, 5), (7, 7, 8, 8, 9, 9)])
def test_two_cameras_are_told_after_few_frames_and_for_as_long_as_they_send(sequences):
    reasons = numbered(*sequences)
    first = next(count for count, reason in enumerate(reasons) if reason)
    assert first <= 5
    assert all('two cameras send on one topic' in reason for reason in reasons[first:])


def test_a_second_after_the_second_camera_has_gone_the_first_drives_again():
    reasons = numbered(*[100, 1] * 3, *range(101, 201))
    assert reasons[6 + 45] != ''
    assert reasons[6 + 55:] == [''] * 45
