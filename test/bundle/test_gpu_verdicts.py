"""`device: auto` takes a GPU only by a sound verdict of this machine on that kind of GPU."""

from dataclasses import replace
import json
import logging
import os
from types import SimpleNamespace

from hypothesis import given, settings, strategies as st
import pytest
import tiny
from vla_nav_node.backends import step_backend
from vla_nav_node.bundle import gpu_verdicts
from vla_nav_node.bundle.bundle import Bundle
from vla_nav_node.bundle.gpu_verdicts import (
    choose_device, find_verdict, gpu_of, key_of, save_verdict, verdicts_directory)
from vla_nav_node.driving.diagnostics.statuses import policy_status
from vla_nav_node.errors import BackendError
from vla_nav_node.types import BackendInfo

GPU, OTHER = 'NVIDIA Orin', 'NVIDIA H100 80GB HBM3'
INFO = BackendInfo('onnx', 'onnxruntime', '1.31.1', f'cuda ({GPU})',
                   'CUDAExecutionProvider, CUDA graph', 'fp16')


@pytest.fixture(name='bundle', scope='module')
def _bundle(tmp_path_factory):
    return tiny.write_tiny(tmp_path_factory.mktemp('verdicts') / 'tiny')


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))


def only_file():
    """Return the path of the only saved verdict."""
    path, = verdicts_directory().iterdir()
    return path


def test_auto_takes_a_gpu_that_verify_has_passed_on_and_no_other(bundle):
    assert choose_device(bundle, INFO, []) == ('cpu', '', '')
    found = choose_device(bundle, INFO, [GPU])
    assert found.device == 'cpu'
    assert found.note == (
        'NVIDIA Orin is here, but onnx 1.31.1 in fp16 has not been verified there; to drive on '
        f'it: vla_nav verify {bundle.directory} --backends onnx --precisions fp16 --device cuda')
    assert not verdicts_directory().exists()  # looking leaves nothing behind

    assert save_verdict(bundle, INFO, [])
    assert choose_device(bundle, INFO, [GPU]) == ('cuda', '', '')
    assert choose_device(bundle, INFO, [GPU, OTHER]).device == 'cuda'
    assert choose_device(bundle, INFO, [OTHER, GPU]).device == 'cpu'  # a backend runs on the first
    assert verdicts_directory().stat().st_mode & 0o777 == 0o700


def test_a_verdict_that_did_not_pass_takes_the_place_of_one_that_did(bundle):
    save_verdict(bundle, INFO, [])
    save_verdict(bundle, INFO, ['too far off', 'too late'])
    assert len(list(verdicts_directory().iterdir())) == 1
    found = choose_device(bundle, INFO, [GPU])
    assert found.device == 'cpu'
    assert 'did not pass there: too far off; too late' in found.note
    save_verdict(bundle, INFO, [])
    assert choose_device(bundle, INFO, [GPU]).device == 'cuda'


def with_other(bundle, **parts):
    """Return the bundle with parts of its manifest replaced."""
    return Bundle(bundle.directory, {**bundle.manifest, **parts})


@pytest.mark.parametrize('change', [
    {'name': 'torch'}, {'library': 'onnxruntime2'}, {'version': '1.31.2'}, {'precision': 'fp32'}])
def test_a_verdict_is_about_one_backend_version_and_precision(bundle, change):
    save_verdict(bundle, INFO, [])
    assert choose_device(bundle, replace(INFO, **change), [GPU]).device == 'cpu'


@pytest.mark.parametrize('change', ['files', 'input', 'action', 'architecture', 'gates'])
def test_a_verdict_is_about_one_model_and_its_gates(bundle, change, monkeypatch):
    save_verdict(bundle, INFO, [])
    files = {**bundle.manifest['files'], 'policy.fp16.onnx': {'sha256': '1' * 64, 'bytes': 1}}
    part = {'files': files, 'input': {**bundle.manifest['input'], 'fit': 'stretch'},
            'action': {'limits': {'linear_x': 0.1, 'linear_y': 0.1}},
            'architecture': {}, 'gates': None}[change]
    if part is None:
        monkeypatch.setitem(gpu_verdicts.THRESHOLDS, 'fp16', {'max': 0.001})
    now = bundle if part is None else with_other(bundle, **{change: part})
    assert choose_device(now, INFO, [GPU]).device == 'cpu'
    assert choose_device(with_other(bundle, verification={}, name='x'), INFO, [GPU]).device == (
        'cpu' if part is None else 'cuda')


def test_nothing_is_kept_of_the_cpu(bundle):
    for device in ('cpu', '', 'cuda'):
        assert not save_verdict(bundle, replace(INFO, device=device), [])
    assert not verdicts_directory().exists()
    assert gpu_of(INFO) == GPU
    assert gpu_of(replace(INFO, device='cuda (Tesla (old))')) == 'Tesla (old)'


