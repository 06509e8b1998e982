"""`vla_nav compare`: two models side by side, and a verdict that follows from the figures."""

import json
import math
import os
from pathlib import Path
import signal
import subprocess
import sys
import time

from hypothesis import given, strategies as st
import numpy as np
import pytest

for package in ('onnxruntime', 'psutil', 'torch', 'rich', 'matplotlib'):
    pytest.importorskip(package)

import tiny  # noqa: E402, I100, they come after the checks above
from vla_nav_node import cli  # noqa: E402
from vla_nav_node.backends.torch.network import load_network  # noqa: E402
from vla_nav_node.bench.models import plots, score  # noqa: E402
from vla_nav_node.convert.export.step_graph import export_one_shot  # noqa: E402
from vla_nav_node.policy.recurrent_policy import Policy  # noqa: E402
from vla_nav_node.vision.preprocess import InputSpec, Preprocess  # noqa: E402

FRAMES = 8


@pytest.fixture(scope='module')
def bundle(tmp_path_factory):
    """Write a tiny bundle."""
    return tiny.write_tiny(tmp_path_factory.mktemp('compare') / 'tiny')


@pytest.fixture(scope='module')
def labelled(bundle, tmp_path_factory):
    """Write frames with what the bundle itself does as labels."""
    from vla_nav_node.backends import open_backend
    policy = Policy(open_backend('onnx', bundle), bundle.zero_state())
    prepare, frames = Preprocess(bundle.input), tiny.images(FRAMES)[:, 0]
    path = tmp_path_factory.mktemp('labels') / 'labelled.npz'
    np.savez(path, frames=frames, actions=[policy.act(prepare(frame)) for frame in frames])
    return path


def compare(a, b, out, *arguments):
    """Run the verb; return its exit status and report."""
    status = cli.main(['compare', str(a), str(b), '--out', str(out), '--warm-up', '2', '--runs',
                       '10', '--device', 'cpu', *map(str, arguments)])
    return status, json.loads((out / 'compare.json').read_text())


def test_two_backends_of_a_bundle_agree(bundle, labelled, tmp_path, capsys):
    also = tmp_path / 'also.json'
    status, report = compare(f'{bundle.directory}:fp32@torch', bundle.directory, tmp_path,
                             '--frames', labelled, '--json', also)
    said = capsys.readouterr().out
    assert status == 0, said
    sides, quality = report['sides'], report['quality']
    assert quality['frames'] == FRAMES and quality['max'] < 1e-5
    assert quality['axes']['linear_y']['correlation'] == pytest.approx(1.0, abs=1e-6)
    assert [sides[key]['library'] for key in 'AB'] == ['torch', 'onnxruntime']
    assert sides['A']['action_mae'] == pytest.approx(0.0, abs=1e-5)
    # Of their own processes: torch is not in the other side's memory.
    assert sides['A']['memory']['own'] > sides['B']['memory']['own'] + 50.0
    assert sides['B']['file_mb'] == pytest.approx(
        bundle.file('policy.fp32.onnx').stat().st_size / 1e6)
    for side in sides.values():
        assert side['latency']['runs'] == 10 and side['carries_state']
        assert side['device'] == 'cpu' and side['version'] and side['provider']
    assert score.FORMULA in said.replace('\n', ' ') or 'quality^0.5' in said
    assert 'Verdict: B keeps the quality' in said
    assert json.loads(also.read_text()) == report
    assert (tmp_path / 'compare.png').read_bytes()[:4] == b'\x89PNG'
    page = (tmp_path / 'compare.md').read_text()
    assert 'correlation' in page and 'compare.png' in page and score.FORMULA in page
    with np.load(tmp_path / 'compare.npz') as arrays:
        assert arrays['a'].shape == arrays['labels'].shape == (FRAMES, 2)


