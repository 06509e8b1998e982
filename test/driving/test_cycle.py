"""The stages in their order, on a real tiny policy."""

import numpy as np
import pytest
from tiny import write_tiny

from vla_nav_node.backends import open_backend
from vla_nav_node.driving.command_limits import CommandLimits
from vla_nav_node.driving.cycle import Cycle, RECENT, StageTimer
from vla_nav_node.errors import BackendError
from vla_nav_node.policy.hot_swap import worst_difference
from vla_nav_node.policy.recurrent_policy import Policy
from vla_nav_node.types import Frame
from vla_nav_node.vision.preprocess import Preprocess


@pytest.fixture(scope='module')
def bundle(tmp_path_factory):
    """Write a tiny policy."""
    return write_tiny(tmp_path_factory.mktemp('bundles') / 'tiny')


@pytest.fixture
def cycle(bundle):
    """Put the stages together."""
    policy = Policy(open_backend('onnx', bundle), bundle.zero_state())
    return Cycle(policy, Preprocess(bundle.input), CommandLimits(0.8, 0.8, 100.0))


def frame(seed, **changes):
    """Return a random rgb8 frame."""
    data = np.random.default_rng(seed).integers(0, 256, 48 * 64 * 3, np.uint8).tobytes()
    return Frame(**{'data': memoryview(data), 'encoding': 'rgb8', 'height': 48, 'width': 64,
                    'step': 192, 'stamp_ns': 1, 'received_ns': 1, **changes})


def test_a_step_is_decode_preprocess_policy_gate(cycle, bundle):
    policy = Policy(open_backend('onnx', bundle), bundle.zero_state())
    preprocess = Preprocess(bundle.input)
    for seed in range(5):
        command, timing = cycle.step(frame(seed))
        rgb = np.frombuffer(frame(seed).data, np.uint8).reshape(48, 64, 3)
        expected = policy.act(preprocess(rgb))
        assert (command.linear_x, command.linear_y) == pytest.approx(tuple(expected), abs=1e-6)
        assert min(timing) > 0.0
    assert cycle.watch.stage == ''


def test_a_bad_picture_stops_and_leaves_the_state(cycle):
    cycle.step(frame(0))
    state = cycle.policy.state
    command, timing = cycle.step(frame(1, encoding='32FC1'))
    assert (command.linear_x, command.linear_y) == (0.0, 0.0)
    assert command.reason.startswith('decode: no picture can be read from encoding')
    assert (timing.decode > 0.0, timing.infer) == (True, 0.0)
    assert cycle.policy.state is state


def test_a_runtime_that_fails_stops(cycle):
    cycle.policy.backend.close()
    command, timing = cycle.step(frame(0))
    assert command.reason == 'infer: the onnx backend is closed'
    assert (timing.infer > 0.0, timing.gate) == (True, 0.0)


def test_a_state_that_is_not_finite_heals(cycle):
    cycle.policy.state = tuple(np.full_like(part, np.nan) for part in cycle.policy.state)
    assert cycle.step(frame(0))[0].reason == 'the policy gave a number that is not finite'
    assert not cycle.step(frame(1))[0].is_stop


def test_the_recent_steps_repeat_exactly(cycle, bundle):
    for seed in range(RECENT + 3):
        cycle.step(frame(seed))
        cycle.remember()
    assert len(cycle.recent) == RECENT
    assert worst_difference(open_backend('onnx', bundle), cycle.recent) == 0.0
    other = open_backend('torch', bundle)
    assert 0.0 < worst_difference(other, cycle.recent) < bundle.tolerance('fp32')
    assert worst_difference(other, ()) == 0.0
    other.close()
    with pytest.raises(BackendError, match='closed'):
        worst_difference(other, cycle.recent)


def test_reset_forgets(cycle, bundle):
    first, _ = cycle.step(frame(0))
    cycle.step(frame(1))
    cycle.reset()
    again, _ = cycle.step(frame(0))
    assert again == first


def test_the_watch_names_the_stage_in_work():
    watch = StageTimer()
    watch.start()
    watch.enter('decode')
    watch.enter('infer')
    assert (watch.stage, watch.since_ns > 0) == ('infer', True)
    timing = watch.stop()
    assert watch.stage == ''
    assert timing.infer > 0.0
    assert timing.gate == 0.0
