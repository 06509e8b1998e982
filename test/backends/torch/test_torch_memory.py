"""The state on a device of torch: on the CPU, which is a device to it like any other."""

import gc
import weakref

from hypothesis import given, settings, strategies as st
import numpy as np
import pytest

torch = pytest.importorskip('torch')

import tiny  # noqa: E402, I100, they come after the check above
from vla_nav_node.backends.device_step import SLOTS  # noqa: E402
from vla_nav_node.backends.torch.network import as_half, load_network, StepGraph  # noqa: E402
from vla_nav_node.backends.torch.torch_device import (  # noqa: E402
    explain_errors, use_full_precision)
from vla_nav_node.backends.torch.torch_memory import TorchMemory  # noqa: E402
from vla_nav_node.backends.torch.torch_step import (  # noqa: E402
    check_parity, device_step, HostStep)
from vla_nav_node.errors import BackendError  # noqa: E402

CPU = torch.device('cpu')


def network(bundle):
    """Build a bundle's network."""
    return load_network(bundle.file('policy.safetensors'), bundle.architecture, bundle.mean,
                        bundle.std)


def on_device(bundle, step):
    """Return a step on buffers of torch."""
    return device_step(torch, TorchMemory(torch, CPU), step, bundle)


def eager(bundle):
    """Return the step in host arrays."""
    return HostStep(torch, CPU, network(bundle).step, bundle)


def same(states, others):
    """Return whether two states hold the same numbers."""
    return all(map(np.array_equal, states, others))


def test_a_step_on_the_device_is_the_step_in_host_arrays(bundle):
    ours, theirs = on_device(bundle, network(bundle).step), eager(bundle)
    state, expected = bundle.zero_state(), bundle.zero_state()
    for image in tiny.images(20):
        action, state = ours.infer(image, state)
        wanted, expected = theirs.infer(image, expected)
        assert np.array_equal(action, wanted)
        assert ours.owns(state) and not theirs.owns(expected)
    assert same(state, expected)
    assert ours.mode == 'eager'


def test_states_live_on_beside_one_another_and_after_the_step(bundle):
    ours, theirs = on_device(bundle, network(bundle).step), eager(bundle)
    kept, expected = [bundle.zero_state()], [bundle.zero_state()]
    for image in tiny.images(2 * SLOTS):
        kept.append(ours.infer(image, kept[-1])[1])
        expected.append(theirs.infer(image, expected[-1])[1])
    image, = tiny.images(1)
    assert np.array_equal(ours.infer(image, kept[3])[0], theirs.infer(image, expected[3])[0])
    ours.close()
    gc.collect()
    assert all(map(same, kept, expected))
    with pytest.raises(BackendError, match='closed'):
        ours.infer(image, kept[3])


def test_in_half_precision_the_state_and_the_gates_stay_float32(bundle):
    graph = StepGraph(as_half(network(bundle)))
    half, theirs = on_device(bundle, graph), eager(bundle)
    off = check_parity(half, theirs, bundle, 'fp16', 'half')
    assert 1e-6 < off < 5e-3  # it is not the same
    with torch.inference_mode():
        results = graph(torch.from_numpy(tiny.images(1)[0]),
                        *map(torch.from_numpy, bundle.zero_state()))
    assert {result.dtype for result in results} == {torch.float32}
    assert {weight.dtype for weight in graph.parameters()} == {torch.float16}


def test_what_computes_something_else_does_not_drive(bundle, tmp_path):
    other = tiny.write_tiny(tmp_path / 'other', type(network(bundle).rnn).__name__, 2, seed=1)
    with pytest.raises(BackendError, match='^other differs from torch eager by .* torch_mode'):
        check_parity(eager(other), eager(bundle), bundle, 'fp32', 'other')
    assert check_parity(eager(bundle), eager(bundle), bundle, 'fp32', 'it') == 0.0


