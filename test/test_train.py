"""Training: seeded, resumable, and what it leaves is a bundle that both backends open."""

import numpy as np
import pytest

torch = pytest.importorskip('torch', reason='PyTorch is not installed')
pytest.importorskip('mujoco', reason='MuJoCo is not installed')
pytest.importorskip('onnx', reason='onnx is not installed')

from vla_nav_node.backends import open_backend  # noqa: E402, I100
from vla_nav_node.bundle import load_bundle  # noqa: E402
from vla_nav_node.errors import SettingError  # noqa: E402
from vla_nav_node.sim.layout import Box, Layout  # noqa: E402
from vla_nav_node.sim.learn import Batch, Learner  # noqa: E402
from vla_nav_node.sim.teach import draw_conditions, hints, RAY_LENGTH, RAYS  # noqa: E402
from vla_nav_node.sim.train import architecture, MEAN, Plan, STD, Training  # noqa: E402

PLAN = Plan(seed=7, rounds=2, first_episodes=2, episodes=1, first_steps=2, last_steps=2)


def test_an_interrupted_training_goes_on_to_a_bundle(tmp_path):
    """One round, then a new process's worth of state, then the rest."""
    Training(PLAN, tmp_path, 1, 'cpu').advance()
    resumed = Training(PLAN, tmp_path, 1, 'cpu')
    assert resumed.round == 1 and len(resumed.seeds) == 2
    resumed.run()
    bundle = load_bundle(resumed.bundle)
    assert [one['driver'] for one in bundle.manifest['training']['rounds']] == [
        'expert', 'policy']
    image = np.full(bundle.input.shape, 90, np.uint8)
    actions = [open_backend(name, bundle).infer(image, bundle.zero_state())[0]
               for name in ('torch', 'onnx')]
    assert actions[0] == pytest.approx(actions[1], abs=1e-5)
    with pytest.raises(SettingError, match='another --out'):
        Training(Plan(seed=8), tmp_path, 1, 'cpu')


def _lesson(rng):
    real = torch.ones(2, 5, dtype=torch.bool)
    images = torch.from_numpy(rng.integers(0, 256, (10, 96, 128, 3), np.uint8))
    return Batch(images, torch.ones(10, 1, 1, 1), torch.full((2, 5, 2), 0.3),
                 torch.zeros(2, 5, 2 + RAYS), real)


def test_learning_brings_the_error_down_and_resumes_exactly():
    """A few steps on one lesson; a restored learner takes the same next step."""
    from vla_nav_node.network import PolicyNetwork
    torch.manual_seed(0)
    first, second = (Learner(PolicyNetwork(architecture(), MEAN, STD), 'cpu', 40)
                     for _ in range(2))
    batch = _lesson(np.random.default_rng(0))
    errors = [first.learn(batch)[0] for _ in range(60)]
    assert errors[-1] < 0.5 * errors[0]
    second.restore(first.snapshot())
    assert second.learn(batch) == pytest.approx(first.learn(batch), rel=1e-3)


def test_hints_tell_of_what_the_camera_does_not_see():
    """A box right behind and the cup ahead to the left, from a robot turned by 90 degrees."""
    behind = Box(1.0, -0.9, 0.0, 0.2, 0.2, 0.2)
    layout = Layout(0, 'random', (behind,), (0.6, 1.0), (1.0, 0.0, np.pi / 2))
    told = hints(layout, layout.start)
    assert told[:2] == pytest.approx([1.0, 0.4])
    rays = told[2:]
    assert rays[RAYS // 2] == pytest.approx(0.7, abs=0.051)
    assert rays[0] == pytest.approx(RAY_LENGTH, abs=0.051)


def test_training_covers_the_rates_and_losses_it_is_tested_at():
    """Rates on both sides of 15 and 50 Hz, losses over one in five."""
    drawn = [draw_conditions(seed) for seed in range(200)]
    rates = [one.frame_rate for one in drawn]
    assert min(rates) < 15 and max(rates) > 50
    assert max(one.frame_loss for one in drawn) > 0.2
