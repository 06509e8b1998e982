"""ONNX Runtime on fixed buffers: what runs on a GPU, by the CPU's provider where there is none."""

from concurrent.futures import ThreadPoolExecutor
import gc
import json
from pathlib import Path
import threading
import weakref

from host_memory import HostMemory
import numpy as np
import onnxruntime
import pytest
import tiny
from vla_nav_node.backends import onnx_cuda, open_backend
from vla_nav_node.backends.cuda_memory import CudaMemory
from vla_nav_node.backends.device_step import DeviceState, DeviceStep
from vla_nav_node.backends.engine_cache import cache_directory
from vla_nav_node.backends.gpu_problem import CudaError
from vla_nav_node.backends.onnx_memory import CAPTURE, RUNS, SessionMemory
from vla_nav_node.backends.onnx_missing import driver_for
from vla_nav_node.backends.onnx_session import (
    CPU, CUDA, open_session, problem_of_run, TENSORRT)
from vla_nav_node.backends.options import BackendOptions
from vla_nav_node.errors import BackendError

OTHER = 'AzureExecutionProvider'


def why_no_gpu(provider=CUDA):
    """Give why ONNX Runtime cannot use a GPU here, '' if it can."""
    try:
        driver_for(onnxruntime, provider)
    except BackendError as error:
        return str(error)
    return ''


NO_GPU, NO_TENSORRT = why_no_gpu(), why_no_gpu(TENSORRT)
needs_gpu = pytest.mark.skipif(bool(NO_GPU), reason=NO_GPU)
needs_tensorrt = pytest.mark.skipif(bool(NO_TENSORRT), reason=NO_TENSORRT)


@pytest.fixture(name='bundle', scope='module', params=['LSTM', 'GRU'])
def _bundle(request, tmp_path_factory):
    return tiny.write_tiny(tmp_path_factory.mktemp('onnx') / 'tiny', request.param, layers=2)


@pytest.fixture(name='reference', scope='module')
def _reference(bundle):
    return open_backend('onnx', bundle, device='cpu')


def open_step(bundle, quiet=None, providers=(CPU,)):
    """Open a step as on a GPU, in host memory; give it, its memory and its placement."""
    memory = HostMemory()
    step, placement = onnx_cuda.open_step(
        onnxruntime, bundle, bundle.file('policy.fp32.onnx'), memory, 'cpu', list(providers),
        quiet)
    return step, memory, placement


def test_it_does_what_the_backend_with_host_arrays_does(bundle, reference):
    step, memory, _ = open_step(bundle)
    state, expected = bundle.zero_state(), bundle.zero_state()
    ups, downs = memory.uploads, memory.downloads
    for image in tiny.images(30):
        action, state = step.infer(image, state)
        wanted, expected = reference.infer(image, expected)
        assert np.array_equal(action, wanted) and isinstance(state, DeviceState)
    assert (memory.uploads - ups, memory.downloads - downs) == (31, 30)  # no state came down
    assert all(map(np.array_equal, state, expected))
    step.close()
    assert memory.closed


def test_the_proof_sees_every_run_and_no_cuda_graph_where_there_is_none(bundle):
    _, _, placement = open_step(bundle)
    assert placement.runs == RUNS  # a graph's replays would be missing
    assert {node.provider for node in placement.nodes} == {CPU}


def test_the_quiet_moment_is_asked_for_right_before_the_capture(bundle):
    calls, ran = [], []

    class Counting(HostMemory):

        def wait(self):
            ran.append(1)

    memory = Counting()
    onnx_cuda.open_step(onnxruntime, bundle, bundle.file('policy.fp32.onnx'), memory, 'cpu',
                        [CPU], lambda: calls.append(len(ran)))
    assert calls == [CAPTURE]


def test_all_runs_are_one_threads_whoever_drives(bundle, tmp_path):
    """ONNX Runtime's CUDA graph is its thread's; its profile tells who ran a node."""
    memory = SessionMemory(HostMemory(), 'cpu', lambda: open_session(
        onnxruntime, bundle.file('policy.fp32.onnx'), CPU, profile=tmp_path / 'p'))
    step = DeviceStep(memory, bundle.input.shape, bundle.state_shapes, memory.bind)
    state = bundle.zero_state()
    for image in tiny.images(6):
        with ThreadPoolExecutor(1) as driver:
            _, state = driver.submit(step.infer, image, state).result()
    path = Path(memory.session.end_profiling())
    nodes = [event for event in json.loads(path.read_text()) if event['cat'] == 'Node']
    assert len(nodes) >= 6 and len({event['tid'] for event in nodes}) == 1


