"""`vla_nav gpu-bench` without a GPU: on the CPU and tiny policies, for real, within its limit."""

import importlib
import json
from pathlib import Path
import sys
import time

from hypothesis import given, settings, strategies as st
import numpy as np
import pytest

for package in ('onnxruntime', 'psutil', 'onnx', 'torch', 'rich'):
    pytest.importorskip(package)

import tiny  # noqa: E402, I100, they come after the checks above
from vla_nav_node import cli  # noqa: E402
from vla_nav_node.backends.onnx.onnx_cuda import NO_TF32  # noqa: E402
from vla_nav_node.bench.hardware import gpu_report  # noqa: E402
from vla_nav_node.bench.models import frame_sets, policies  # noqa: E402
from vla_nav_node.bench.models.candidate import Candidate  # noqa: E402
from vla_nav_node.bench.models.matrix import (  # noqa: E402
    GPU_KINDS, gpu_kinds, plan_rows)
from vla_nav_node.bench.models.runners.row_process import Budget, LimitError  # noqa: E402
from vla_nav_node.bench.models.targets import BEST, targets  # noqa: E402
from vla_nav_node.bundle.bundle import load_bundle, write_bundle  # noqa: E402
from vla_nav_node.bundle.verdicts import STEPS  # noqa: E402
from vla_nav_node.convert.structure import presets  # noqa: E402
from vla_nav_node.convert.verify.open_loop import check_frames  # noqa: E402
from vla_nav_node.errors import SettingError  # noqa: E402
from vla_nav_node.vision.preprocess import InputSpec  # noqa: E402

EVERYTHING = gpu_kinds(('torch', 'onnx', 'tensorrt'), ('fp32', 'fp16', 'int8'),
                       ('eager', 'cuda_graph', 'script', 'compile', 'tensorrt'))


@pytest.fixture(autouse=True)
def _tf32(monkeypatch):
    """Restore after each test what the verb sets for its process."""
    monkeypatch.setenv(NO_TF32, '0')


@pytest.fixture(scope='module')
def bundle(tmp_path_factory):
    """Write a tiny bundle."""
    return tiny.write_tiny(tmp_path_factory.mktemp('gpu_bench') / 'tiny')


@pytest.fixture(scope='module')
def altered(bundle):
    """Write a bundle whose graph was exported from other weights."""
    other = tiny.write_tiny(bundle.directory.with_name('other'), seed=1)
    described = {key: value for key, value in bundle.manifest.items() if key != 'files'}
    return write_bundle(bundle.directory.with_name('altered'), described, {
        'policy.safetensors': bundle.file('policy.safetensors'),
        'policy.fp32.onnx': other.file('policy.fp32.onnx')})


def bench(out, *arguments):
    """Run it on the CPU -> exit status, report."""
    status = cli.main(['gpu-bench', *map(str, arguments), '--device', 'cpu', '--precisions',
                       'fp32', '--runs', '10', '--paced-runs', '5', '--out', str(out)])
    return status, json.loads((out / 'gpu-bench.json').read_text())


def test_rows_are_compared_and_timed_and_a_wrong_one_fails(bundle, altered, tmp_path, capsys):
    status, report = bench(tmp_path, bundle.directory, altered.directory, '--modes', 'eager',
                           '--backends', 'torch', 'onnx', 'tensorrt')
    said = ' '.join(capsys.readouterr().out.split())
    assert status == 1, said
    rows = {(row['policy'], row['label']): row for row in report['rows']}
    assert set(rows) == {(policy, label) for policy in ('tiny', 'altered')
                         for label in ('torch fp32 eager', 'onnx fp32')}
    for row in rows.values():
        assert row['back_to_back']['runs'] == 10 and row['paced']['runs'] == 5
        assert 0.0 < row['back_to_back']['p50'] <= row['back_to_back']['p99']
        assert row['parity']['figures']['rollout']['steps'] == STEPS
        assert row['device'] == 'cpu'
    good, bad = rows['tiny', 'onnx fp32']['parity'], rows['altered', 'onnx fp32']['parity']
    assert good['problems'] == [] and any('the limit is' in one for one in bad['problems'])
    assert 'tensorrt fp32' in report['absent']['tiny']
    *ratios, gates = report['targets']
    assert gates['met'] is False and gates['found'] == '3 of 4; not: altered onnx fp32'
    assert all(one['met'] is None for one in ratios)
    assert said.index('Targets for a GPU') > said.index('No row tiny, tensorrt fp32: ')
    assert 'NOT PASSED' in said and report['gpu'] == gpu_report()


