"""Training: seeded, resumable, and what it leaves is a bundle that both backends open."""

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
    around, FAN, FAN_LENGTH, FAN_STEP, HINTS, in_view, NEARNESS, RAY_LENGTH, RAYS)
from vla_nav_node.sim.training.encoder_pretraining import learn_to_look, Looker  # noqa: E402
from vla_nav_node.sim.training.learn import Learner, make_batch  # noqa: E402
from vla_nav_node.sim.training.lesson_collection import (  # noqa: E402
    draw_conditions, draw_lessons, HARD, Lesson, TaughtDriver)
from vla_nav_node.sim.training.plan import architecture, INPUT, MEAN, Plan, STD  # noqa: E402
from vla_nav_node.sim.training.views import load_views, render_views, VIEWS_PER_SCENE  # noqa: E402
from vla_nav_node.sim.world.layout import ARENA, Box, Layout, ROBOT_RADIUS  # noqa: E402
from vla_nav_node.sim.world.scene import CAMERA_FORWARD  # noqa: E402

PLAN = Plan(seed=7, scenes=3, epochs=1, rounds=2, first_episodes=2, episodes=1, first_steps=2,
            last_steps=2)
FEATURES = architecture()['recurrent']['input_size']


def test_an_interrupted_training_goes_on_to_a_bundle_and_beyond(tmp_path):
    """Looking and one round, then a new process's worth of state, then the rest, and more."""
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
    looking, *rounds = bundle.manifest['training']['stages']
    assert looking['pictures'] == 3 * VIEWS_PER_SCENE
    assert [one['driver'] for one in rounds] == ['expert', 'policy']
    image = np.full(bundle.input.shape, 90, np.uint8)
    actions = [open_backend(name, bundle).infer(image, bundle.zero_state())[0]
               for name in ('torch', 'onnx')]
    assert actions[0] == pytest.approx(actions[1], abs=1e-5)
    assert refusal_reason(bundle, 'onnx', 'fp32') == ''


def _goes_on_with_more_rounds(folder):
    """Keep what is done; only what is still to come may be planned anew."""
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
    """Pictures and what is in them, five a scene; a second call renders nothing again."""
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
    """A bright half tells the target; an encoder that sees it explains held-out pictures."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 60, (96, 96, 128, 3), np.uint8)
    side = np.arange(96) % 2
    for image, one in zip(images, side):
        image[:, 64 * one:64 * (one + 1)] += 150
    targets = np.tile((side - 0.5).astype(np.float32)[:, None], (1, 32))
    looker = Looker(_network(), targets, 'cpu')
    *_, seen = learn_to_look(looker, images, targets, 25, 0)
    assert seen['things'] > 0.8


def test_learning_brings_the_error_down_and_resumes_exactly():
    """A few steps on two lessons; a restored learner takes the same next step."""
    rng = np.random.default_rng(0)
    lessons = [rng.random((length, FEATURES + 2 + HINTS), np.float32) for length in (5, 9)]
    for lesson in lessons:
        lesson[:, FEATURES:FEATURES + 2] = 0.3
    first, second = (Learner(_network(), 'cpu', 40) for _ in range(2))
    batch = make_batch(lessons, first.device)
    assert batch.real.sum() == 5 + 9
    errors = [first.learn(batch)[0] for _ in range(60)]
    assert errors[-1] < 0.5 * errors[0]
    second.restore(first.snapshot())
    assert second.learn(batch) == pytest.approx(first.learn(batch), rel=1e-3)


def test_the_expert_takes_over_before_a_contact_and_it_is_told():
    """A network that only knows forwards is helped around whatever it would have hit."""
    from vla_nav_node.vision.preprocess import InputSpec, Preprocess
    from vla_nav_node.sim.world.world import World
    network = _network()
    with torch.no_grad():
        network.actions[-1].weight.zero_()
        network.actions[-1].bias.copy_(torch.tensor([0.5, 0.0]))
    world = World()
    for seed in range(1_000_000, 1_000_003):
        driver = TaughtDriver(Preprocess(InputSpec(**INPUT)), network, Lesson(seed, False, False))
        episode = drive(world, driver, seed, conditions=draw_conditions(seed))
        assert driver.helped and episode.outcome != 'contact'


def test_the_view_tells_how_near_things_are():
    """A wall straight ahead; nearness falls with the distance from the camera."""
    layout = Layout(0, 'random', (), (4.0, 0.0), (3.3, 0.0, 0.0))
    told = in_view(layout, layout.start)
    assert told[:5] == pytest.approx([3.3, 0, 0, 0.7, 0])
    ahead = ARENA[1] - 3.3 - CAMERA_FORWARD
    assert told[5 + FAN // 2] == pytest.approx(1 / (NEARNESS + ahead), rel=0.03)
    far = in_view(layout, (0.5, 0.0, 0.0))
    assert far[5 + FAN // 2] == pytest.approx(1 / (NEARNESS + FAN_LENGTH), rel=FAN_STEP)


def test_hints_tell_of_what_the_camera_does_not_see():
    """A box right behind and the cup ahead to the left, from a robot turned by 90 degrees."""
    behind = Box(1.0, -0.9, 0.0, 0.2, 0.2, 0.2)
    layout = Layout(0, 'random', (behind,), (0.6, 1.0), (1.0, 0.0, np.pi / 2))
    told = around(layout, layout.start)
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


def test_half_of_what_the_policy_drives_is_hard():
    assert not any(lesson.scenario for lesson in draw_lessons(range(100), True, 0.5))
    lessons = draw_lessons(range(400), False, 0.35)
    hard = [lesson.scenario for lesson in lessons if lesson.scenario]
    assert 150 < len(hard) < 250 and set(hard) == set(HARD)
    assert lessons == draw_lessons(range(400), False, 0.35)
