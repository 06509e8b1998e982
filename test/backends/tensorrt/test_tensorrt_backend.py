"""TensorRT on a GPU; without one, its refusal with the reason."""

import logging
from pathlib import Path
import subprocess
import sys

from machine import why_not
import numpy as np
import pytest
import tiny
from vla_nav_node.backends import open_backend
from vla_nav_node.backends.tensorrt.engine_cache import cache_directory
from vla_nav_node.backends.tensorrt.tensorrt_backend import graph_of, TensorrtBackend
from vla_nav_node.bundle.bundle import write_bundle
from vla_nav_node.convert.verify.drift import StepFile
from vla_nav_node.errors import BackendError, BundleError


WHY_NOT = why_not('tensorrt')
needs_gpu = pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT)


@pytest.fixture(name='bundle', scope='module')
def _bundle(tmp_path_factory):
    return tiny.write_tiny(tmp_path_factory.mktemp('tensorrt') / 'tiny')


@pytest.fixture(autouse=True)
def _engines(tmp_path, monkeypatch):
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))


def test_a_cpu_and_a_precision_without_a_graph_are_refused_first(bundle):
    with pytest.raises(BundleError, match=r'no policy\.fp16\.onnx'):
        TensorrtBackend(bundle, 'fp16')
    with pytest.raises(BackendError, match='tensorrt on device cpu.*auto or cuda'):
        TensorrtBackend(bundle, 'fp32', 'cpu')


def test_a_graph_with_fixed_scales_is_preferred_for_int8(bundle, tmp_path):
    fp32 = bundle.file('policy.fp32.onnx')
    names = ['policy.safetensors', 'policy.fp32.onnx', 'policy.int8.onnx', 'policy.int8.qdq.onnx']
    sources = {name: bundle.file('policy.safetensors') if name.endswith('tensors') else fp32
               for name in names}
    described = {key: value for key, value in bundle.manifest.items() if key != 'files'}
    both = write_bundle(tmp_path / 'both', described, sources)
    assert graph_of(both, 'int8').name == 'policy.int8.qdq.onnx'
    assert graph_of(both, 'fp32').name == 'policy.fp32.onnx'
    del sources['policy.int8.qdq.onnx']
    assert graph_of(write_bundle(tmp_path / 'one', described, sources),
                    'int8').name == 'policy.int8.onnx'


@pytest.mark.skipif(not WHY_NOT, reason='TensorRT can be opened here')
def test_without_a_gpu_it_is_refused_with_the_reason_and_leaves_nothing_behind(bundle):
    with pytest.raises(BackendError) as refused:
        open_backend('tensorrt', bundle)
    assert refused.value.fix
    assert any(word in refused.value.found for word in ('package', 'driver', 'GPU', 'library'))
    assert not cache_directory().exists()


def test_asking_whether_it_can_be_had_imports_no_tensorrt():
    code = ('import sys\n'
            'from vla_nav_node.backends import check_machine\n'
            'from vla_nav_node.errors import BackendError\n'
            'try:\n'
            '    check_machine("tensorrt")\n'
            'except BackendError:\n'
            '    pass\n'
            'assert not {"tensorrt", "torch", "onnx"} & set(sys.modules)\n')
    subprocess.run([sys.executable, '-c', code], timeout=60, check=True,
                   env={'PYTHONPATH': str(Path(__file__).parents[3])})


@pytest.mark.gpu
@needs_gpu
def test_the_engine_is_built_once_and_a_damaged_one_again(bundle, caplog):
    caplog.set_level(logging.INFO, 'vla_nav_node')
    open_backend('tensorrt', bundle, device='cuda').close()
    path, = cache_directory().glob('*.engine')
    assert 'is built' in caplog.text
    caplog.clear()
    open_backend('tensorrt', bundle, device='cuda').close()
    assert 'building' not in caplog.text
    path.write_bytes(path.read_bytes()[:-1])
    open_backend('tensorrt', bundle, device='cuda').close()
    assert 'bytes of engine instead of' in caplog.text and 'is built' in caplog.text


@pytest.mark.gpu
@needs_gpu
def test_it_says_what_it_is(bundle):
    backend = open_backend('tensorrt', bundle, device='cuda')
    assert backend.info.device.startswith('cuda (')
    assert backend.info.provider == 'CUDA graph'
    assert 'products in fp32' in backend.info.layers and 'fp16' not in backend.info.layers