def test_what_does_not_fit_into_the_limit_is_named(bundle, tmp_path, capsys):
    begin_s = time.monotonic()
    status, report = bench(tmp_path, bundle.directory, '--limit', '0.5')
    assert status == 2 and time.monotonic() - begin_s < 60.0
    assert report['rows'] == []
    absent = report['absent']['tiny']
    assert {'torch fp32 eager', 'torch fp32 compile', 'onnx fp32'} <= set(absent)
    assert absent['torch fp32 eager'].startswith('not measured: the limit')
    assert 'No row tiny, torch fp32 eager: not measured' in capsys.readouterr().out


@pytest.mark.parametrize('arguments, reason', [
    (['nowhere'], 'no model nowhere'),
    (['simple', '--limit', '0'], '--limit and --period above 0'),
    (['simple', '--runs', '1'], 'at least 2')])
def test_it_tells_why_it_cannot_run(arguments, reason, capsys, tmp_path):
    assert cli.main(['gpu-bench', *arguments, '--out', str(tmp_path)]) == 2
    captured = capsys.readouterr()
    assert reason in captured.out + captured.err


def test_every_way_to_run_has_a_row_or_a_reason(bundle):
    plan = plan_rows('tiny', bundle, EVERYTHING, 'cpu', quick=True)
    labels = [each.name for batch in plan.batches for each in batch]
    assert {*labels, *plan.absent} == {kind.label for kind in GPU_KINDS}
    assert {'torch fp32 compile', 'torch fp16 cuda_graph', 'onnx fp32 tensorrt'} <= set(labels)
    modes = {each.name: each.options for batch in plan.batches for each in batch}
    assert modes['torch fp32 script'].torch_mode == 'script'
    assert modes['onnx fp32 tensorrt'].onnx_provider == 'tensorrt'
    assert modes['onnx fp32'].onnx_provider == 'auto'
    only = gpu_kinds(('torch', 'onnx', 'tensorrt'), ('fp32',), ('eager',))
    batch, = plan_rows('tiny', bundle, only, 'cpu', quick=True).batches
    assert [each.name for each in batch] == ['torch fp32 eager', 'onnx fp32']


def test_what_times_kernels_while_it_opens_is_alone(bundle):
    found = plan_rows('tiny', bundle, EVERYTHING, 'cpu', quick=True).batches
    builds = {kind.label for kind in GPU_KINDS if kind.builds}
    order = [kind.label for kind in GPU_KINDS]
    places = [order.index(each.name) for batch in found for each in batch]
    assert places == sorted(places)
    alone = [batch for batch in found if any(each.name in builds for each in batch)]
    assert alone and all(len(batch) == 1 for batch in alone)
    assert max(map(len, found)) > 2


def made(policy, label, p50, device='cuda (a GPU)', **parity):
    """Return a made-up row."""
    return {'policy': policy, 'label': label, 'device': device, 'back_to_back': {'p50': p50},
            'parity': parity or {'figures': {}, 'problems': []}}


def found(rows, absent=None, policies_=('simple',)):
    """Return the targets by name."""
    return {one.what: one for one in targets(policies_, rows, absent or {})}


def test_targets_are_held_against_the_figures_of_a_gpu():
    rows = [made('simple', BEST, 0.08), made('simple', 'torch fp16 eager', 0.224),
            made('simple', 'torch fp32 eager', 0.3),
            made('simple', 'torch fp16 cuda_graph', 0.12)]
    told = found(rows)
    assert told[f'simple, {BEST}: p50'][1:] == ('<= 0.10 ms', '0.080 ms', True)
    assert told[f'simple: torch fp16 eager / {BEST}'][2:] == ('2.80 x', False)
    assert told[f'simple: torch fp16 cuda_graph / {BEST}'][2:] == ('1.50 x', True)
    assert told['rows through the gates of verify'][2:] == ('4 of 4', True)


