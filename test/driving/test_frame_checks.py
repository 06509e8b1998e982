"""What cameras do wrong: stamps, frozen pictures, two senders."""

from dataclasses import replace

import pytest
from vla_nav_node.driving.frame_checks import FrameChecks, FrameDecision
from vla_nav_node.driving.parameters import parameters, settings_of
from vla_nav_node.types import Frame

SETTINGS = settings_of(parameters({'linear_x': 1.0, 'linear_y': 1.0}, ('onnx',)), {})
NOW_S = 1_700_000_000.0  # of the ROS clock, when the monotonic one is 1000 s


class Stream:
    """Sends frames at times that the test sets to FrameChecks."""

    def __init__(self, **changes):
        """Start with changed settings."""
        self.frame_checks = FrameChecks(replace(SETTINGS, **changes))
        self.count = 0

    def send(self, stamp_s, now_s=None, data=None):
        """Return the decision on a frame stamped `stamp_s` that arrives at `now_s`."""
        self.count += 1
        data = b'%08d' % self.count if data is None else data
        now_s = stamp_s if now_s is None else now_s
        frame = Frame(data, 'rgb8', 1, 1, 3, round((NOW_S + stamp_s) * 1e9),
                      round((1000.0 + now_s) * 1e9))
        decision = self.frame_checks.check(frame, round((NOW_S + now_s) * 1e9))
        if not decision.reason:
            self.frame_checks.note_driven(frame)
        return decision


def test_the_first_frame_resets_and_the_next_ones_do_not():
    stream = Stream()
    assert stream.send(0.00) == FrameDecision('', True)
    assert stream.send(0.02) == FrameDecision('', False)
    assert stream.send(0.02, now_s=0.03) == FrameDecision('', False)  # the same stamp twice


def test_a_gap_resets():
    stream = Stream(state_reset_gap=0.5)
    stream.send(0.0)
    assert stream.send(0.49) == FrameDecision('', False)
    assert stream.send(1.0) == FrameDecision('', True)


def test_frames_that_were_not_driven_on_count_as_a_gap():
    stream = Stream(state_reset_gap=0.5)
    stream.send(0.0)
    for tick in range(1, 60):
        assert stream.send(0.01 * tick, now_s=0.01 * tick + 1.0).reason
    assert stream.send(0.6) == FrameDecision('', True)


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
    assert stream.send(0.02 + now_s) == FrameDecision('', False)


def test_a_little_in_the_future_is_allowed():
    assert Stream().send(0.14, now_s=0.0).reason == ''


def test_backwards_stops_for_that_frame():
    stream = Stream()
    stream.send(0.10)
    assert stream.send(0.08, now_s=0.12) == FrameDecision(
        'image stamps run backwards (0.02 s): frames out of order, or two cameras on one topic')
    assert stream.send(0.09, now_s=0.13).reason  # still behind the newest
    assert stream.send(0.14) == FrameDecision('', False)


def test_a_far_jump_back_is_a_new_time():
    stream = Stream()
    stream.send(100.0)
    decision = stream.send(2.0)
    assert decision.reset
    assert decision.reason == 'image stamps jumped back by 98 s; restarting from there'
    assert stream.send(2.02) == FrameDecision('', True)
    assert stream.send(2.04) == FrameDecision('', False)


def test_a_frozen_picture_stops_until_it_changes():
    stream = Stream(frozen_timeout=0.5)
    for tick in range(26):
        assert stream.send(0.02 * tick, data=b'same').reason == ''
    assert stream.send(0.52, data=b'same').reason == (
        'the picture is frozen: none was new for 0.5 s (frozen_timeout is 0.5 s)')
    assert stream.send(0.54, data=b'other').reason == ''
    assert stream.send(0.56, data=b'same').reason == ''


def test_zero_disables_the_frozen_check():
    stream = Stream(frozen_timeout=0.0)
    for tick in range(200):
        assert stream.send(0.1 * tick, data=b'same').reason == ''


def test_a_reset_forgets_how_long_the_picture_was_the_same():
    stream = Stream(frozen_timeout=0.5)
    stream.send(0.0, data=b'same')
    assert stream.send(0.6, data=b'same').reason
    stream.frame_checks.reset()
    assert stream.send(0.7, data=b'same') == FrameDecision('', True)


@pytest.mark.parametrize('count', [2, 3, 8, 32])
def test_old_pictures_in_turn_are_frozen(count):
    """A video driver that sends its buffers in turn, filled or not."""
    stream, rounds = Stream(), 60
    reasons = [stream.send(number / 30, data=b'%08d' % (number % count)).reason
               for number in range(rounds * count)]
    assert not any(reasons[:30])
    assert all('the picture is frozen' in reason for reason in reasons[30 + 2 * count:])


