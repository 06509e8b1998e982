"""PyTorch: runs policy.safetensors as it was trained, on the CPU or a CUDA GPU."""

import os
from pathlib import Path
from typing import Any, Callable, Optional, Tuple

import numpy as np

from .gentle_import import import_gently
from .options import BackendOptions, DEFAULTS
from .steps import StepShapes
from ..bundle import Bundle, WEIGHTS
from ..errors import BackendError, first_line
from ..interfaces import BackendInfo, State

# Of the whole process, as torch has it. A network of 3.3 MB on two busy cores, p50 / p99 in ms:
# one thread 1.0 / 6, two 1.2 / 128, because each layer waits until both have a core.
MOST_THREADS = 1


class TorchBackend:
    """The network itself, one step at a time in inference mode."""

    def __init__(self, bundle: Bundle, precision: str = 'fp32', device: str = 'auto',
                 quiet: Optional[Callable[[], None]] = None,
                 options: BackendOptions = DEFAULTS) -> None:
        """Build the network from the bundle's weights, on the device that was asked for."""
        weights = bundle.file(WEIGHTS)
        _check_precision(precision, device)
        torch: Any = import_gently('torch', quiet)
        self._torch, self._device = torch, _choose(torch, precision, device)
        torch.set_num_threads(min(torch.get_num_threads(), MOST_THREADS))
        self._network: Any = _network(bundle, weights, precision).to(self._device)
        self._shapes = StepShapes(bundle)
        self._buffers = self._allocate(torch.float16 if precision == 'fp16' else torch.float32)
        self.info = BackendInfo('torch', 'torch', torch.__version__, self._device_name(),
                                'eager', precision)

    def infer(self, image: np.ndarray, state: State) -> Tuple[np.ndarray, State]:
        """Run one step: see interfaces.Backend."""
        if self._network is None:
            raise BackendError('the torch backend is closed')
        self._shapes.check(image, state)
        try:
            with self._torch.inference_mode():
                results = self._network.step(*map(self._load, self._buffers, (image, *state)))
                # To the host and into arrays of their own; waits for the device.
                action, *after = (result.float().cpu().numpy().copy() for result in results)
        except RuntimeError as error:
            raise BackendError(f'torch failed: {first_line(error)}') from error
        return action, tuple(after)

    def close(self) -> None:
        """Release the network and its buffers."""
        self._network, self._buffers = None, []

    def _allocate(self, number: Any) -> Any:
        """Give (host tensor, the same memory for NumPy, dtype on the device) for each input."""
        pinned = self._device.type == 'cuda'
        hosts = [self._torch.empty(self._shapes.image, dtype=self._torch.uint8, pin_memory=pinned)]
        hosts += [self._torch.empty(shape, pin_memory=pinned) for shape in self._shapes.state]
        dtypes = [self._torch.uint8] + [number] * len(self._shapes.state)
        return [(host, host.numpy(), dtype) for host, dtype in zip(hosts, dtypes)]

    def _load(self, buffer: Any, array: np.ndarray) -> Any:
        host, view, dtype = buffer
        np.copyto(view, array)
        return host.to(self._device, dtype)

    def _device_name(self) -> str:
        if self._device.type == 'cpu':
            return 'cpu'
        return f'cuda ({self._torch.cuda.get_device_name(self._device)})'


def _check_precision(precision: str, device: str) -> None:
    if precision == 'int8' or (precision == 'fp16' and device == 'cpu'):
        raise BackendError(f'precision {precision} on device {device}',
                           'what the torch backend has: fp32, and fp16 on cuda',
                           'use precision fp32, or the onnx backend')


def _choose(torch: Any, precision: str, device: str) -> Any:
    """Give the device; `auto` is CUDA where a tensor really gets there, else the CPU."""
    problem = None if device == 'cpu' else cuda_problem(torch)
    if device == 'cpu' or (device == 'auto' and problem):
        _check_precision(precision, 'cpu')
        return torch.device('cpu')
    if problem:
        raise problem
    return torch.device('cuda')


def cuda_problem(torch: Any) -> Optional[BackendError]:
    """Give why this torch cannot use a GPU here, None when it can."""
    if torch.version.cuda is None and torch.version.hip is None:
        return BackendError(f'torch {torch.__version__} is built for the CPU only',
                            'a CUDA build of torch', 'install that, or set device to cpu')
    try:
        torch.cuda.init()
        if not torch.cuda.device_count():
            visible = os.environ.get('CUDA_VISIBLE_DEVICES', 'not set')
            return BackendError(f'torch sees no GPU (CUDA_VISIBLE_DEVICES: {visible})',
                                'a GPU', 'pass the GPU in, or set device to cpu')
        torch.zeros(1, device='cuda').cpu()
    except RuntimeError as error:
        return BackendError(f'torch cannot use the GPU: {first_line(error)}', 'a working driver '
                            f'for CUDA {torch.version.cuda}', 'mend that, or set device to cpu')
    return None


def _network(bundle: Bundle, weights: Path, precision: str) -> Any:
    from safetensors import SafetensorError

    from ..network import load_network
    try:
        network = load_network(weights, bundle.architecture, bundle.mean, bundle.std)
    except (SafetensorError, RuntimeError, TypeError, ValueError) as error:
        raise BackendError(f'torch cannot build {bundle.name}: {first_line(error)}',
                           "layers of torch.nn with torch.nn's arguments, and their weights",
                           'export the bundle again') from error
    return as_half(network) if precision == 'fp16' else network


def as_half(network: Any) -> Any:
    """Make the layers half precision; the pixels' normalisation before them stays in fp32."""
    for layers in (network.vision_encoder, network.rnn, network.actions):
        layers.half()
    network.vision_encoder.register_forward_pre_hook(lambda _, inputs: (inputs[0].half(),))
    return network
