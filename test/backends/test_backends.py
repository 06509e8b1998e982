"""One contract for every backend that opens on this machine, on tiny real policies."""

import os
from pathlib import Path
import subprocess
import sys

import gaps
from machine import why_not
import numpy as np
import pytest
import tiny
from vla_nav_node import backends
from vla_nav_node.backends import BACKENDS, is_installed
from vla_nav_node.backends.options import BackendOptions
from vla_nav_node.bundle.bundle import write_bundle
from vla_nav_node.errors import BackendError, BundleError


REPOSITORY = Path(__file__).resolve().parents[2]
NO_TENSORRT = why_not('tensorrt')
# 'torch script' is the torch backend with torch_mode script: the same contract.
NAMES = [name for name in (*BACKENDS, 'torch script') if not why_not(name.split()[0])]
ALL = [*(name for name in NAMES if name != 'tensorrt'), pytest.param('tensorrt', marks=[
    pytest.mark.gpu, pytest.mark.skipif(bool(NO_TENSORRT), reason=NO_TENSORRT)])]
LIBRARIES = {'torch': 'eager', 'torch script': 'TorchScript', 'onnx': 'CPUExecutionProvider',
             'tensorrt': 'CUDA graph'}
POLICIES = [('LSTM', 1), ('LSTM', 2), ('GRU', 1), ('GRU', 2), ('RNN', 1), ('RNN', 2)]
CLOSE = 1e-5  # m/s


@pytest.fixture(name='tinies', scope='module')
def _tinies(tmp_path_factory):
    root = tmp_path_factory.mktemp('tinies')
    return {(kind, layers): tiny.write_tiny(root / f'{kind}{layers}', kind, layers)
            for kind, layers in POLICIES}


@pytest.fixture(name='bundle', params=POLICIES, ids=lambda policy: f'{policy[0]}{policy[1]}')
def _bundle(request, tinies):
    return tinies[request.param]


@pytest.fixture(name='lstm')
def _lstm(tinies):
    return tinies['LSTM', 1]


@pytest.fixture(name='name', params=ALL)
def _name(request):
    return request.param


@pytest.fixture(autouse=True, scope='module')
def _engines(tmp_path_factory):
    """Keep the engines of tests out of the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('XDG_CACHE_HOME', str(tmp_path_factory.mktemp('cache')))
        yield


def open_backend(name, *arguments, **named):
    """Open a backend, or one of torch's modes."""
    name, *mode = name.split()
    options = BackendOptions(torch_mode=mode[0]) if mode else BackendOptions()
    if name == 'tensorrt' and len(arguments) < 3:
        named = {'device': 'cuda', **named}  # auto wants a verdict
    return backends.open_backend(name, *arguments, **named, options=options)


def plainest(name):
    """Return the device of every machine that runs this backend."""
    return 'cuda' if name == 'tensorrt' else 'cpu'


def rollout(backend, pictures, state):
    """Run some steps; return the actions [N, 2] and the last state."""
    actions = []
    for image in pictures:
        action, state = backend.infer(image, state)
        actions.append(action[0])
    return np.array(actions), state


def reference(bundle, pictures):
    """Run the network in torch, without any backend."""
    import torch
    from vla_nav_node.backends.torch.network import load_network
    network = load_network(bundle.file('policy.safetensors'), bundle.architecture,
                           bundle.mean, bundle.std)
    state, actions = network.zero_state(), []
    with torch.inference_mode():
        for image in pictures:
            action, *state = network.step(torch.from_numpy(image), *state)
            actions.append(action[0].numpy())
    return np.array(actions)


def test_results_have_the_shapes_and_types_of_the_step(name, bundle):
    action, state = open_backend(name, bundle, device=plainest(name)).infer(
        tiny.images(1)[0], bundle.zero_state())
    assert (action.shape, action.dtype) == ((1, 2), np.float32)
    assert [part.shape for part in state] == list(bundle.state_shapes.values())
    assert {part.dtype for part in state} == {np.dtype(np.float32)}


def test_fifty_steps_agree_with_the_network_itself(name, bundle):
    pictures = tiny.images(50)
    actions, state = rollout(open_backend(name, bundle), pictures, bundle.zero_state())
    assert np.abs(actions - reference(bundle, pictures)).max() < CLOSE
    assert np.ptp(actions, axis=0).min() > 100 * CLOSE  # the image matters
    assert all(part.any() for part in state)


