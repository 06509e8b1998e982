"""Training: seeded, resumable, and ends in a bundle that both backends open."""

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip('torch', reason='PyTorch is not installed')
pytest.importorskip('mujoco', reason='MuJoCo is not installed')
pytest.importorskip('onnx', reason='onnx is not installed')

from vla_nav_node.backends import open_backend  # noqa: E402
from vla_nav_node.backends.torch.network import PolicyNetwork  # noqa: E402
from vla_nav_node.bundle.bundle import load_bundle  # noqa: E402
from vla_nav_node.bundle.verdicts import refusal_reason  # noqa: E402
from vla_nav_node.commands.train import Training  # noqa: E402
from vla_nav_node.errors import SettingError  # noqa: E402
from vla_nav_node.sim.expert.rollout import drive  # noqa: E402
from vla_nav_node.sim.training.auxiliary_targets import (  # noqa: E402
    encoder_targets, FAN, FAN_LENGTH, FAN_STEP, NEARNESS_OFFSET, RAY_LENGTH, RAYS, STATE_TARGETS,
    state_targets)
from vla_nav_node.sim.training.encoder_pretraining import (  # noqa: E402
    EncoderWithHead, pretrain_encoder)
from vla_nav_node.sim.training.episode_collection import (  # noqa: E402
    draw_conditions, draw_setups, EpisodeSetup, HARD_SCENARIOS, LabellingDriver)
from vla_nav_node.sim.training.learner import Learner, make_batch  # noqa: E402
from vla_nav_node.sim.training.plan import architecture, INPUT, MEAN, Plan, STD  # noqa: E402
from vla_nav_node.sim.training.views import load_views, render_views, VIEWS_PER_SCENE  # noqa: E402
from vla_nav_node.sim.world.layout import ARENA, Box, Layout, ROBOT_RADIUS  # noqa: E402
from vla_nav_node.sim.world.scene import CAMERA_FORWARD  # noqa: E402

PLAN = Plan(seed=7, scenes=3, epochs=1, rounds=2, first_episodes=2, episodes=1, first_steps=2,
            last_steps=2)
FEATURES = architecture()['recurrent']['input_size']


def test_an_interrupted_training_goes_on_to_a_bundle_and_beyond(tmp_path):
    """Pre-training and one round, resumed from disk to the end, then with more rounds."""
    first = Training(PLAN, tmp_path, 1, 'cpu')
    first.advance()
    first.advance()
    resumed = Training(PLAN, tmp_path, 1, 'cpu')
    assert resumed.round == 1 and len(resumed.seeds) == 2
    resumed.run()
    _leaves_a_bundle(resumed)
    with pytest.raises(SettingError, match='another --out'):
        Training(Plan(seed=8), tmp_path, 1, 'cpu')
    _goes_on_with_more_rounds(tmp_path)


def _leaves_a_bundle(resumed):
    bundle = load_bundle(resumed.bundle)
    pretraining, *rounds = bundle.manifest['training']['stages']
    assert pretraining['pictures'] == 3 * VIEWS_PER_SCENE
    assert [one['driver'] for one in rounds] == ['expert', 'policy']
    image = np.full(bundle.input.shape, 90, np.uint8)
    actions = [open_backend(name, bundle).infer(image, bundle.zero_state())[0]
               for name in ('torch', 'onnx')]
    assert actions[0] == pytest.approx(actions[1], abs=1e-5)
    assert refusal_reason(bundle, 'onnx', 'fp32') == ''


def _goes_on_with_more_rounds(folder):
    """Keep what is done; only the plan of what is still to come may change."""
    more = replace(PLAN, rounds=3, episodes=2, steps=3)
    training = Training(more, folder, 1, 'cpu')
    assert training.round == 2 and len(training.seeds) == 3
    training.advance()
    assert [stage.get('episodes') for stage in training.log] == [None, 2, 1, 2]
    with pytest.raises(SettingError, match='only these may change.* rounds'):
        Training(replace(more, first_episodes=5), folder, 1, 'cpu')


def _network():
    torch.manual_seed(0)
    return PolicyNetwork(architecture(), MEAN, STD)


def test_views_are_rendered_once_and_stand_clear(tmp_path):
    """Pictures and targets, five a scene; a second call renders nothing."""
    files = list(render_views(range(1_900_000, 1_900_003), tmp_path, INPUT, 1))
    written = files[0].stat().st_mtime_ns
    assert list(render_views(range(1_900_000, 1_900_003), tmp_path, INPUT, 1)) == files
    assert files[0].stat().st_mtime_ns == written
    images, targets = load_views(files)
    assert images.shape == (3 * VIEWS_PER_SCENE, 96, 128, 3)
    y = targets[:, 3]
    assert (np.abs(y) < ARENA[3] - ROBOT_RADIUS).all()
    assert images.std(axis=(1, 2, 3)).min() > 5  # something is in every picture