@pytest.mark.parametrize('rows, absent, reason', [
    ([], {'simple': {BEST: 'no driver'}}, 'no driver'),
    ([], {}, 'not asked for'),
    ([made('simple', BEST, 0.05, device='cpu')], {}, 'did not run on a GPU')])
def test_a_target_without_a_figure_is_not_met_and_says_why(rows, absent, reason):
    target = found(rows, absent)[f'simple, {BEST}: p50']
    assert target.met is None and reason in target.found


def test_a_row_that_was_not_compared_is_not_passed():
    gates = 'rows through the gates of verify'
    assert found([made('p', 'a', 1.0, unmeasured='late')])[gates].met is None
    assert found([made('p', 'a', 1.0, unmeasured='it fell', failed=True)])[gates].met is False
    assert found([])[gates].met is None


def test_a_budget_runs_out():
    budget = Budget(60.0)
    assert 0.0 < budget.share(3).left_s <= 20.0 and budget.share(1, 61.0).left_s == 0.0
    assert list(budget.limit(range(3))) == [0, 1, 2]
    with pytest.raises(LimitError, match='is over'):
        list(Budget(0.0).limit(range(3)))


@settings(deadline=None, max_examples=25)
@given(st.integers(24, 250), st.integers(24, 250), st.integers(0, 3))
def test_the_frames_that_are_made_would_show_a_wrong_network(height, width, seed):
    frames = frame_sets.load_frame_set(frame_sets.MADE, InputSpec(height, width), 40, seed).frames
    assert frames.shape == (40, height, width, 3) and frames.dtype == np.uint8
    check_frames(frames)


def test_a_policy_of_the_simulator_sees_that_where_it_can_be_had(bundle, monkeypatch):
    assert frame_sets.source_for('auto', bundle) == frame_sets.MADE  # it has no seeds
    assert frame_sets.source_for('some.npy', bundle) == 'some.npy'
    shipped = load_bundle()
    monkeypatch.setitem(sys.modules, 'mujoco', None)
    assert frame_sets.source_for('auto', shipped) == frame_sets.MADE


def test_a_preset_gets_fixed_scales_once_and_the_shipped_one_in_a_place_of_its_own(
        tmp_path, monkeypatch):
    small = presets.PRESETS['simple'] | {'head': [8], 'recurrent': {
        'type': 'RNN', 'input_size': 2048, 'hidden_size': 8, 'num_layers': 1}}
    monkeypatch.setitem(presets.PRESETS, 'simple', small)
    monkeypatch.setitem(presets.INPUT, 'height', 48)
    monkeypatch.setitem(presets.INPUT, 'width', 48)
    plain = policies.open_gpu_model('simple', tmp_path, ['fp32', 'fp16', 'int8'])
    assert set(plain.precisions) == {'fp32', 'fp16'}
    frames = frame_sets.load_frame_set(frame_sets.MADE, plain.input, 5, seed=1).frames
    first = policies.with_fixed_scales('simple', plain, tmp_path, frames)
    assert policies.FIXED in first.manifest['files']
    again = policies.with_fixed_scales('simple', first, tmp_path, frames)
    assert again is first
    fixed = Candidate('a', 'bundle', first.directory, 'int8', 'tensorrt')
    assert fixed.size_bytes == (first.directory / policies.FIXED).stat().st_size
    assert policies.with_fixed_scales(
        str(tmp_path / 'simple'), plain, tmp_path, frames) is plain
    stale = {**plain.manifest['files'], 'policy.fp32.onnx': {'sha256': '0'}}
    monkeypatch.setitem(plain.manifest, 'files', stale)
    with pytest.raises(SettingError, match='was made of another'):
        policies._same(plain, first)


def test_it_needs_no_ros_no_simulator_and_no_plots(monkeypatch):
    for name in ('rclpy', 'mujoco', 'matplotlib', 'scipy', 'rosbags', 'sensor_msgs'):
        monkeypatch.setitem(sys.modules, name, None)
    folder = Path(policies.__file__).parent
    for path in folder.rglob('*.py'):
        if path.name not in ('plots.py', '__init__.py'):
            name = '.'.join(path.relative_to(folder).with_suffix('').parts)
            monkeypatch.delitem(sys.modules, f'vla_nav_node.bench.models.{name}', False)
            importlib.import_module(f'vla_nav_node.bench.models.{name}')
