"""The policy runs once for nothing shortly before the next picture is due."""

from threading import Event, Thread
import time

from faulty import Faulty, frame, of_chain
from hypothesis import given, strategies as st
import numpy as np
import pytest
import tiny
from vla_nav_node.driving.command_limits import ActionCheck
from vla_nav_node.driving.command_output import CommandOutput
from vla_nav_node.driving.cycle import Cycle
from vla_nav_node.driving.loop import DrivingLoop
from vla_nav_node.driving.parameters import parameters, settings_of
from vla_nav_node.policy.rehearsal import Rehearsal
from vla_nav_node.policy.runtimes import Link, Runtime
from vla_nav_node.vision.preprocess import Preprocess

MS = 1_000_000
LEAD_MS = 4.0


def after(intervals_ms, lead_ms=LEAD_MS):
    """Return a rehearsal that saw pictures at these intervals, the last one now."""
    rehearsal, now_ns = Rehearsal(), time.perf_counter_ns()
    ends = [now_ns - sum(intervals_ms[number:]) * MS for number in range(len(intervals_ms))]
    for at_ns in (*ends, now_ns):
        rehearsal.note(int(at_ns), lead_ms)
    return rehearsal


@given(st.integers(11, 500), st.floats(1.0, LEAD_MS))
def test_a_regular_camera_is_foretold(interval_ms, lead_ms):
    waits = after([interval_ms] * 3, lead_ms).wait_s(1.0)
    assert waits == pytest.approx((interval_ms - lead_ms) / 1e3, abs=0.1)
    assert waits < (interval_ms - lead_ms) / 1e3


@pytest.mark.parametrize('intervals', [[], [20], [20, 20], [20, 20, 40], [8, 8, 8], [600] * 3])
def test_nothing_is_rehearsed_for_what_cannot_be_foretold_or_comes_at_once(intervals):
    rehearsal = after(intervals)
    assert rehearsal.wait_s(0.1) == 0.1
    assert not rehearsal.due()


def test_zero_means_never():
    assert after([20] * 3, 0.0).wait_s(0.1) == 0.1


def test_it_is_due_once_before_each_picture():
    rehearsal = after([20] * 3)
    assert not rehearsal.due()
    while rehearsal.wait_s(1.0):
        time.sleep(0.001)
    assert rehearsal.due()
    assert not rehearsal.due()
    assert rehearsal.count == 1


class Counting(Faulty):
    """A backend that counts its runs."""

    runs = 0

    def infer(self, image, state):
        """Count a run."""
        self.runs += 1
        return super().infer(image, state)


class Scene:
    """A driving loop with one backend, and a camera every 30 ms."""

    def __init__(self, bundle, **values):
        """Start the loop."""
        self.backend = Counting(bundle, device='cpu')
        self.policy = of_chain(bundle, [Link(Runtime('onnx'), self.backend)])
        settings = settings_of(parameters(bundle.limits, ('onnx',)), values)
        cycle = Cycle(self.policy, Preprocess(bundle.input), ActionCheck())
        self.loop = DrivingLoop(cycle, CommandOutput(lambda command: None, settings), settings,
                                time.time_ns, lambda values: None)
        self.stopping = Event()
        self.thread = Thread(target=self.loop.run, args=(self.stopping,))
        self.thread.start()

    def show(self, count):
        """Send pictures."""
        for seed in range(count):
            self.loop.mailbox.put(frame(seed))
            time.sleep(0.03)

    def end(self):
        """End the loop."""
        self.stopping.set()
        self.thread.join(10.0)


@pytest.fixture(name='bundle')
def _bundle(tmp_path):
    return tiny.write_tiny(tmp_path / 'tiny')


def test_the_loop_rehearses_and_drives_as_without(bundle):
    states = []
    for lead_ms in (LEAD_MS, 0.0):
        scene = Scene(bundle, rehearsal_ms=lead_ms)
        deadline = time.monotonic() + 20.0
        scene.show(12)
        while lead_ms and not scene.loop.rehearsal.count and time.monotonic() < deadline:
            scene.show(6)
        scene.end()
        assert bool(scene.loop.rehearsal.count) == bool(lead_ms)
        assert scene.backend.runs == scene.loop.latency.total_cycles + scene.loop.rehearsal.count
        fresh = of_chain(bundle, [Link(Runtime('onnx'), Faulty(bundle, device='cpu'))])
        states.append((scene, fresh))
    picture = np.zeros(bundle.input.shape, np.uint8)
    for _, policy in states:
        for _ in range(3):
            policy.act(picture)
        before = [part.copy() for part in policy.state]
        policy.rehearse(picture)
        assert all((one == other).all() for one, other in zip(policy.state, before))


def test_a_large_policy_is_not_rehearsed(bundle):
    scene = Scene(bundle)
    scene.backend.fits_cache = False
    scene.show(8)
    scene.end()
    assert scene.loop.rehearsal.count == 0


@pytest.mark.parametrize('fault', ['raise', 'nan'])
def test_what_fails_in_a_rehearsal_is_told_by_the_step(bundle, fault):
    scene = Scene(bundle)
    scene.show(6)
    scene.backend.fault = fault
    scene.loop.cycle.rehearse()
    assert scene.loop.cycle.stage_timer.stage == ''
    scene.show(6)
    assert scene.loop.last.command.is_stop
    scene.backend.fault = ''
    scene.show(6)
    assert not scene.loop.last.command.is_stop
    scene.end()