def test_another_policy_does_not_pass_for_this_one(bundle, tmp_path, capsys):
    other = tiny.write_tiny(tmp_path / 'other', seed=1)
    np.save(tmp_path / 'frames.npy', tiny.images(FRAMES)[:, 0])
    status, report = compare(bundle.directory, other.directory, tmp_path / 'out', '--frames',
                             tmp_path / 'frames.npy')
    assert status == 1
    assert report['verdict']['problems'] and report['quality']['mean'] > 0.01
    assert 'B must not take the place of A' in capsys.readouterr().out
    assert report['scores']['B']['quality'] < report['scores']['A']['quality'] == 1.0


def test_a_one_shot_export_is_seen_to_forget(bundle, labelled, tmp_path, capsys):
    network = load_network(bundle.file('policy.safetensors'), bundle.architecture, bundle.mean,
                           bundle.std)
    export_one_shot(network, tmp_path / 'one_shot.onnx',
                    InputSpec(tiny.HEIGHT, tiny.WIDTH))
    _, report = compare(bundle.directory, tmp_path / 'one_shot.onnx', tmp_path / 'out',
                        '--frames', labelled, '--tolerance', '0')
    assert any('B carries no state' in note for note in report['verdict']['notes'])
    assert report['verdict']['good'] is False  # the bundle's own labels need the state
    assert report['sides']['B']['action_mae'] > report['sides']['A']['action_mae']


@pytest.mark.parametrize('arguments, reason', [
    (['nowhere', 'shipped'], 'nowhere is not there'),
    (['shipped', 'shipped:int3'], "precision 'int3'"),
    (['shipped', 'shipped', '--runs', '1'], 'nothing to measure'),
    (['shipped', 'shipped', '--tolerance', '-1'], '0 or more'),
    (['shipped', 'shipped', '--std', '1', '0', '1'], 'above 0'),
    (['shipped', 'shipped', '--mean', '0.485', '0.456', '0.406'], 'black but for one grey level'),
])
def test_it_tells_why_it_cannot_run(arguments, reason, capsys):
    assert cli.main(['compare', *arguments]) == 2
    assert reason in capsys.readouterr().err


def children_of(pid):
    """Return the processes that a process has started."""
    return Path(f'/proc/{pid}/task/{pid}/children').read_text().split()


def runs(pid):
    """Return whether a process runs and is no zombie."""
    try:
        return Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()[0] != 'Z'
    except OSError:
        return False


@pytest.mark.skipif(not Path(f'/proc/self/task/{os.getpid()}/children').is_file(),
                    reason='this kernel does not list the children of a process')
@pytest.mark.parametrize('number, after_s', [(signal.SIGTERM, 1.0), (signal.SIGINT, 0.1)])
def test_no_side_is_left_when_it_is_ended(bundle, labelled, tmp_path, number, after_s):
    root = Path(__file__).parents[3]
    running = subprocess.Popen(
        [sys.executable, '-m', 'vla_nav_node.cli', 'compare', bundle.directory, bundle.directory,
         '--frames', labelled, '--runs', '10000000', '--out', tmp_path], cwd=root, text=True,
        env={**os.environ, 'PYTHONPATH': str(root)}, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, start_new_session=True)
    try:
        deadline = time.monotonic() + 60.0
        while len(children_of(running.pid)) < 3:  # two sides, and Python's own tracker
            assert time.monotonic() < deadline and running.poll() is None
            time.sleep(0.05)
        sides = children_of(running.pid)
        time.sleep(after_s)  # it measures, or the second side is still being opened
        if number == signal.SIGINT:  # Ctrl-C reaches all
            os.killpg(running.pid, number)
        else:
            running.send_signal(number)
        said = running.communicate(timeout=30.0)[0]
    finally:
        running.kill()
    assert running.returncode == 2
    assert 'interrupted' in said and 'Traceback' not in said
    deadline = time.monotonic() + 10.0  # Python's own tracker ends after us
    while any(map(runs, sides)):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def made_side(p95=1.0, own=100.0, file_mb=10.0, mae=None, device='cpu', carries_state=True):
    """Return made-up figures of a side."""
    return {'latency': {'p50': p95, 'p95': p95}, 'memory': {'own': own}, 'file_mb': file_mb,
            'action_mae': mae, 'device': device, 'carries_state': carries_state}


