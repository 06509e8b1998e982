"""`vla_nav benchmark`: rows of the same work on the same device are ranked, others are not."""

import json

from hypothesis import given, strategies as st
import pytest

for package in ('onnxruntime', 'psutil', 'torch', 'rich', 'matplotlib'):
    pytest.importorskip(package)

import tiny  # noqa: E402, I100, they come after the checks above
from vla_nav_node import cli  # noqa: E402
from vla_nav_node.bench.bench_options import MODELS  # noqa: E402
from vla_nav_node.bench.models import matrix_report, plots, policies  # noqa: E402
from vla_nav_node.bench.models.matrix import all_kinds, plan_rows, read_options  # noqa: E402
from vla_nav_node.bench.models.matrix_report import ratio  # noqa: E402
from vla_nav_node.bench.models.ranking import advise, rank, ROBOTS  # noqa: E402
from vla_nav_node.bundle.bundle import load_bundle  # noqa: E402
from vla_nav_node.commands import benchmark  # noqa: E402
from vla_nav_node.convert.structure import presets  # noqa: E402
from vla_nav_node.errors import SettingError  # noqa: E402

RUNS = 6
ALSO = 'huge_pages=false,rehearsal_ms=0'


@pytest.fixture(scope='module')
def bundle(tmp_path_factory):
    """Write a tiny bundle."""
    return tiny.write_tiny(tmp_path_factory.mktemp('benchmark') / 'tiny', layers=2)


def test_every_row_is_measured_and_the_one_shot_export_is_not_ranked(bundle, tmp_path, capsys):
    status = cli.main(['benchmark', str(bundle.directory), '--one-shot', '--warm-up', '2',
                       '--runs', str(RUNS), '--count', '5', '--device', 'cpu', '--out',
                       str(tmp_path), '--json', str(tmp_path / 'also.json'), '--torch-modes',
                       'auto', 'script', 'cuda_graph', '--also', ALSO])
    said = ' '.join(capsys.readouterr().out.split())
    assert status == 0, said
    report = json.loads((tmp_path / 'benchmark.json').read_text())
    rows = {row['label']: row for row in report['rows']}
    assert set(rows) == {'torch fp32', 'torch fp32 script', 'onnx fp32', f'onnx fp32 {ALSO}',
                         'one-shot export'}
    assert_measured(rows)
    assert {'torch fp16', 'torch int8', 'onnx fp16', 'onnx int8', 'tensorrt fp32'} <= set(
        report['absent']['tiny'])
    assert 'no policy.int8.onnx' in report['absent']['tiny']['onnx int8']
    group, = report['ranking']
    assert {row['label'] for row in group['rows']} == set(rows) - {'one-shot export'}
    assert rows['torch fp32 script']['provider'] == 'TorchScript'
    assert report['absent']['tiny']['torch fp32 cuda_graph'] == (
        'torch_mode cuda_graph on device cpu; expected a GPU; fix: set torch_mode to auto, or '
        'device to cuda')
    refused, = report['refused']
    assert refused.startswith('tiny, one-shot export: not ranked, it carries no state')
    assert {one['kind'] for one in report['advice']} == {kind.name for kind in ROBOTS}
    assert report['untrained'] == [] and report['bandwidth_gb_s'] > 0.1
    assert [row['may_not_drive'] for row in rows.values()] == ['', '', '', '', 'is no bundle']
    assert 'tiny, one-shot export: not ranked' in said
    assert report == json.loads((tmp_path / 'also.json').read_text())
    page = (tmp_path / 'benchmark.md').read_text()
    assert 'Ranking' in page and 'Advice: tiny on cpu' in page and 'benchmark.png' in page
    assert (tmp_path / 'benchmark.png').read_bytes()[:4] == b'\x89PNG'


def assert_measured(rows):
    """Check each row's figures, whatever the times are."""
    for row in rows.values():
        for pace in ('back_to_back', 'paced'):
            assert row[pace]['runs'] == RUNS
            assert 0.0 < row[pace]['p50'] <= row[pace]['p99'] <= row[pace]['max']
        assert row['memory']['own'] > 1.0 and row['start_s'] > 0.0 and row['file_mb'] > 0.0
        assert row['device'] == 'cpu' and row['agreement']['mean'] < 1e-5
        assert row['agreement']['with'] == 'torch fp32'
    torch_row = rows['torch fp32']
    fastest = min(torch_row['alternatives'], key=lambda one: one['paced']['p99'])
    assert torch_row['threads'] == fastest['threads']
    assert torch_row['paced']['p99'] == pytest.approx(fastest['paced']['p99'])
    assert torch_row['alternatives'][0]['threads'] == 1
    assert len({row['work']['weights_sha256'] for row in rows.values()}) == 1


@pytest.mark.parametrize('arguments, reason', [
    (['nowhere'], 'no model nowhere'),
    (['shipped', '--period', '0'], 'ms above 0'),
    (['shipped', '--count', '0'], 'nothing to measure'),
])
def test_it_tells_why_it_cannot_run(arguments, reason, capsys):
    assert cli.main(['benchmark', *arguments]) == 2
    assert reason in capsys.readouterr().err