def test_the_same_steps_give_the_same_numbers(name, bundle):
    pictures = tiny.images(10)
    first, second = (rollout(open_backend(name, bundle), pictures, bundle.zero_state())[0]
                     for _ in range(2))
    assert np.array_equal(first, second)


def test_results_belong_to_the_caller_and_inputs_stay_as_they_were(name, lstm):
    backend, pictures, zero = open_backend(name, lstm), tiny.images(5), lstm.zero_state()
    action, state = backend.infer(pictures[0], zero)
    kept = [part.copy() for part in (action, *state)]
    rollout(backend, pictures[1:], state)
    backend.close()
    assert all(map(np.array_equal, kept, (action, *state)))
    assert not any(part.any() for part in zero)
    action += 1  # writable, too


def test_the_state_moves_from_one_backend_to_the_other_in_mid_rollout(bundle):
    pictures = tiny.images(40)
    opened = [open_backend(name, bundle) for name in NAMES]
    actions, state = [], bundle.zero_state()
    for index, image in enumerate(pictures):
        action, state = opened[index % len(opened)].infer(image, state)
        actions.append(action[0])
    assert np.abs(np.array(actions) - reference(bundle, pictures)).max() < CLOSE


@pytest.mark.parametrize('image, state', [
    (np.zeros((1, 24, 31, 3), np.uint8), None),
    (np.zeros((24, 32, 3), np.uint8), None),
    (np.zeros((1, 24, 32, 3), np.float32), None),
    (None, ()),
    (None, (np.zeros((1, 1, 8), np.float32),)),
    (None, (np.zeros((1, 1, 8), np.float64),) * 2),
    (None, (np.zeros((1, 1, 9), np.float32),) * 2)])
def test_a_wrong_input_is_refused_and_the_next_step_works(name, lstm, image, state):
    backend = open_backend(name, lstm)
    good_image, good_state = tiny.images(1)[0], lstm.zero_state()
    with pytest.raises(BackendError, match='expected'):
        backend.infer(good_image if image is None else image,
                      good_state if state is None else state)
    assert backend.infer(good_image, good_state)[0].shape == (1, 2)


def test_a_picture_that_is_a_view_is_read_right(name, lstm):
    backend, (image,) = open_backend(name, lstm), tiny.images(1)
    view = np.ascontiguousarray(image[..., ::-1])[..., ::-1]
    view.flags.writeable = False
    expected, _ = backend.infer(image, lstm.zero_state())
    assert np.array_equal(backend.infer(view, lstm.zero_state())[0], expected)


def test_info_is_what_the_library_says(name, lstm):
    info = open_backend(name, lstm, device=plainest(name)).info
    backend = name.split()[0]
    library = sys.modules[BACKENDS[backend].package]
    assert (info.name, info.library, info.version) == (
        backend, BACKENDS[backend].package, library.__version__)
    assert (info.device.split(' ')[0], info.precision) == (plainest(name), 'fp32')
    assert info.provider == LIBRARIES[name]


def test_closing_twice_is_fine_and_a_closed_backend_says_so(name, lstm):
    backend = open_backend(name, lstm)
    backend.close()
    backend.close()
    with pytest.raises(BackendError, match='closed'):
        backend.infer(tiny.images(1)[0], lstm.zero_state())


def gpu_opens(name):
    """Return whether a backend can use a GPU here, according to its library alone."""
    if name.startswith('torch'):
        import torch
        return torch.cuda.is_available()
    if name == 'tensorrt':
        return True  # or it would have been skipped
    import onnxruntime
    from vla_nav_node.backends.onnx.onnx_libraries import driver_for
    try:
        driver_for(onnxruntime, 'CUDAExecutionProvider')
    except BackendError:
        return False
    return True


def test_cuda_is_opened_for_real_or_refused_with_the_reason(name, lstm):
    if gpu_opens(name):
        backend = open_backend(name, lstm, device='cuda')
        assert backend.info.device.startswith('cuda')
        pictures = tiny.images(5)
        assert np.abs(rollout(backend, pictures, lstm.zero_state())[0]
                      - reference(lstm, pictures)).max() < CLOSE  # TF32 is off
        return
    with pytest.raises(BackendError, match='CPU only|without CUDA|no GPU|GPU:|driver|not find'):
        open_backend(name, lstm, device='cuda')
    assert open_backend(name, lstm, device='auto').info.device == 'cpu'