@pytest.mark.gpu
@needs_gpu
def test_a_thousand_steps_stay_with_the_reference(bundle):
    backend = open_backend('tensorrt', bundle, device='cuda')
    reference = open_backend('onnx', bundle, 'fp32', 'cpu')
    tiny.check_a_long_drive(bundle, backend, reference)


@pytest.mark.gpu
@needs_gpu
def test_two_can_be_open_and_be_closed_in_any_order(bundle):
    first, second = (open_backend('tensorrt', bundle, device='cuda') for _ in range(2))
    image, = tiny.images(1)
    action, state = first.infer(image, bundle.zero_state())
    again, _ = second.infer(image, bundle.zero_state())
    assert np.array_equal(action, again)
    first.close()
    assert np.isfinite(second.infer(image, state)[0]).all()
    second.close()
    with pytest.raises(BackendError, match='closed'):
        second.infer(image, state)


@pytest.fixture(name='precise', scope='module')
def _precise(bundle, tmp_path_factory):
    """Write the policy in fp16 and int8 too, and a second one whose fp16 is really fp32."""
    from vla_nav_node.convert.export.step_graph import export_onnx
    from vla_nav_node.convert.int8.fixed_scales import write_fixed_scales
    from vla_nav_node.backends.torch.network import load_network
    root = tmp_path_factory.mktemp('precise')
    names = ['policy.safetensors', 'policy.fp32.onnx']
    sources = {name: bundle.file(name) for name in names}
    export_onnx(load_network(sources['policy.safetensors'], bundle.architecture, bundle.mean,
                             bundle.std), root / 'half', bundle.input, 'fp16')
    write_fixed_scales(bundle, tiny.images(40)[:, 0], root / 'scales')
    described = {key: value for key, value in bundle.manifest.items() if key != 'files'}
    good = write_bundle(root / 'good', described, {
        **sources, 'policy.fp16.onnx': root / 'half', 'policy.int8.onnx': root / 'scales',
        'policy.int8.qdq.onnx': root / 'scales'})
    lie = write_bundle(root / 'lie', described, {
        **sources, 'policy.fp16.onnx': sources['policy.fp32.onnx'],
        'policy.int8.onnx': sources['policy.fp32.onnx']})
    return good, lie


LARGEST = {'fp16': 5e-3, 'int8': 5e-2}  # m/s


def largest_difference(backend, reference, bundle):
    """Return by how much 40 steps with their own states differ at most."""
    state, expected, worst = bundle.zero_state(), bundle.zero_state(), 0.0
    for image in tiny.images(40, seed=3):
        action, state = backend.infer(image, state)
        wanted, expected = reference.infer(image, expected)
        worst = max(worst, float(np.abs(action - wanted).max()))
    return worst


@pytest.mark.parametrize('precision', LARGEST)
def test_the_graphs_of_these_tests_are_the_policy(precise, precision):
    good, _ = precise
    # Without the backend, which refuses int8 that a CPU computes in fp32.
    assert largest_difference(StepFile(good.file(f'policy.{precision}.onnx')),
                              open_backend('onnx', good, 'fp32', 'cpu'), good) < LARGEST[precision]


def test_int8_for_tensorrt_is_none_on_a_cpu(precise):
    with pytest.raises(BackendError, match='asked for int8, but 6 of 6 products in fp32'):
        open_backend('onnx', precise[0], 'int8', 'cpu')


@pytest.mark.gpu
@needs_gpu
@pytest.mark.parametrize('precision', LARGEST)
def test_a_precision_is_what_it_says(precise, precision):
    good, _ = precise
    backend = open_backend('tensorrt', good, precision, 'cuda')
    assert f'products in {precision}' in backend.info.layers
    assert largest_difference(backend, open_backend('onnx', good, 'fp32', 'cpu'),
                              good) < LARGEST[precision]


@pytest.mark.gpu
@needs_gpu
@pytest.mark.parametrize('precision', LARGEST)
def test_a_precision_that_is_fp32_inside_is_refused(precise, precision):
    _, lie = precise
    with pytest.raises(BackendError, match=f'asked for {precision}, but'):
        open_backend('tensorrt', lie, precision, 'cuda')