DAMAGE = {
    'empty': lambda path: path.write_bytes(b''),
    'cut': lambda path: path.write_bytes(path.read_bytes()[:-5]),
    'text': lambda path: path.write_text('passed'),
    'other key': lambda path: edit(path, key={}),
    'passed is a text': lambda path: edit(path, passed='true'),
    'passed with problems': lambda path: edit(path, problems=['but']),
    'no problems': lambda path: edit(path, problems=None),
    'written by others': lambda path: path.chmod(0o666),
    'directory of others': lambda path: path.parent.chmod(0o777),
    'a link': lambda path: (path.rename(path.with_name('x')), path.symlink_to('x')),
    'a pipe': lambda path: (path.unlink(), os.mkfifo(path)),
    'gone': lambda path: path.unlink()}


def edit(path, **parts):
    """Change a verdict by hand."""
    path.write_text(json.dumps({**json.loads(path.read_text()), **parts}))


@pytest.mark.parametrize('damage', DAMAGE)
def test_a_verdict_that_cannot_be_trusted_counts_for_nothing(bundle, damage):
    save_verdict(bundle, INFO, [])
    DAMAGE[damage](only_file())
    assert choose_device(bundle, INFO, [GPU]).device == 'cpu'


@given(st.binary(max_size=200) | st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(['key', 'passed', 'problems']), inner, max_size=3), max_leaves=8).map(
            lambda value: json.dumps(value).encode()))
@settings(max_examples=100, deadline=None)
def test_whatever_lies_there_lets_no_gpu_drive(bundle, content):
    save_verdict(bundle, INFO, [])
    only_file().write_bytes(content)
    assert not (find_verdict(key_of(bundle, INFO, GPU)) or (False,))[0]


def test_a_cache_that_cannot_be_written_is_told(bundle, tmp_path, monkeypatch):
    (tmp_path / 'file').write_text('x')
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'file'))
    with pytest.raises(BackendError, match='no verdict can be kept in'):
        save_verdict(bundle, INFO, [])


def test_only_auto_asks_for_verdicts_and_the_log_says_what_to_run(bundle, monkeypatch, caplog):
    caplog.set_level(logging.INFO, 'vla_nav_node')
    library = SimpleNamespace(__name__='onnxruntime', __version__='1.31.1')
    monkeypatch.setattr(step_backend, 'gpus_here', lambda: (GPU,))
    for device in ('cpu', 'cuda'):
        assert step_backend.resolve_device(
            device, bundle, 'onnx', 'fp16', library) == (device, '', '')
    assert not caplog.records
    choice = step_backend.resolve_device('auto', bundle, 'onnx', 'fp16', library)
    assert choice.device == 'cpu' and f'tiny_lstm: {choice.note}' in caplog.text
    save_verdict(bundle, INFO, [])
    assert step_backend.resolve_device('auto', bundle, 'onnx', 'fp16', library).device == 'cuda'


def test_diagnostics_say_what_to_run(bundle):
    note = choose_device(bundle, INFO, [GPU]).note
    status = policy_status('tiny', replace(INFO, device='cpu', note=note), 'passed')
    assert status.level == 0 and status.values['GPU'] == note
    assert 'GPU' not in policy_status('tiny', INFO, 'passed').values


def test_what_runs_on_a_gpu_alone_is_refused_with_what_to_run(bundle):
    choice = choose_device(bundle, replace(INFO, name='tensorrt'), [GPU])
    error = gpu_verdicts.unverified_error(choice)
    assert 'has not been verified there' in error.found
    assert error.fix.startswith(f"run 'vla_nav verify {bundle.directory} --backends tensorrt")
    assert error.fix.endswith('or set device to cuda')


def test_the_reference_is_judged_on_a_gpu_too_and_tensorrt_nowhere_else(bundle):
    verdict = pytest.importorskip('vla_nav_node.convert.verify.verdict')
    pytest.importorskip('onnxruntime')
    pytest.importorskip('torch')
    reference = ('torch', 'fp32')
    assert reference not in verdict.candidates(bundle, ['onnx', 'torch'], None)
    assert reference in verdict.candidates(bundle, ['onnx', 'torch'], None, 'cuda')
    assert verdict.device_for('tensorrt', 'auto') == 'cuda'
    assert [verdict.device_for(name, device) for name in ('onnx', 'torch')
            for device in ('auto', 'cpu')] == ['auto', 'cpu'] * 2


def test_verify_keeps_what_it_found_on_a_gpu_for_this_machine(bundle, capsys):
    verify = pytest.importorskip('vla_nav_node.commands.verify')
    rows = [verify.Row('onnx', 'fp16', INFO), verify.Row('onnx', 'fp32', problems=['x'],
            info=replace(INFO, precision='fp32')), verify.Row('torch', 'fp16', skipped='absent'),
            verify.Row('onnx', 'int8', replace(INFO, precision='int8', device='cpu'))]
    verify._save_for_this_machine(bundle, rows)
    assert 'onnx fp16, onnx fp32 in ' in capsys.readouterr().out
    assert find_verdict(key_of(bundle, INFO, GPU)) == (True, [])
    assert find_verdict(key_of(bundle, replace(INFO, precision='fp32'), GPU)) == (False, ['x'])
    assert len(list(verdicts_directory().iterdir())) == 2