@pytest.mark.parametrize('request_, message', [
    (('keras',), r"'keras'.*torch, onnx, tensorrt"),
    (('onnx', 'fp64'), 'fp32, fp16, int8'),
    (('onnx', 'fp32', 'tpu'), 'auto, cpu, cuda'),
    (('torch', 'int8'), r'fp32, and fp16 on cuda'),
    (('torch', 'fp16', 'cpu'), r'fp32, and fp16 on cuda')])
def test_what_there_is_not_is_refused(lstm, request_, message):
    name, *rest = request_
    with pytest.raises(BackendError, match=message):
        open_backend(name, lstm, *rest)


def test_a_precision_without_a_graph_is_refused(lstm):
    with pytest.raises(BundleError, match=r'no policy\.int8\.onnx'):
        open_backend('onnx', lstm, 'int8')


def mixed(tmp_path, lstm, described, **files):
    sources = {'policy.safetensors': lstm.file('policy.safetensors'),
               'policy.fp32.onnx': lstm.file('policy.fp32.onnx')}
    return write_bundle(tmp_path / 'mixed', described, {**sources, **files})


def test_files_of_another_policy_are_refused(name, lstm, tmp_path):
    wrong = mixed(tmp_path, lstm, tiny.manifest('GRU'))
    with pytest.raises((BackendError, BundleError), match='does not fit'):
        open_backend(name, wrong)


def test_a_file_that_is_no_model_is_refused(name, lstm, tmp_path):
    (tmp_path / 'noise').write_bytes(bytes(range(256)) * 9)
    noise = {'policy.fp32.onnx': tmp_path / 'noise', 'policy.safetensors': tmp_path / 'noise'}
    with pytest.raises((BackendError, BundleError)):
        open_backend(name, mixed(tmp_path, lstm, tiny.manifest(), **noise))


def test_half_precision_layers_stay_near_full_ones(lstm):
    import torch
    from vla_nav_node.backends.torch.network import as_half, load_network
    network = as_half(load_network(lstm.file('policy.safetensors'), lstm.architecture,
                                   lstm.mean, lstm.std))
    pictures = tiny.images(3)
    state = [part.half() for part in network.zero_state()]
    with torch.inference_mode():
        for image, expected in zip(pictures, reference(lstm, pictures)):
            action, *state = network.step(torch.from_numpy(image), *state)
            assert action.dtype == torch.float16
            assert np.abs(action[0].float().numpy() - expected).max() < 1e-2


def test_layers_that_torch_does_not_have_are_refused(lstm, tmp_path):
    described = tiny.manifest()
    described['architecture']['encoder'][0]['alpha'] = 0.5  # of an ELU
    with pytest.raises(BackendError, match=r'cannot build tiny_lstm.*alpha'):
        open_backend('torch', mixed(tmp_path, lstm, described))


def measured_import(how):
    environment = {**os.environ, 'PYTHONPATH': str(REPOSITORY)}
    done = subprocess.run([sys.executable, gaps.__file__, how], env=environment, timeout=60,
                          check=True, capture_output=True, text=True)
    return float(done.stdout.split()[-1])


@pytest.mark.skipif(not is_installed('torch'), reason='torch is not installed')
def test_torch_is_imported_without_holding_up_another_thread():
    # The best of two each, for a busy machine; usual is 200 ms against 10 ms.
    background, plain = (min(measured_import(how) for _ in range(2))
                         for how in ('background', 'plain'))
    assert background < plain / 2


def test_the_quiet_moment_is_asked_for_and_settings_are_given_back():
    code = ('import gc, sys\n'
            'before = sys.getswitchinterval(), gc.get_threshold(), len(gc.callbacks)\n'
            'finders = list(sys.meta_path)\n'
            'from vla_nav_node.backends.background_import import import_in_background\n'
            'calls = []\n'
            'module = import_in_background("onnxruntime", lambda: calls.append(1))\n'
            'assert module is import_in_background("onnxruntime") is sys.modules["onnxruntime"]\n'
            'assert calls == [1]\n'
            'assert finders == sys.meta_path\n'
            'assert before == (sys.getswitchinterval(), gc.get_threshold(), len(gc.callbacks))\n')
    subprocess.run([sys.executable, '-c', code], env={**os.environ,
                   'PYTHONPATH': str(REPOSITORY)}, timeout=60, check=True)