def made_quality(mean=0.0, finite=True, alive=True):
    """Return a made-up agreement."""
    return {'mean': mean, 'max': mean and 2 * mean, 'finite': finite, 'alive': alive}


costs = st.floats(0.01, 1e4)


@given(costs, costs, costs, costs, st.floats(0.0, 10.0))
def test_the_score_is_its_formula(a_ms, b_ms, a_mb, b_mb, mean):
    sides = {'A': made_side(a_ms, a_mb, a_mb), 'B': made_side(b_ms, b_mb, b_mb)}
    found = score.scores(sides, made_quality(mean))
    for parts in found.values():
        assert 0.0 < parts['score'] <= 1.0
        assert parts['score'] == pytest.approx(
            math.sqrt(parts['quality']) * parts['speed'] ** 0.25 * parts['memory'] ** 0.15
            * parts['size'] ** 0.10)
    assert max(parts['speed'] for parts in found.values()) == 1.0
    assert sum(score.WEIGHTS.values()) == pytest.approx(1.0)
    for name, weight in score.WEIGHTS.items():
        assert f'{name}^{weight:g}' in score.FORMULA


def test_labels_decide_where_there_are_some():
    worse = {'A': made_side(mae=0.05), 'B': made_side(mae=0.09)}
    assert score.scores(worse, made_quality(0.5))['B']['quality'] == pytest.approx(5 / 9)
    assert not score.judge(worse, made_quality(0.0), 0.01).good
    better = {'A': made_side(mae=0.09), 'B': made_side(mae=0.05)}
    assert score.judge(better, made_quality(0.5), 0.01).good


def test_times_of_two_devices_are_not_compared():
    sides = {'A': made_side(0.3, device='cuda (a GPU)'), 'B': made_side(1.7)}
    assert score.scores(sides, made_quality()) is None
    verdict = score.judge(sides, made_quality(), 0.01)
    assert verdict.good and 'time' not in verdict.text
    assert any('A ran on cuda (a GPU) and B on cpu' in note for note in verdict.notes)


def test_a_picture_of_two_devices_is_drawn_without_ratios_of_times():
    latency = {'p50': 1.0, 'p95': 1.0, 'p99': 1.0}
    sides = {key: {**made_side(device=device), 'name': key, 'start_s': 1.0, 'latency': latency}
             for key, device in (('A', 'cuda'), ('B', 'cpu'))}
    actions = [np.zeros((5, 2), np.float32)] * 2
    result = score.Comparison(sides, made_quality(), actions, None, [np.ones(5)] * 2)
    figure = plots.comparison_figure(result, 'verdict')
    assert [tick.get_text() for tick in figure.axes[-1].get_yticklabels()] == ['model file']


@pytest.mark.parametrize('quality, good, part', [
    (made_quality(0.009), True, 'keeps the quality'),
    (made_quality(0.011), False, 'differ by 0.0110 m/s'),
    (made_quality(None, finite=False), False, 'not finite'),
    (made_quality(alive=False), True, 'keeps the quality')])
def test_the_verdict_follows_from_the_agreement(quality, good, part):
    sides = {'A': made_side(), 'B': made_side()}
    verdict = score.judge(sides, quality, 0.01)
    assert verdict.good is good and part in verdict.text
    assert bool(verdict.notes) == (not quality['alive'])
    if good:
        assert 'Nothing is gained' in verdict.text


def test_a_gain_is_told():
    sides = {'A': made_side(4.0), 'B': made_side(1.0)}
    assert '0.25 of its time (p50)' in score.judge(sides, made_quality(), 0.01).text