def test_the_encoder_learns_to_see_what_is_there():
    """The brighter half gives the target; the encoder predicts it on held-out pictures."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 60, (96, 96, 128, 3), np.uint8)
    side = np.arange(96) % 2
    for image, half in zip(images, side):
        image[:, 64 * half:64 * (half + 1)] += 150
    targets = np.tile((side - 0.5).astype(np.float32)[:, None], (1, 32))
    model = EncoderWithHead(_network(), targets, 'cpu')
    *_, r2 = pretrain_encoder(model, images, targets, 25, 0)
    assert r2['things'] > 0.8


def test_learning_brings_the_error_down_and_resumes_exactly():
    """A few steps on two episodes; a restored learner takes the same next step."""
    rng = np.random.default_rng(0)
    episodes = [rng.random((length, FEATURES + 2 + STATE_TARGETS), np.float32)
                for length in (5, 9)]
    for episode in episodes:
        episode[:, FEATURES:FEATURES + 2] = 0.3
    first, second = (Learner(_network(), 'cpu', 40) for _ in range(2))
    batch = make_batch(episodes, first.device)
    assert batch.real.sum() == 5 + 9
    errors = [first.train_step(batch)[0] for _ in range(60)]
    assert errors[-1] < 0.5 * errors[0]
    second.restore(first.snapshot())
    assert second.train_step(batch) == pytest.approx(first.train_step(batch), rel=1e-3)


def test_the_expert_takes_over_before_a_contact_and_this_is_recorded():
    """Where a network that only drives forward would hit something, the expert intervenes."""
    from vla_nav_node.vision.preprocess import InputSpec, Preprocess
    from vla_nav_node.sim.world.world import World
    network = _network()
    with torch.no_grad():
        network.actions[-1].weight.zero_()
        network.actions[-1].bias.copy_(torch.tensor([0.5, 0.0]))
    world = World()
    for seed in range(1_000_000, 1_000_003):
        driver = LabellingDriver(Preprocess(InputSpec(**INPUT)), network,
                                 EpisodeSetup(seed, False, False))
        episode = drive(world, driver, seed, conditions=draw_conditions(seed))
        assert driver.intervened and episode.outcome != 'contact'


def test_encoder_targets_hold_how_near_obstacles_are():
    """A wall straight ahead; nearness falls with the distance from the camera."""
    layout = Layout(0, 'random', (), (4.0, 0.0), (3.3, 0.0, 0.0))
    targets = encoder_targets(layout, layout.start)
    assert targets[:5] == pytest.approx([3.3, 0, 0, 0.7, 0])
    ahead = ARENA[1] - 3.3 - CAMERA_FORWARD
    assert targets[5 + FAN // 2] == pytest.approx(1 / (NEARNESS_OFFSET + ahead), rel=0.03)
    far = encoder_targets(layout, (0.5, 0.0, 0.0))
    assert far[5 + FAN // 2] == pytest.approx(1 / (NEARNESS_OFFSET + FAN_LENGTH), rel=FAN_STEP)


def test_state_targets_hold_what_the_camera_does_not_see():
    """A box right behind and the cup ahead to the left, from a robot turned by 90 degrees."""
    behind = Box(1.0, -0.9, 0.0, 0.2, 0.2, 0.2)
    layout = Layout(0, 'random', (behind,), (0.6, 1.0), (1.0, 0.0, np.pi / 2))
    targets = state_targets(layout, layout.start)
    assert targets[:2] == pytest.approx([1.0, 0.4])
    rays = targets[2:]
    assert rays[RAYS // 2] == pytest.approx(0.7, abs=0.051)
    assert rays[0] == pytest.approx(RAY_LENGTH, abs=0.051)


def test_training_covers_the_rates_and_losses_it_is_tested_at():
    """Rates on both sides of 15 and 50 Hz, losses over one in five."""
    conditions = [draw_conditions(seed) for seed in range(200)]
    rates = [drawn.frame_rate for drawn in conditions]
    assert min(rates) < 15 and max(rates) > 50
    assert max(drawn.frame_loss for drawn in conditions) > 0.2


def test_half_of_what_the_policy_drives_is_hard():
    assert not any(setup.scenario for setup in draw_setups(range(100), True, 0.5))
    setups = draw_setups(range(400), False, 0.35)
    hard = [setup.scenario for setup in setups if setup.scenario]
    assert 150 < len(hard) < 250 and set(hard) == set(HARD_SCENARIOS)
    assert setups == draw_setups(range(400), False, 0.35)
