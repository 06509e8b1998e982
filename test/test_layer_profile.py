"""Profiles of the layers: real ones of ONNX Runtime; TensorRT's are only summed up here."""

import json
import logging
import shutil

from hypothesis import given, strategies as st
from machine import why_not
import numpy as np
import pytest
import tiny

from vla_nav_node.backends import open_backend
from vla_nav_node.backends.layer_profile import Profiled, STEPS, summed_up
from vla_nav_node.backends.onnx_backend import OnnxBackend
from vla_nav_node.backends.options import BackendOptions
from vla_nav_node.errors import BackendError
from vla_nav_node.policy import Policy

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


def events_of(folder):
    """Read the one profile of a folder; give its nodes."""
    path, = folder.iterdir()
    return [event for event in json.loads(path.read_text()) if event['cat'] == 'Node']


def test_onnx_writes_a_trace_with_every_node_of_every_step(bundle, tmp_path):
    folder = tmp_path / 'made' / 'for it'
    backend = opened(bundle, folder)
    assert backend.info.provider == 'CPUExecutionProvider'
    found = drive(backend, bundle, 5)
    backend.close()
    assert np.array_equal(found, drive(open_backend('onnx', bundle, device='cpu'), bundle, 5))
    times = [event for event in events_of(folder) if event['name'].endswith('_kernel_time')]
    convolutions = [event for event in times if event['args']['op_name'] in ('Conv', 'FusedConv')]
    assert len(convolutions) == 5
    assert {event['args']['provider'] for event in times} == {'CPUExecutionProvider'}
    assert next(folder.iterdir()).name.startswith('onnx-fp32_')
    with pytest.raises(BackendError, match='closed'):
        backend.infer(tiny.images(1)[0], bundle.zero_state())


def test_it_is_written_after_so_many_steps_and_the_backend_goes_on(bundle, tmp_path):
    backend = opened(bundle, tmp_path)
    drive(backend, bundle, STEPS - 1)
    assert not list(tmp_path.glob('*.json')) or not next(tmp_path.glob('*.json')).stat().st_size
    drive(backend, bundle, 1)
    runs = len(events_of(tmp_path))
    drive(backend, bundle, 3)
    backend.close()
    assert len(events_of(tmp_path)) == runs > STEPS


def test_a_profile_that_cannot_be_written_is_told_and_stops_nothing(bundle, tmp_path, caplog):
    folder = tmp_path / 'gone'
    backend = opened(bundle, folder)
    shutil.rmtree(folder)
    with caplog.at_level(logging.INFO):
        assert len(drive(backend, bundle, STEPS + 1)) == STEPS + 1
    assert 'is lost: ONNX Runtime wrote no' in caplog.text
    backend.close()


def test_a_place_where_nothing_can_be_written_is_refused(bundle, tmp_path):
    (tmp_path / 'file').write_text('')
    with pytest.raises(BackendError, match='no profile can be written to .*set profile_directory'):
        opened(bundle, tmp_path / 'file')
    with pytest.raises(BackendError, match='Not a directory'):
        opened(bundle, tmp_path / 'file' / 'below')


def test_without_it_nothing_stands_before_the_backend(bundle):
    assert type(open_backend('onnx', bundle, device='cpu')) is OnnxBackend


def test_a_backend_without_profiles_ignores_it(bundle, tmp_path):
    backend = opened(bundle, tmp_path / 'none', backend='torch')
    assert not isinstance(backend, Profiled) and not (tmp_path / 'none').exists()


@given(st.dictionaries(st.text(), st.lists(st.floats(0.0, 1e3), min_size=1), max_size=5))
def test_the_shares_of_the_layers_make_a_whole(layers):
    report = summed_up(layers)
    assert [layer['name'] for layer in report['layers']] == list(layers)
    for layer, ms in zip(report['layers'], layers.values()):
        assert layer['steps'] == len(ms) and layer['max'] == max(ms)
        assert min(ms) <= layer['p50'] <= max(ms)
    whole = sum(layer['share'] for layer in report['layers'])
    assert whole == pytest.approx(1.0 if any(map(sum, layers.values())) else 0.0)


@pytest.mark.gpu
@pytest.mark.tensorrt
@pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT)
def test_tensorrt_tells_the_time_of_its_layers_in_a_cuda_graph(bundle, tmp_path, monkeypatch):
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    backend = opened(bundle, tmp_path / 'profiles', 'tensorrt', 'auto')
    assert backend.info.provider == 'CUDA graph'
    drive(backend, bundle, 5)
    backend.close()
    path, = (tmp_path / 'profiles').iterdir()
    layers = json.loads(path.read_text())['layers']
    assert layers and all(layer['mean'] > 0.0 for layer in layers)
