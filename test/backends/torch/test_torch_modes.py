"""Torch runs a step as requested, or refuses with the reason."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

torch = pytest.importorskip('torch')

import tiny  # noqa: E402, I100, they come after the check above
from vla_nav_node.backends import open_backend  # noqa: E402
from vla_nav_node.backends.options import BackendOptions  # noqa: E402
from vla_nav_node.backends.torch.torch_device import cuda_problem  # noqa: E402
from vla_nav_node.bundle.verdicts import verification_status  # noqa: E402
from vla_nav_node.errors import BackendError  # noqa: E402

CLOSE = 1e-5  # m/s
NO_GPU = str(cuda_problem(torch) or '')
GPU = [pytest.mark.gpu, pytest.mark.skipif(bool(NO_GPU), reason=NO_GPU)]
ON_GPU = {'auto': 'CUDA graph', 'eager': 'eager', 'cuda_graph': 'CUDA graph',
          'script': 'TorchScript, CUDA graph', 'compile': 'torch.compile, CUDA graph'}


@pytest.fixture(name='bundle', scope='module')
def _bundle(tmp_path_factory):
    return tiny.write_tiny(tmp_path_factory.mktemp('modes') / 'tiny', 'RNN')


@pytest.fixture(autouse=True, scope='module')
def _cache(tmp_path_factory):
    """Keep what tests compile out of the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('XDG_CACHE_HOME', str(tmp_path_factory.mktemp('cache')))
        patch.setenv('TORCHINDUCTOR_CACHE_DIR', '')  # so that it is put back afterwards
        patch.delenv('TORCHINDUCTOR_CACHE_DIR')
        patch.setenv('TORCHINDUCTOR_VEC_ISA_OK', '0')  # plain code is compiled in half the time
        yield


def opened(bundle, mode, precision='fp32', device='cpu'):
    """Open torch in a mode."""
    return open_backend('torch', bundle, precision, device,
                        options=BackendOptions(torch_mode=mode))


def rollout(backend, bundle, count=20):
    """Run some steps; return the actions [N, 2] and the last state."""
    state, actions = bundle.zero_state(), []
    for image in tiny.images(count):
        action, state = backend.infer(image, state)
        actions.append(action[0])
    return np.array(actions), state


@pytest.mark.parametrize('mode, provider', [
    ('auto', 'eager'), ('eager', 'eager'), ('script', 'TorchScript')])
def test_info_tells_how_it_runs_and_how_far_off_it_is(bundle, mode, provider):
    info = opened(bundle, mode).info
    assert info.provider == provider
    assert info.layers.startswith('6 of 6 products in fp32; ')
    assert ('off torch eager in 5 steps' in info.layers) == (provider != 'eager')
    assert verification_status(bundle, info) == (
        ('the reference', '') if provider == 'eager' else
        ('the reference by TorchScript, compared with torch eager when it was opened', ''))


@pytest.mark.parametrize('device', ['cpu', 'auto'])
def test_a_cuda_graph_needs_a_gpu(bundle, device):
    if device == 'auto' and not NO_GPU:
        assert opened(bundle, 'cuda_graph', device=device).info.provider == 'CUDA graph'
        return
    with pytest.raises(BackendError) as error:
        opened(bundle, 'cuda_graph', device=device)
    expected = NO_GPU if device == 'auto' else 'torch_mode cuda_graph on device cpu; expected a'
    assert str(error.value).startswith(expected)


def test_without_a_compiler_there_is_no_compile_and_the_reason_is_told(bundle, monkeypatch):
    monkeypatch.setenv('CXX', '/nonexistent/g++')
    with pytest.raises(BackendError, match='needs a C.. compiler on the CPU: there is no '
                       '/nonexistent/g...*torch_mode to script'):
        opened(bundle, 'compile')


def test_code_is_compiled_nowhere_that_others_can_write(bundle, tmp_path, monkeypatch):
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    directory = tmp_path / 'vla_nav_node' / 'torch'
    directory.mkdir(parents=True)
    directory.chmod(0o777)
    with pytest.raises(BackendError, match='written by others.*chmod 700'):
        opened(bundle, 'compile')


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_compiled_it_does_what_the_network_does(bundle):
    """In one test, as the C++ compiler is slow; the second opening finds its cached code."""
    try:
        first, second = opened(bundle, 'compile'), opened(bundle, 'compile')
    except BackendError as error:
        if 'needs a C++ compiler' not in str(error) and 'Python.h' not in str(error):
            raise
        pytest.skip(str(error))
    assert first.info.provider == 'torch.compile' and 'off torch eager' in first.info.layers
    expected, last = rollout(opened(bundle, 'eager'), bundle)
    for backend in (first, second):
        actions, state = rollout(backend, bundle)
        assert np.abs(actions - expected).max() < CLOSE
        assert all(np.allclose(one, other, atol=CLOSE) for one, other in zip(state, last))
    action, _ = first.infer(tiny.images(1)[0], bundle.zero_state())
    kept = action.copy()
    first.infer(tiny.images(2)[1], bundle.zero_state())
    assert np.array_equal(action, kept)
    with torch.compiler.set_stance('fail_on_recompile'), ThreadPoolExecutor(1) as driving:
        driving.submit(rollout, first, bundle).result()  # a thread that has not seen torch yet
    first.close()
    with pytest.raises(BackendError, match='closed'):
        first.infer(tiny.images(1)[0], bundle.zero_state())
    assert second.infer(tiny.images(1)[0], bundle.zero_state())[0].shape == (1, 2)


@pytest.mark.parametrize('precision, off', [
    pytest.param('fp32', CLOSE, marks=GPU), pytest.param('fp16', 5e-3, marks=GPU)])
@pytest.mark.parametrize('mode', ON_GPU)
def test_every_mode_on_a_gpu(bundle, mode, precision, off):
    backend = opened(bundle, mode, precision, 'cuda')
    assert backend.info.provider == ON_GPU[mode]
    assert backend.info.layers.startswith(f'6 of 6 products in {precision}')
    expected, last = rollout(opened(bundle, 'eager'), bundle)
    actions, state = rollout(backend, bundle)
    assert np.abs(actions - expected).max() < off
    backend.close()
    assert all(np.allclose(one, other, atol=off) for one, other in zip(state, last))


@pytest.mark.parametrize('mode', [pytest.param('cuda_graph', marks=GPU)])
def test_two_backends_on_a_gpu_drive_in_turns(bundle, mode):
    first, second = (opened(bundle, mode, device='cuda') for _ in range(2))
    expected, _ = rollout(opened(bundle, 'eager'), bundle)
    state, actions = bundle.zero_state(), []
    for number, image in enumerate(tiny.images(20)):
        action, state = (first, second)[number % 2].infer(image, state)
        actions.append(action[0])
    assert np.abs(np.array(actions) - expected).max() < CLOSE
