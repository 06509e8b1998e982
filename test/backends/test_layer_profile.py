"""Profiles of the layers: real ones of ONNX Runtime, and summaries of TensorRT's."""

import json
import os
from pathlib import Path

from hypothesis import given, strategies as st
from machine import why_not
import numpy as np
import onnxruntime
import pytest
import tiny

from vla_nav_node.backends import open_backend
from vla_nav_node.backends.layer_profile import (
    layer_times, profile_prefix, STEPS, summarise, WARM_UP, write_onnx_profile)
from vla_nav_node.backends.onnx.onnx_session import CPU
from vla_nav_node.backends.options import BackendOptions
from vla_nav_node.errors import BackendError
from vla_nav_node.policy.recurrent_policy import Policy

WHY_NOT = why_not('tensorrt')


@pytest.fixture(scope='module')
def bundle(tmp_path_factory):
    """Write a tiny policy."""
    return tiny.write_tiny(tmp_path_factory.mktemp('profile') / 'tiny')


def opened(bundle, folder, backend='onnx', device='cpu'):
    """Open a backend that profiles."""
    return open_backend(backend, bundle, device=device,
                        options=BackendOptions(profile_directory=str(folder)))


def drive(backend, bundle, steps):
    """Run steps on noise -> the actions."""
    policy = Policy(backend, bundle.zero_state())
    return [policy.act(image).copy() for image in tiny.images(steps)]


def test_onnx_writes_a_trace_with_every_node_and_drives_as_without(bundle, tmp_path):
    folder = tmp_path / 'made' / 'for it'
    backend = opened(bundle, folder)
    path, = folder.iterdir()
    assert path.name.startswith('onnx-fp32_') and path.suffix == '.json'
    text = path.read_text()
    nodes = [event for event in json.loads(text) if event['cat'] == 'Node'
             and event['name'].endswith('_kernel_time')]
    convolutions = [node for node in nodes if 'Conv' in node['args']['op_name']]
    assert len(convolutions) == WARM_UP + STEPS
    assert {node['args']['provider'] for node in nodes} == {CPU}
    assert all(node['dur'] >= 0 for node in nodes)
    found = drive(backend, bundle, 5)
    backend.close()
    assert path.read_text() == text and len(list(folder.iterdir())) == 1
    assert np.array_equal(found, drive(open_backend('onnx', bundle, device='cpu'), bundle, 5))


def test_a_trace_that_did_not_come_about_is_told(bundle, tmp_path):
    with pytest.raises(BackendError, match='ONNX Runtime wrote no .*room'):
        write_onnx_profile(onnxruntime, bundle.file('policy.fp32.onnx'), [CPU],
                           tmp_path / 'nowhere' / 'onnx')


def test_a_place_where_nothing_can_be_written_is_refused(bundle, tmp_path):
    (tmp_path / 'file').write_text('')
    with pytest.raises(BackendError, match='no profile can be written to .*set profile_directory'):
        opened(bundle, tmp_path / 'file')
    with pytest.raises(BackendError, match='Not a directory'):
        opened(bundle, tmp_path / 'file' / 'below')
    (tmp_path / 'locked').mkdir(mode=0o500)
    if os.geteuid():  # nothing is locked for root
        with pytest.raises(BackendError, match='a directory that is yours'):
            opened(bundle, tmp_path / 'locked')


def test_a_home_is_a_place(monkeypatch, tmp_path):
    monkeypatch.setenv('HOME', str(tmp_path))
    assert profile_prefix('~/profiles', 'x') == Path(tmp_path, 'profiles', 'x')
    assert profile_prefix('', 'x') is None


def test_a_backend_without_profiles_ignores_it(bundle, tmp_path):
    opened(bundle, tmp_path / 'none', backend='torch').close()
    assert not (tmp_path / 'none').exists()


@given(st.dictionaries(st.text(), st.lists(st.floats(0.0, 1e3), min_size=1), max_size=5))
def test_the_shares_of_the_layers_make_a_whole(layers):
    report = summarise(layers)
    assert [layer['name'] for layer in report['layers']] == list(layers)
    for layer, ms in zip(report['layers'], layers.values()):
        assert layer['steps'] == len(ms) and layer['max'] == max(ms)
        assert min(ms) <= layer['p50'] <= max(ms)
    whole = sum(layer['share'] for layer in report['layers'])
    assert whole == pytest.approx(1.0 if any(map(sum, layers.values())) else 0.0)


def test_a_profiler_of_ours_is_one_of_tensorrts():
    trt = pytest.importorskip('tensorrt_lean', reason="TensorRT's lean runtime is not installed")
    times = layer_times(trt)
    assert isinstance(times, trt.IProfiler)
    for _ in range(3):
        times.report_layer_time('conv', 0.25)
        times.report_layer_time('gemm', 0.75)
    layers = summarise(times.layers)['layers']
    assert [(layer['name'], layer['steps'], layer['share']) for layer in layers] == [
        ('conv', 3, 0.25), ('gemm', 3, 0.75)]


@pytest.mark.gpu
@pytest.mark.tensorrt
@pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT)
def test_tensorrt_tells_the_time_of_its_layers(bundle, tmp_path, monkeypatch):
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    backend = opened(bundle, tmp_path / 'profiles', 'tensorrt', 'cuda')
    assert backend.info.provider == 'CUDA graph'
    drive(backend, bundle, 5)
    backend.close()
    path, = (tmp_path / 'profiles').iterdir()
    layers = json.loads(path.read_text())['layers']
    assert layers and all(layer['mean'] > 0.0 for layer in layers)