def test_a_camera_whose_buffers_are_filled_again_drives_on():
    stream = Stream(frozen_timeout=0.5)
    for number in range(60):
        stream.send(number / 30, data=b'%08d' % (number % 2))
    assert stream.send(2.0, data=b'another').reason == ''
    every_second_is_new = [stream.send(2.1 + number / 30, data=b'new %04d' % number
                                       if number % 2 else b'stale').reason
                           for number in range(90)]
    assert not any(every_second_is_new)


def numbered(*sequences, every_s=0.02, frame_ids=()):
    """Return the reasons for which frames with these sequence numbers are refused."""
    frame_checks, reasons = FrameChecks(SETTINGS), []
    for count, sequence in enumerate(sequences):
        at_ns = round((1000.0 + every_s * count) * 1e9)
        frame_id = frame_ids[count % len(frame_ids)] if frame_ids else b''
        frame = Frame(b'%08d' % count, 'rgb8', 1, 1, 3, at_ns, at_ns, sequence=sequence,
                      frame_id=frame_id)
        reasons.append(frame_checks.check(frame, at_ns).reason)
    return reasons


@pytest.mark.parametrize(('sequences', 'every_s'), [
    ((1, 2, 5, 9, 10), 0.02),  # lost on the way
    ((1, 2, 500, 501), 2.0),  # a cable that was out for seconds
    ((0, 0, 0, 0, 0), 0.02),  # a middleware that does not count
])
def test_one_camera_is_never_taken_for_two(sequences, every_s):
    assert not any(numbered(*sequences, every_s=every_s))


@pytest.mark.parametrize('every_s', [0.02, 0.6, 10.0])
def test_a_camera_that_restarts_is_driven_on_after_a_few_images(every_s):
    first, second, *rest = numbered(7, 8, 1, 2, 3, 4, 1, 2, 3, 4, every_s=every_s)[2:]
    assert 'the camera restarted, or a second one sends' in first
    assert 'the camera restarted, or a second one sends' in second
    assert [bool(reason) for reason in rest] == [False, False, True, True, False, False]


@pytest.mark.parametrize('sequences', [
    (100, 101, 1, 102, 2, 103, 3, 104), (1, 2, 100, 3, 101, 4, 102, 5), (7, 7, 8, 8, 9, 9)])
def test_two_cameras_are_found_after_few_frames_and_as_long_as_they_send(sequences):
    reasons = numbered(*sequences)
    first = next(count for count, reason in enumerate(reasons) if reason)
    assert first <= 2
    assert all(reasons[first:])
    assert all('two cameras send on one topic' in reason for reason in reasons[first + 1:])


def test_a_camera_that_takes_over_starts_with_a_reset_state():
    frame_checks = FrameChecks(SETTINGS)
    frames = [Frame(b'%08d' % count, 'rgb8', 1, 1, 3, at_ns, at_ns, sequence=sequence,
                    frame_id=frame_id)
              for count, (sequence, frame_id) in enumerate(
                  [(7, b'front'), (8, b'front'), (1, b'rear'), (2, b'rear'), (3, b'rear')])
              for at_ns in [10 ** 18 + count * 20_000_000]]
    decisions = []
    for frame in frames:
        decisions.append(frame_checks.check(frame, frame.stamp_ns))
        if not decisions[-1].reason:
            frame_checks.note_driven(frame)
    assert [bool(decision.reason) for decision in decisions] == [False, False, True, True, False]
    assert [decision.reset for decision in decisions] == [True, False, True, True, False]


def test_two_cameras_without_sequence_numbers_are_found_by_their_frame_ids():
    reasons = numbered(*[0] * 8, frame_ids=(b'front', b'rear'))
    assert reasons[0] == '' and all(reasons[1:])


@pytest.mark.parametrize('every_s', [0.4, 1.25, 10.0])
@pytest.mark.parametrize('first_number', [1, 5000])
def test_no_image_of_a_slower_second_camera_is_driven_on(every_s, first_number):
    """The camera at 30 Hz counts from 1000; the second one begins after it."""
    camera = [(number / 30, 1000 + number, True) for number in range(30 * 60)]
    second = [(1.01 + number * every_s, first_number + number, False)
              for number in range(int(58 / every_s))]
    frame_checks, driven = FrameChecks(SETTINGS), []
    for at_s, sequence, good in sorted(camera + second):
        at_ns = round((1000 + at_s) * 1e9)
        frame = Frame(b'%f' % at_s, 'rgb8', 1, 1, 3, at_ns, at_ns, sequence=sequence)
        if not frame_checks.check(frame, at_ns).reason:
            driven.append(good)
    assert all(driven)
    assert len(driven) < len(camera) * max(0.05, 1 - 2 / every_s)


def test_after_the_second_camera_has_gone_the_first_drives_again():
    reasons = numbered(*[100, 1] * 3, *range(101, 401))
    assert all(reasons[1:100])
    assert reasons[-100:] == [''] * 100
