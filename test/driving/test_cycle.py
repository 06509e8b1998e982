"""The stages in their order, on a real tiny policy."""

from faulty import frame
import numpy as np
import pytest
from tiny import needs_torch, write_tiny
from vla_nav_node.backends import open_backend
from vla_nav_node.driving.command_limits import ActionCheck
from vla_nav_node.driving.cycle import Cycle, RECENT, StageTimer
from vla_nav_node.errors import BackendError
from vla_nav_node.policy.hot_swap import worst_difference
from vla_nav_node.policy.recurrent_policy import Policy
from vla_nav_node.vision.preprocess import Preprocess


@pytest.fixture(scope='module')
def bundle(tmp_path_factory):
    """Write a tiny policy."""
    return write_tiny(tmp_path_factory.mktemp('bundles') / 'tiny')


@pytest.fixture
def cycle(bundle):
    """Return the stages on a tiny policy."""
    policy = Policy(open_backend('onnx', bundle), bundle.zero_state())
    return Cycle(policy, Preprocess(bundle.input), ActionCheck())


def test_a_cycle_is_decode_preprocess_policy_gate(cycle, bundle):
    policy = Policy(open_backend('onnx', bundle), bundle.zero_state())
    preprocess = Preprocess(bundle.input)
    for seed in range(5):
        command, timing = cycle.run(frame(seed))
        rgb = np.frombuffer(frame(seed).data, np.uint8).reshape(48, 64, 3)
        expected = policy.act(preprocess(rgb))
        assert (command.linear_x, command.linear_y) == pytest.approx(tuple(expected), abs=1e-6)
        assert min(timing) > 0.0
    assert cycle.stage_timer.stage == ''


def test_a_bad_picture_stops_and_leaves_the_state(cycle):
    cycle.run(frame(0))
    state = cycle.policy.state
    command, timing = cycle.run(frame(1, encoding='32FC1'))
    assert (command.linear_x, command.linear_y) == (0.0, 0.0)
    assert command.reason.startswith('decode: no picture can be read from encoding')
    assert (timing.decode > 0.0, timing.infer) == (True, 0.0)
    assert cycle.policy.state is state


def test_a_runtime_that_fails_stops(cycle):
    cycle.policy.backend.close()
    command, timing = cycle.run(frame(0))
    assert command.reason == 'infer: the onnx backend is closed'
    assert (timing.infer > 0.0, timing.gate) == (True, 0.0)


def test_a_state_that_is_not_finite_is_reset(cycle):
    cycle.policy.state = tuple(np.full_like(part, np.nan) for part in cycle.policy.state)
    assert cycle.run(frame(0))[0].reason == 'the policy gave a number that is not finite'
    assert not cycle.run(frame(1))[0].is_stop


@needs_torch
def test_the_recent_steps_repeat_exactly(cycle, bundle):
    for seed in range(RECENT + 3):
        cycle.run(frame(seed))
        cycle.keep_step()
    assert len(cycle.recent_steps) == RECENT
    assert worst_difference(open_backend('onnx', bundle), cycle.recent_steps) == 0.0
    other = open_backend('torch', bundle)
    assert 0.0 < worst_difference(other, cycle.recent_steps) < bundle.tolerance('fp32')
    assert worst_difference(other, ()) == 0.0
    other.close()
    with pytest.raises(BackendError, match='closed'):
        worst_difference(other, cycle.recent_steps)


def test_reset_clears_the_state(cycle, bundle):
    first, _ = cycle.run(frame(0))
    cycle.run(frame(1))
    cycle.policy.reset()
    again, _ = cycle.run(frame(0))
    assert again == first


def test_the_timer_names_the_stage_in_work():
    timer = StageTimer()
    timer.start()
    timer.enter('decode')
    timer.enter('infer')
    assert (timer.stage, timer.since_ns > 0) == ('infer', True)
    timing = timer.stop()
    assert timer.stage == ''
    assert timing.infer > 0.0
    assert timing.gate == 0.0