def test_the_presets_are_those_that_can_be_written():
    assert set(MODELS) == {'shipped', *presets.PRESETS}


def test_a_preset_is_made_once(tmp_path, monkeypatch):
    small = presets.PRESETS['simple'] | {'head': [8], 'recurrent': {
        'type': 'RNN', 'input_size': 2048, 'hidden_size': 8, 'num_layers': 1}}
    monkeypatch.setitem(presets.PRESETS, 'simple', small)
    first = policies.open_model('simple', tmp_path, ['fp32', 'fp16'], 'noise')
    assert {'fp32', 'fp16'} <= set(first.precisions)
    written = (tmp_path / 'simple' / 'policy.yaml').stat().st_mtime_ns
    policies.open_model('simple', tmp_path, ['fp32', 'fp16'], 'noise')
    assert (tmp_path / 'simple' / 'policy.yaml').stat().st_mtime_ns == written
    assert not first.manifest['training']['trained']


def test_a_plan_has_a_row_for_what_there_is_and_a_reason_for_the_rest(bundle):
    plan = plan_rows('tiny', bundle, all_kinds(['fp32', 'int8']), 'cpu')
    assert list(dict.fromkeys(each.name for each, in plan.batches)) == ['torch fp32', 'onnx fp32']
    assert {'torch int8', 'onnx int8'} <= set(plan.absent)
    threads = [each.threads for each, in plan.batches if each.name == 'torch fp32']
    assert threads == sorted(set(threads)) and threads[0] == 1


def test_torch_has_a_row_for_each_way_to_run_it(bundle):
    plan = plan_rows('tiny', bundle, all_kinds(['fp32', 'int8'], ['auto', 'script', 'compile']),
                     'cpu')
    assert list(dict.fromkeys(each.name for each, in plan.batches)) == [
        'torch fp32', 'torch fp32 script', 'torch fp32 compile', 'onnx fp32']
    assert {'torch int8', 'torch int8 script', 'onnx int8'} <= set(plan.absent)
    modes = [each.options.torch_mode for each, in plan.batches]
    assert set(modes) == {'auto', 'script', 'compile'}
    assert [each.threads for each, in plan.batches if each.name == 'torch fp32 compile'] == [0]


def made_row(label='onnx fp32', policy='p', device='cpu', p95=1.0, **other):
    """Return a made-up row."""
    precision = label.split()[-1]
    paced = {'p50': p95 / 2, 'p95': p95, 'p99': p95, 'max': p95, 'cpu_ms': p95, 'runs': 100,
             'mean': p95, 'std': 0.0, 'fps': 1e3 / p95, 'share': {'10': 0.1, '20': 0.05},
             'misses': {'10': 100 * (p95 > 10), '20': 100 * (p95 > 20)}}
    row = {'policy': policy, 'label': label, 'device': device, 'precision': precision,
           'carries_state': True, 'paced': paced, 'back_to_back': paced, 'late': 100 * (p95 > 20),
           'period_ms': 20.0, 'memory': {'own': 100.0, 'most': 200.0}, 'file_mb': 1.0,
           'start_s': 1.0, 'library': 'l', 'version': '1', 'provider': 'x', 'threads': 1,
           'alternatives': [{'threads': 1, 'paced': paced, 'back_to_back': paced}],
           'agreement': {'mean': 0.0, 'finite': True, 'with': 'torch fp32'}, 'may_not_drive': '',
           'work': {'policy': policy, 'weights_sha256': 'w', 'picture': [4, 4]}}
    row.update(other)
    return row


def test_two_devices_are_not_ranked_against_each_other():
    ranking = rank([made_row('torch fp32', device='cuda (a GPU)', p95=0.3),
                    made_row('onnx fp32', p95=1.7), made_row('onnx fp16', device='cuda')])
    assert [[row['label'] for row in group.rows] for group in ranking.groups] == [
        ['torch fp32', 'onnx fp16'], ['onnx fp32']]
    said, = ranking.refused
    assert 'rows on cuda and on cpu are ranked apart' in said


@pytest.mark.parametrize('change, reason', [
    ({'carries_state': False}, 'carries no state'),
    ({'agreement': {'mean': 0.3, 'finite': True, 'with': 'torch fp32'}}, 'does not compute'),
    ({'agreement': {'mean': None, 'finite': False, 'with': 'torch fp32'}}, 'not finite')])
def test_a_row_that_did_other_work_is_not_ranked(change, reason):
    ranking = rank([made_row('torch fp32'), made_row('onnx fp32', **change)])
    group, = ranking.groups
    assert [row['label'] for row in group.rows] == ['torch fp32']
    assert reason in ranking.refused[0]


def test_other_weights_make_another_group():
    other = made_row(work={'policy': 'p', 'weights_sha256': 'v', 'picture': [4, 4]})
    assert len(rank([made_row(), other]).groups) == 2


