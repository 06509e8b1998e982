"""Verify: sound graphs pass, damaged ones do not, and only a verdict lets a graph drive."""

import json

import damage
import numpy as np
import pytest
import tiny
from vla_nav_node import cli
from vla_nav_node.backends import open_backend
from vla_nav_node.bundle.bundle import amend, load_bundle, write_bundle
from vla_nav_node.bundle.verdicts import refusal_reason, require_verified, STEPS, verdict_of
from vla_nav_node.commands.verify import FRAMES_SEED
from vla_nav_node.convert.verify.open_loop import check_frames, compare, record, worst
from vla_nav_node.convert.verify.verdict import (
    judge_closed_loop, judge_open_loop, NOT_DRIVEN, verify_open_loop)
from vla_nav_node.errors import BundleError, SettingError

onnx = pytest.importorskip('onnx', reason='onnx is not installed')
pytest.importorskip('torch', reason='PyTorch is not installed')
FRAMES = 250


@pytest.fixture(scope='module')
def shipped():
    """Return the trained policy, what its camera sees, and what torch makes of that."""
    pytest.importorskip('mujoco', reason='MuJoCo, whose pictures are needed, is not installed')
    from vla_nav_node.sim.expert.simulated_frames import load_frames
    bundle = load_bundle()
    frames = load_frames('sim', bundle.input, FRAMES, FRAMES_SEED)
    reference = open_backend('torch', bundle, 'fp32', 'cpu')
    return bundle, frames, record(reference, frames, bundle.zero_state(), STEPS)


@pytest.fixture(scope='module')
def quantised(shipped, tmp_path_factory):
    """Quantise the matrix products of the trained policy."""
    path = tmp_path_factory.mktemp('int8') / 'policy.int8.onnx'
    damage.quantise(shipped[0].file('policy.fp32.onnx'), path)
    return path


def figures_of(shipped, path, precision='fp32'):
    """Compare a graph of the trained policy with torch, and print the result."""
    bundle, frames, kept = shipped
    manifest = {key: value for key, value in bundle.manifest.items() if key != 'files'}
    written = write_bundle(path.with_name(f'{path.stem}.bundle'), manifest, {
        'policy.safetensors': bundle.file('policy.safetensors'),
        f'policy.{precision}.onnx': path})
    backend = open_backend('onnx', written, precision, 'cpu')
    figures = compare(backend, frames, kept)
    backend.close()
    once, rolled = (' / '.join(str(worst(figures[part], kind)) for kind in ('mean', 'max'))
                    for part in ('one_step', 'rollout'))
    print(f'\n{path.name}: one step {once}, rollout {rolled} m/s, '
          f'state {figures["one_step"]["state"]}')
    return figures


def test_a_sound_graph_passes(shipped, tmp_path):
    onnx.save(onnx.load(shipped[0].file('policy.fp32.onnx')), tmp_path / 'sound')
    assert judge_open_loop('fp32', figures_of(shipped, tmp_path / 'sound')) == []


SCALED = ('vision_encoder.0.weight', 'vision_encoder.6.weight', 'rnn.weight_hh_l0',
          'actions.2.weight')


@pytest.mark.parametrize('name', [*damage.DAMAGES, *SCALED])
def test_planted_damage_is_caught(shipped, tmp_path, name):
    """By the thresholds of fp32, and by those of fp16, which are fifty times larger."""
    model, weights = onnx.load(shipped[0].file('policy.fp32.onnx')), damage.weights_of(shipped[0])
    if name in SCALED:
        damage.scale_a_matrix(model, weights, name)
    else:
        damage.DAMAGES[name](model, weights)
    onnx.save(model, tmp_path / name)
    figures = figures_of(shipped, tmp_path / name)
    for precision in ('fp32', 'fp16'):
        problems = judge_open_loop(precision, figures)
        assert any('the rollout differs' in problem for problem in problems)


def test_int8_passes_and_a_saturated_layer_does_not(shipped, quantised, tmp_path):
    assert judge_open_loop('int8', figures_of(shipped, quantised, 'int8')) == []
    model = onnx.load(quantised)
    damage.saturate(model, damage.weights_of(shipped[0]))
    onnx.save(model, tmp_path / 'saturated')
    problems = judge_open_loop('int8', figures_of(shipped, tmp_path / 'saturated', 'int8'))
    assert any('the state differs' in problem for problem in problems)


