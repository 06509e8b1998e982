"""The recurrent state between steps, on a tiny real policy."""

import numpy as np
import pytest
import tiny
from vla_nav_node.backends import open_backend
from vla_nav_node.errors import BackendError
from vla_nav_node.policy.recurrent_policy import Policy


@pytest.fixture(name='policy')
def _policy(tmp_path):
    bundle = tiny.write_tiny(tmp_path / 'policy')
    return Policy(open_backend('onnx', bundle, device='cpu'), bundle.zero_state())


def test_act_returns_two_floats(policy):
    action = policy.act(tiny.images(1)[0])
    assert (action.shape, action.dtype) == ((2,), np.float32)


def test_state_is_carried_and_reset_clears_it(policy):
    image = tiny.images(1)[0]
    first, second = policy.act(image), policy.act(image)
    assert np.abs(first - second).max() > 0
    policy.reset()
    assert not any(part.any() for part in policy.state)
    assert np.array_equal(policy.act(image), first)


def test_state_survives_a_step_that_fails(policy):
    policy.act(tiny.images(1)[0])
    before = [part.copy() for part in policy.state]
    with pytest.raises(BackendError):
        policy.act(np.zeros((1, 5, 5, 3), np.uint8))
    assert all(map(np.array_equal, before, policy.state))