def test_others_are_at_their_best_in_each_figure():
    one, two = made_row('torch fp32', p95=4.0), made_row('onnx fp32', p95=2.0)
    one['alternatives'] = [{'threads': 1, 'paced': {'p50': 3.0, 'p99': 5.0}},
                           {'threads': 2, 'paced': {'p50': 2.5, 'p99': 17.0}}]
    ratios = [ratio([one, two], 'torch fp32', two, 'paced', name) for name in ('p50', 'p99')]
    assert ratios == [2.5, 2.5]


@pytest.mark.parametrize('spec, problem', [
    ('threads=2', "no option 'threads'"), ('huge_pages=2', "huge_pages is '2'"),
    ('rehearsal_ms=x', "rehearsal_ms is 'x'"), ('torch_mode=jit', "torch_mode is 'jit'"),
    ('intra_op_num_threads=-1', 'intra_op_num_threads is -1')])
def test_other_options_are_checked_before_anything_is_measured(spec, problem):
    with pytest.raises(SettingError, match=problem):
        read_options(spec)


rows = st.lists(st.builds(
    made_row, st.sampled_from(['onnx fp32', 'onnx int8', 'torch fp32']),
    st.sampled_from('pq'), st.sampled_from(['cpu', 'cuda']), st.floats(0.1, 40.0),
    carries_state=st.booleans()), min_size=1, max_size=8)


@given(rows)
def test_only_the_same_work_on_the_same_device_is_ranked(made):
    ranking = rank(made)
    ranked = [row for group in ranking.groups for row in group.rows]
    assert len(ranked) == sum(row['carries_state'] for row in made)
    for group in ranking.groups:
        assert {(row['policy'], row['device']) for row in group.rows} == {
            (group.policy, group.device)}
        keys = [(row['late'], row['paced']['p99']) for row in group.rows]
        assert keys == sorted(keys)
    # Every row that is in no group, and every pair of groups of one policy, is spoken of.
    text = ' '.join(ranking.refused)
    assert text.count('not ranked') == len(made) - len(ranked)
    for policy in {group.policy for group in ranking.groups}:
        devices = {group.device for group in ranking.groups if group.policy == policy}
        assert (f'{policy}: rows on' in text) == (len(devices) > 1)
    assert ('different policies' in text) == (len({g.policy for g in ranking.groups}) > 1)


@given(rows)
def test_advice_is_of_rows_that_keep_the_time(made):
    groups = rank(made).groups
    for one in advise(groups):
        group = next(g for g in groups if (g.policy, g.device) == (one.policy, one.device))
        budget = next(kind.budget for kind in ROBOTS if kind.name == one.kind)
        good = [row for row in group.rows if not row['paced']['misses'][budget]]
        assert (one.row is None) == (not good)
        assert one.row is None or one.row in {row['label'] for row in good}


def test_each_kind_of_robot_gets_what_it_needs():
    exact = made_row('torch fp32', p95=4.0)
    quick = made_row('onnx int8', p95=1.0, may_not_drive='has not been verified',
                     agreement={'mean': 5e-3, 'finite': True, 'with': 'torch fp32'})
    slow = made_row('onnx fp32', p95=15.0)
    slow['paced']['cpu_ms'] = 0.5
    found = {one.kind.split()[0]: one for one in advise(rank([exact, quick, slow]).groups)}
    assert found['fast'].row == 'onnx int8' and 'p99 1.00 ms' in found['fast'].because
    assert found['fast'].because.endswith('refuses it as yet: it has not been verified')
    assert 'refuses' not in found['precise'].because
    assert found['precise'].row == 'torch fp32' and 'next is onnx fp32' in found['precise'].because
    assert found['service'].row == 'onnx fp32'
    late, = [one for one in advise(rank([slow]).groups) if one.kind.startswith('fast')]
    assert late.row is None and 'even onnx fp32 took over 10 ms' in late.because


def test_a_report_of_two_devices_holds_no_ratio_between_them(tmp_path):
    made = [made_row('torch fp32', device='cuda'), made_row('onnx fp32')]
    ranking = rank(made)
    report = {
        'rows': made, 'bandwidth_gb_s': 30.0, 'ranking': [], 'refused': ranking.refused,
        'advice': []}
    first = matrix_report.benchmark_tables(report)[1]
    assert [row[-2:] for row in first.rows] == [['-', '-'], ['-', '-']]
    plots.draw_benchmark(made, tmp_path / 'a.png')
    assert (tmp_path / 'a.png').stat().st_size > 10_000


def test_the_shipped_policy_is_a_model():
    assert policies.open_model('shipped', None, ['fp32'], 'noise').directory == \
        load_bundle().directory


def test_models_of_the_same_name_are_told_apart():
    assert benchmark.short_names(['a/x', 'b/x', 'c/y', 'shipped']) == {
        'a/x': 'a/x', 'b/x': 'b/x', 'c/y': 'y', 'shipped': 'shipped'}