@pytest.fixture
def policy(tmp_path):
    """Write a tiny policy without a verdict, and an array of pictures."""
    bundle = tiny.write_tiny(tmp_path / 'policy')
    np.save(tmp_path / 'frames.npy', tiny.scenes())
    manifest = {key: value for key, value in bundle.manifest.items()
                if key not in ('files', 'verification')}
    return write_bundle(bundle.directory, manifest,
                        {name: bundle.file(name) for name in bundle.manifest['files']})


def verify(bundle, *arguments):
    """Run the verb on the array of pictures beside the bundle; return its status."""
    frames = bundle.directory.with_name('frames.npy')
    return cli.main(['verify', str(bundle.directory), '--frames', str(frames), *arguments])


def with_graph(bundle, change, precision='fp32'):
    """Put a changed graph into the bundle, as another precision if need be."""
    path = bundle.directory.with_name('changed')
    model = onnx.load(bundle.file('policy.fp32.onnx'))
    change(model, damage.weights_of(bundle))
    onnx.save(model, path)
    sources = {name: bundle.file(name) for name in bundle.manifest['files']}
    manifest = {key: value for key, value in bundle.manifest.items() if key != 'files'}
    return write_bundle(bundle.directory, manifest,
                        {**sources, f'policy.{precision}.onnx': path})


def test_the_verdict_of_a_sound_bundle_lets_it_drive(policy, tmp_path, capsys):
    """It is in policy.yaml and in the JSON, states what it ran on, and keeps the rest."""
    assert 'has not been verified' in refusal_reason(policy, 'onnx', 'fp32')
    assert verify(policy, '--json', str(tmp_path / 'out.json')) == 0
    assert 'passed' in capsys.readouterr().out
    after = load_bundle(policy.directory)
    assert refusal_reason(after, 'onnx', 'fp32') == ''
    verdict = verdict_of(after, 'onnx', 'fp32')
    assert verdict['ran_on']['library'] == 'onnxruntime'
    assert verdict['frames'] == {'source': 'frames.npy', 'frames': 60}
    assert verdict['rollout']['steps'] == STEPS
    assert verdict['closed_loop'] == NOT_DRIVEN
    assert after.manifest['training'] == policy.manifest['training']
    document = json.loads((tmp_path / 'out.json').read_text())
    assert document['passed'] and len(document['rows']) == 1
    assert str(tmp_path) not in (policy.directory / 'policy.yaml').read_text()


def test_a_policy_of_the_simulator_is_driven_there_too(policy, capsys):
    """An untrained policy drives the same way on both runtimes, on new seeds."""
    pytest.importorskip('mujoco', reason='MuJoCo is not installed')
    amend(policy, lambda manifest: manifest['training'].update(seeds={'first': 100, 'last': 199}))
    assert verify(policy, '--seed', '95', '--episodes', '6') == 2
    assert 'trained on' in capsys.readouterr().err
    assert verify(policy, '--seed', '7001', '--episodes', '1', '--workers', '1') == 0
    assert 'of 1 episodes reached the cup' in capsys.readouterr().out
    driven = verdict_of(load_bundle(policy.directory), 'onnx', 'fp32')['closed_loop']
    assert driven['seeds'] == [7001, 7001] and driven['lost'] == 0.0
    assert driven['path_deviation_m']['max'] < 1e-3


def test_a_damaged_bundle_is_told_and_refused(policy, capsys):
    """The verdict is written too, and a repaired graph has to be verified again."""
    assert verify(policy) == 0
    damaged = with_graph(load_bundle(policy.directory), damage.scale_a_matrix)
    assert refusal_reason(damaged, 'onnx', 'fp32') == 'was verified with other files'
    assert verify(damaged) == 1
    assert 'the limit is 0.0001' in capsys.readouterr().out
    after = load_bundle(policy.directory)
    with pytest.raises(BundleError, match=r'did not pass: one step differs by .*allow_unverified'):
        require_verified(after, 'onnx', 'fp32')


def test_nothing_is_written_when_that_is_asked_for(policy):
    before = (policy.directory / 'policy.yaml').read_text()
    assert verify(policy, '--no-write') == 0
    assert (policy.directory / 'policy.yaml').read_text() == before