def test_what_is_no_number_does_not_drive(bundle):
    broken = network(bundle)
    torch.nn.init.constant_(broken.actions[-1].bias, float('nan'))
    with pytest.raises(BackendError, match='differs from torch eager by nan'):
        check_parity(HostStep(torch, CPU, broken.step, bundle), eager(bundle), bundle, 'fp32', 'x')


class Recording(TorchMemory):
    """Memory whose recorded work holds no tensor, as with a CUDA graph."""

    def record(self, work):
        """Run `work`, and return nothing that holds it."""
        work()
        return lambda: None


def test_weights_live_as_long_as_what_was_recorded_with_them(bundle):
    ours = network(bundle)
    alive = weakref.ref(ours)
    step = device_step(torch, Recording(torch, CPU), ours.step, bundle)
    del ours
    gc.collect()
    assert alive() is not None
    step.close()
    gc.collect()
    assert alive() is None


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(0, 15),
                          st.integers(1, 16)), max_size=20))
def test_any_part_of_any_block_can_be_copied(moves):
    """Against NumPy: two blocks of the host's side and two of the device's."""
    memory, generator = TorchMemory(torch, CPU), np.random.default_rng(0)
    hosts = [memory.host(32), memory.host(32)]
    devices = [memory.device(32), memory.device(32)]
    expected = [generator.integers(0, 256, 32, np.uint8) for _ in range(4)]
    for number in range(2):
        hosts[number][:] = expected[number + 2]
        memory.upload(devices[number], hosts[number])
        hosts[number][:] = expected[number]
    for source, target, start, size in moves:
        part = slice(start, start + size)
        expected[target][part] = expected[source][part].copy()
        if source < 2 <= target:
            memory.upload(devices[target - 2] + start, hosts[source][part])
        elif target < 2 <= source:
            memory.download(hosts[target][part], devices[source - 2] + start)
        elif source >= 2:
            memory.copy(devices[target - 2] + start, devices[source - 2] + start, size)
        else:
            hosts[target][part] = hosts[source][part].copy()
    for number in range(2):
        assert np.array_equal(hosts[number], expected[number])
        memory.download(hosts[number], devices[number])
        assert np.array_equal(hosts[number], expected[number + 2])


def test_a_tensor_is_the_memory_itself():
    memory = TorchMemory(torch, CPU)
    address, host = memory.device(64), memory.host(16)
    tensor = memory.tensor(address + 16, (1, 4), torch.float32)
    tensor.copy_(torch.tensor([[1.0, 2.0, 3.0, 4.0]]))
    memory.download(host, address + 16)
    assert host.view(np.float32).tolist() == [1.0, 2.0, 3.0, 4.0]


@pytest.mark.parametrize('error, message', [
    (torch.OutOfMemoryError('CUDA out of memory. Tried to allocate 2.00 GiB.\nMore.'),
     "the GPU's memory is full .*2.00 GiB.*nvidia-smi"),
    (RuntimeError('mat1 and mat2 shapes cannot be multiplied\nMore.'),
     '^torch failed: mat1 and mat2 shapes cannot be multiplied$')])
def test_errors_of_torch_are_told(error, message):
    def fail():
        raise error
    with pytest.raises(BackendError, match=message):
        explain_errors(fail)()


@pytest.mark.parametrize('code, message', [
    (209, 'not among those that the library was built for'), (700, 'CUDA failed .*illegal')])
def test_a_code_of_cuda_is_told(code, message):
    error = torch.AcceleratorError('CUDA error: an illegal memory access was encountered')
    error.error_code = code

    def fail():
        raise error
    with pytest.raises(BackendError, match=message) as error_info:
        explain_errors(fail)()
    assert error_info.value.code == code


def test_float32_is_float32():
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    try:
        use_full_precision(torch)
        assert not torch.backends.cuda.matmul.allow_tf32
        assert not torch.backends.cudnn.allow_tf32
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before
