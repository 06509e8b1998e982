"""ONNX Runtime on fixed buffers: the code of a GPU, on the CPU's provider and host memory."""

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
from vla_nav_node.backends.cuda.cuda_errors import CudaError
from vla_nav_node.backends.cuda.cuda_memory import CudaMemory
from vla_nav_node.backends.device_step import DeviceState, DeviceStep
from vla_nav_node.backends.onnx import onnx_cuda
from vla_nav_node.backends.onnx.onnx_memory import RUNS, SessionMemory, WARM_UPS
from vla_nav_node.backends.onnx.onnx_session import CPU, CUDA, open_session
from vla_nav_node.errors import BackendError

OTHER = 'AzureExecutionProvider'


def open_step(bundle, wait_for_idle=None, providers=(CPU,)):
    """Open a step as on a GPU, in host memory; return it, its memory and its placement."""
    memory = HostMemory()
    step, placement = onnx_cuda.open_step(
        onnxruntime, bundle, bundle.file('policy.fp32.onnx'), memory, 'cpu', list(providers),
        wait_for_idle)
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
    assert calls == [WARM_UPS]


def test_all_runs_are_one_threads_whoever_drives(bundle, tmp_path):
    """ONNX Runtime's CUDA graph belongs to a thread; its profile has each node's thread."""
    memory = SessionMemory(onnxruntime, HostMemory(), 'cpu', lambda: open_session(
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
    memory = SessionMemory(onnxruntime, HostMemory(), 'cpu', lambda: open_session(
        onnxruntime, bundle.file('policy.fp32.onnx'), CPU))
    session, memory._lost = weakref.ref(memory.session), lost
    memory.close()
    gc.collect()
    assert (session() is not None) == lost


class LostDriver:
    """A driver as it is after error 700: every call fails."""

    device = 0

    def __init__(self):
        """Work until then."""
        self.lost, self.asked = False, []

    def call(self, name, *arguments):
        """Raise once the GPU is lost."""
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
    memory = SessionMemory(onnxruntime, HostMemory(), 'cpu', lambda: open_session(
        onnxruntime, bundle.file('policy.fp32.onnx'), CPU))
    step = DeviceStep(memory, bundle.input.shape, bundle.state_shapes, memory.bind)
    memory._providers = [CUDA]
    with pytest.raises(BackendError, match=f'moved to {CPU} in mid-drive; expected {CUDA}'):
        step.infer(tiny.images(1)[0], bundle.zero_state())