def test_a_graph_that_does_not_open_has_not_passed(policy, capsys):
    broken = with_graph(policy, lambda model, weights: model.graph.node.pop(), 'fp16')
    assert verify(broken) == 1
    assert 'onnx fp16: it does not open' in capsys.readouterr().out.replace('\n', ' ')
    after = load_bundle(policy.directory)
    assert refusal_reason(after, 'onnx', 'fp32') == ''
    assert refusal_reason(after, 'onnx', 'fp16') == 'has not been verified'


@pytest.mark.parametrize('arguments, problem', [
    (['--precisions', 'int8'], 'int8 cannot be verified'),
    (['--backends', 'torch'], 'nothing to compare'),
    (['--backends', 'torch', '--precisions', 'int8'], 'torch cannot be verified'),
    (['--steps', '10'], 'at least 1000'),
    (['--workers', '0'], '--workers'),
    (['--frames', 'nowhere'], 'nowhere')])
def test_what_cannot_run_ends_with_2(policy, capsys, arguments, problem):
    assert verify(policy, *arguments) == 2
    assert problem in capsys.readouterr().err


def test_an_output_that_is_not_finite_does_not_pass(policy):
    def spoil(model, weights):
        damage.alter(model, weights['actions.0.weight'], lambda matrix: matrix * np.nan)
    row, = verify_open_loop(with_graph(policy, spoil), tiny.scenes(), [('onnx', 'fp32')])
    assert any('differs by nan' in problem for problem in row.problems)
    assert row.figures['rollout']['vx'] == {'mean': None, 'max': None}


@pytest.mark.parametrize('frames, problem', [
    (np.full((60, 24, 32, 3), 7, np.uint8), '1 different frames'),
    (np.arange(60, dtype=np.uint8)[:, None, None, None] * np.ones((1, 24, 32, 3), np.uint8),
     'one colour'),
    (tiny.images(60)[:, 0], 'noise'),
    (tiny.scenes()[:20], '20 different frames')])
def test_frames_that_prove_nothing_are_refused(frames, problem):
    with pytest.raises(SettingError, match=problem):
        check_frames(frames)
    check_frames(tiny.scenes())


def test_a_state_that_is_off_does_not_pass_though_the_speeds_are_right():
    from vla_nav_node.convert.verify.open_loop import figures
    right = np.zeros((999, 2))
    assert judge_open_loop('fp32', figures(right, right, 1e-5)) == []
    for state in (0.03, float('nan')):
        problem, = judge_open_loop('int8', figures(right, right, state))
        assert 'the state differs' in problem


def test_states_are_compared_part_by_part_and_never_by_nothing():
    from vla_nav_node.convert.verify.open_loop import relative_error
    one, ten = np.ones((1, 1, 4), np.float32), np.full((1, 1, 4), 10, np.float32)
    assert relative_error((one * 1.5, ten), (one, ten)) == pytest.approx(0.5)
    assert relative_error((one * 1e-9,), (one * 0,)) == pytest.approx(1e-6)


def growing(first, last):
    """Return figures whose rollout is worse than one step by these factors, in its thirds."""
    from vla_nav_node.convert.verify.open_loop import figures
    once = np.full((999, 2), 0.001)
    rolled = once * np.repeat([first, (first + last) / 2, last], 333)[:, None]
    return figures(once, rolled, 0.0)


def test_nothing_is_verified_on_what_it_was_calibrated_on():
    from vla_nav_node.convert.frames.calibrated import SEED
    assert SEED != FRAMES_SEED


def test_drift_that_grows_does_not_pass():
    """Unless it is far below the threshold, where it may be mere rounding."""
    assert judge_open_loop('int8', growing(1, 1.9)) == []
    assert ['grows' in problem for problem in judge_open_loop('int8', growing(1, 3))] == [True]
    assert judge_open_loop('int8', growing(0.01, 0.03)) == []


def test_the_closed_loop_is_asked_of_int8_only():
    driven = {'episodes': 200, 'lost': 0.01}
    assert judge_closed_loop('int8', driven) == []
    assert judge_closed_loop('int8', NOT_DRIVEN) == []
    assert judge_closed_loop('fp16', 'not driven') == []
    assert '0 paired episodes' in judge_closed_loop('int8', 'not driven')[0]
    assert '199 paired' in judge_closed_loop('int8', {'episodes': 199, 'lost': 0.0})[0]
    assert '1.5% of the episodes are lost' in judge_closed_loop(
        'int8', {'episodes': 200, 'lost': 0.015})[0]