def test_the_thread_ends_with_the_step(bundle):
    before = set(threading.enumerate())
    step, _, _ = open_step(bundle)
    own = set(threading.enumerate()) - before
    assert [thread.name for thread in own] == ['onnxruntime_0']
    step.close()
    assert not any(thread.is_alive() for thread in own)


@pytest.mark.parametrize('lost', [False, True])
def test_the_session_of_a_lost_gpu_is_left_alone_for_its_destructor_ends_the_process(bundle, lost):
    memory = SessionMemory(HostMemory(), 'cpu', lambda: open_session(
        onnxruntime, bundle.file('policy.fp32.onnx'), CPU))
    session, memory._lost = weakref.ref(memory.session), lost
    memory.close()
    gc.collect()
    assert (session() is not None) == lost


class LostDriver:
    """A driver as it is after error 700: whatever it is asked, it fails."""

    device = 0

    def __init__(self):
        """Work until then."""
        self.lost, self.asked = False, []

    def call(self, name, *arguments):
        """Fail, once the GPU is lost."""
        self.asked.append(name)
        if self.lost:
            raise CudaError(f'{name}: CUDA_ERROR_ILLEGAL_ADDRESS (700)')


def test_a_lost_gpu_keeps_nobody_from_closing(caplog):
    driver = LostDriver()
    memory = CudaMemory(driver)
    memory.device(8)
    driver.lost = True
    driver.asked.clear()
    memory.close()
    assert driver.asked == ['cuMemFree_v2', 'cuStreamDestroy_v2', 'cuDevicePrimaryCtxRelease_v2']
    assert 'could not be released: cuMemFree_v2' in caplog.text


@pytest.mark.skipif(OTHER not in onnxruntime.get_available_providers(),
                    reason=f'this onnxruntime is built without {OTHER}')
def test_what_would_fall_back_is_refused_and_leaves_nothing_open(bundle):
    memory = HostMemory()
    with pytest.raises(BackendError, match=rf'not all of the graph.*\(\w+\) on {CPU}'):
        onnx_cuda.open_step(onnxruntime, bundle, bundle.file('policy.fp32.onnx'), memory, 'cpu',
                            [OTHER])
    assert memory.closed


def test_a_graph_of_another_policy_is_refused_and_leaves_nothing_open(bundle, tmp_path):
    other = tiny.write_tiny(tmp_path / 'other', 'RNN')
    memory = HostMemory()
    with pytest.raises(BackendError, match='does not fit'):
        onnx_cuda.open_step(onnxruntime, bundle, other.file('policy.fp32.onnx'), memory, 'cpu',
                            [CPU])
    assert memory.closed


def test_a_session_that_moves_in_mid_drive_is_found_out(bundle):
    memory = SessionMemory(HostMemory(), 'cpu', lambda: open_session(
        onnxruntime, bundle.file('policy.fp32.onnx'), CPU))
    step = DeviceStep(memory, bundle.input.shape, bundle.state_shapes, memory.bind)
    memory._providers = [CUDA]
    with pytest.raises(BackendError, match=f'moved to {CPU} in mid-drive; expected {CUDA}'):
        step.infer(tiny.images(1)[0], bundle.zero_state())


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


def test_a_code_of_cuda_in_a_failure_is_explained():
    error = problem_of_run(RuntimeError('CUDA failure 2: out of memory ; GPU=0 ; hostname=x'))
    assert "GPU's memory is full" in error.found
    assert problem_of_run(RuntimeError('bad\nnode')).found == 'ONNX Runtime failed: bad'


@pytest.mark.gpu
@needs_gpu
def test_on_a_gpu_it_is_one_cuda_graph_on_cuda_alone(bundle, reference):
    backend = open_backend('onnx', bundle, device='cuda')
    assert backend.info.provider == f'{CUDA}, CUDA graph'
    assert 'products in fp32' in backend.info.layers
    state, expected, worst = bundle.zero_state(), bundle.zero_state(), 0.0
    pictures = tiny.images(50)
    for number in range(1000):
        action, state = backend.infer(pictures[number % 50], state)
        wanted, expected = reference.infer(pictures[number % 50], expected)
        worst = max(worst, float(np.abs(action - wanted).max()))
    assert worst < 1e-4
    backend.close()
    assert all(np.allclose(part, other, atol=1e-4) for part, other in zip(state, expected))


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
    assert 'fused parts that do not tell' in backend.info.layers
    image, = tiny.images(1)
    action, _ = backend.infer(image, bundle.zero_state())
    assert np.abs(action - reference.infer(image, bundle.zero_state())[0]).max() < 1e-4
    assert list(cache_directory().rglob('*.engine'))
    backend.close()
