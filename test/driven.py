"""Check that an imported policy acts as its author's network did."""

from importer import SIZE
import numpy as np
import original
import pytest
import torch
from vla_nav_node.backends import open_backend
from vla_nav_node.policy.recurrent_policy import Policy

CLOSE = 1e-5  # m/s


def pictures(count=6, size=SIZE):
    """Return noise, each picture around another colour: averages of plain noise are alike."""
    rng = np.random.default_rng(1)
    colours = rng.integers(0, 200, (count, 1, 1, 3), np.uint8)
    return torch.from_numpy(colours + rng.integers(0, 56, (count, size, size, 3), np.uint8))


def assert_drives_as_it_did(bundle, network, frames, seen=None):
    """Compare both backends with the author's network, whose actions must vary."""
    expected = original.expected_actions(network, frames if seen is None else seen).numpy()
    assert expected.std(axis=0).min() > 50 * CLOSE
    for backend in ('torch', 'onnx'):
        assert rollout(bundle, backend, frames) == pytest.approx(expected, abs=CLOSE)


def rollout(bundle, backend, frames):
    """Run with carried state; return the actions [T, 2] in m/s."""
    opened = open_backend(backend, bundle, device='cpu')
    policy = Policy(opened, bundle.zero_state())
    actions = [policy.act(frame[None].numpy()) for frame in frames]
    opened.close()
    return np.array(actions)
