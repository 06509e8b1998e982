"""ONNX Runtime on a GPU: its options and refusals, and with a GPU its steps."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import onnxruntime
import pytest
import tiny
from vla_nav_node.backends import open_backend
from vla_nav_node.backends.cuda.cuda_errors import CudaError
from vla_nav_node.backends.onnx import onnx_cuda
from vla_nav_node.backends.onnx.onnx_libraries import driver_for
from vla_nav_node.backends.onnx.onnx_session import CPU, CUDA, explained, TENSORRT
from vla_nav_node.backends.options import BackendOptions
from vla_nav_node.backends.tensorrt.engine_cache import cache_directory
from vla_nav_node.errors import BackendError


def why_no_gpu(provider=CUDA):
    """Return why ONNX Runtime cannot use a GPU here, '' if it can."""
    try:
        driver_for(onnxruntime, provider)
    except BackendError as error:
        return str(error)
    return ''


NO_GPU, NO_TENSORRT = why_no_gpu(), why_no_gpu(TENSORRT)
needs_gpu = pytest.mark.skipif(bool(NO_GPU), reason=NO_GPU)
needs_tensorrt = pytest.mark.skipif(bool(NO_TENSORRT), reason=NO_TENSORRT)


@pytest.mark.parametrize('asked, found, opened', [
    ({'onnx_provider': 'cpu', 'device': 'cuda'}, 'onnx_provider cpu on device cuda', ''),
    ({'onnx_provider': 'cuda', 'device': 'cpu'}, 'onnx_provider cuda on device cpu', ''),
    ({'onnx_provider': 'tensorrt', 'device': 'cpu'}, 'onnx_provider tensorrt on device cpu', ''),
    ({'onnx_provider': 'cpu', 'device': 'auto'}, '', CPU),
    ({'onnx_provider': 'cpu', 'device': 'cpu'}, '', CPU),
    ({'onnx_provider': 'auto', 'device': 'cpu'}, '', CPU)])
def test_provider_and_device_have_to_agree(bundle, asked, found, opened):
    options = BackendOptions(onnx_provider=asked['onnx_provider'])
    if found:
        with pytest.raises(BackendError, match=found):
            open_backend('onnx', bundle, device=asked['device'], options=options)
    else:
        backend = open_backend('onnx', bundle, device=asked['device'], options=options)
        assert backend.info.provider == opened


@pytest.mark.skipif(not NO_GPU, reason='ONNX Runtime can use a GPU here')
@pytest.mark.parametrize('provider', ['cuda', 'tensorrt'])
def test_without_a_gpu_each_provider_is_refused_with_the_reason(bundle, provider, monkeypatch):
    monkeypatch.setenv(onnx_cuda.NO_TF32, '0')
    with pytest.raises(BackendError) as refused:
        open_backend('onnx', bundle, options=BackendOptions(onnx_provider=provider))
    assert refused.value.fix and any(word in refused.value.found for word in (
        'driver', 'built without', 'does not find', 'GPU'))


def test_the_options_reach_the_providers():
    options = BackendOptions(gpu_mem_limit_mb=2, cudnn_conv_use_max_workspace=False,
                             cudnn_conv_algo_search='EXHAUSTIVE',
                             arena_extend_strategy='kNextPowerOfTwo')
    (name, found), = onnx_cuda.providers_for('fp32', options, 77, None)
    assert name == CUDA and all(isinstance(value, str) for value in found.values())
    assert {'gpu_mem_limit': '2000000', 'cudnn_conv_use_max_workspace': '0',
            'cudnn_conv_algo_search': 'EXHAUSTIVE', 'arena_extend_strategy': 'kNextPowerOfTwo',
            'user_compute_stream': '77', 'enable_cuda_graph': '1', 'use_tf32': '0',
            'do_copy_in_default_stream': '1'}.items() <= found.items()
    assert 'gpu_mem_limit' not in onnx_cuda.cuda_options(BackendOptions(), 77, True)


def test_tensorrt_goes_first_and_gets_fp16_only_for_an_fp16_graph(tmp_path):
    for precision, flag in (('fp32', '0'), ('fp16', '1')):
        first, second = onnx_cuda.providers_for(precision, BackendOptions(), 77, tmp_path)
        assert (first[0], second[0]) == (TENSORRT, CUDA)
        assert first[1]['trt_fp16_enable'] == flag
        assert first[1]['trt_engine_cache_path'] == str(tmp_path)
        assert second[1]['enable_cuda_graph'] == '0'


def test_engines_of_other_weights_versions_and_precisions_lie_apart(tmp_path, monkeypatch):
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    keys = [('a', 'fp32'), ('b', 'fp32'), ('a', 'fp16')]
    found = [onnx_cuda.engine_directory(onnxruntime, *key) for key in keys]
    monkeypatch.setenv(onnx_cuda.NO_TF32, '0')
    found.append(onnx_cuda.engine_directory(onnxruntime, *keys[0]))
    assert len(set(found)) == 4 and {path.parent for path in found} == {cache_directory()}
    found[-1].chmod(0o777)
    with pytest.raises(BackendError, match='can be written by others'):
        onnx_cuda.engine_directory(onnxruntime, *keys[0])


def test_fp32_by_tensorrts_provider_is_refused_unless_tf32_is_off(bundle, monkeypatch):
    monkeypatch.delenv(onnx_cuda.NO_TF32, raising=False)
    with pytest.raises(BackendError, match=r'TF32 \(10 bits\).*NVIDIA_TF32_OVERRIDE=0'):
        open_backend('onnx', bundle, options=BackendOptions(onnx_provider='tensorrt'))


def test_tensorrts_provider_beside_a_driving_one_needs_a_runtime_that_gives_the_lock_up(
        monkeypatch):
    monkeypatch.setenv(onnx_cuda.NO_TF32, '0')
    for version, precision in (('1.30.0', 'fp16'), ('1.9.1', 'fp32')):
        monkeypatch.setattr(onnxruntime, '__version__', version)
        with pytest.raises(BackendError, match="would stop the robot.*Python's lock"):
            onnx_cuda._check_tensorrt(onnxruntime, precision, lambda: None)
        onnx_cuda._check_tensorrt(onnxruntime, precision, None)
    monkeypatch.setattr(onnxruntime, '__version__', '1.31.1')
    onnx_cuda._check_tensorrt(onnxruntime, 'fp16', lambda: None)


def test_what_cannot_be_captured_is_opened_without_a_graph_and_says_so(caplog):
    asked = []

    def opened(graph, code=900):
        asked.append(graph)
        if graph:
            raise explained(RuntimeError(f'CUDA failure {code}: operation not permitted'))
        return 'opened'

    step, problem = onnx_cuda.with_cuda_graph_if_possible(opened)
    assert (step, asked) == ('opened', [True, False])
    assert 'since none could be made' in problem and '900' in problem and '900' in caplog.text
    with pytest.raises(CudaError, match='700'):
        onnx_cuda.with_cuda_graph_if_possible(lambda graph: opened(graph, 700))
    assert onnx_cuda.with_cuda_graph_if_possible(lambda graph: graph) == (True, '')


def test_a_code_of_cuda_in_a_failure_is_explained():
    error = explained(RuntimeError('CUDA failure 2: out of memory ; GPU=0 ; hostname=x'))
    assert "GPU's memory is full" in error.found
    assert explained(RuntimeError('bad\nnode')).found == 'ONNX Runtime failed: bad'


@pytest.mark.gpu
@needs_gpu
def test_on_a_gpu_it_is_one_cuda_graph_on_cuda_alone(bundle, reference):
    backend = open_backend('onnx', bundle, device='cuda')
    assert backend.info.provider == f'{CUDA}, CUDA graph'
    assert 'products in fp32' in backend.info.layers
    tiny.check_a_long_drive(bundle, backend, reference)


@pytest.mark.gpu
@needs_gpu
def test_two_can_be_open_on_a_gpu_and_another_thread_can_drive(bundle):
    first, second = (open_backend('onnx', bundle, device='cuda') for _ in range(2))
    image, = tiny.images(1)
    action, state = first.infer(image, bundle.zero_state())
    with ThreadPoolExecutor(1) as driver:
        again, _ = driver.submit(second.infer, image, bundle.zero_state()).result()
    assert np.array_equal(action, again)
    first.close()
    assert np.isfinite(second.infer(image, state)[0]).all()
    second.close()


@pytest.mark.gpu
@needs_tensorrt
def test_tensorrts_provider_takes_the_graph_and_keeps_its_engine(bundle, tmp_path, monkeypatch,
                                                                 reference):
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    monkeypatch.setenv(onnx_cuda.NO_TF32, '0')
    options = BackendOptions(onnx_provider='tensorrt')
    backend = open_backend('onnx', bundle, options=options)
    assert backend.info.provider.startswith(TENSORRT)
    assert 'fused parts of unknown types' in backend.info.layers
    image, = tiny.images(1)
    action, _ = backend.infer(image, bundle.zero_state())
    assert np.abs(action - reference.infer(image, bundle.zero_state())[0]).max() < 1e-4
    assert list(cache_directory().rglob('*.engine'))
    backend.close()
