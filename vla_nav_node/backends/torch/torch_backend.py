"""PyTorch: runs policy.safetensors as it was trained, on the CPU or a CUDA GPU."""

from collections import Counter
from pathlib import Path
from typing import Any

from .torch_device import device_name, is_for_cuda, pick_device
from .torch_modes import resolve_mode
from .torch_step import open_step
from ..background_import import import_in_background, WaitForIdle
from ..huge_pages import in_huge_pages
from ..options import BackendOptions, DEFAULTS
from ..step_backend import resolve_device, StepBackend
from ...bundle.bundle import Bundle, WEIGHTS
from ...bundle.gpu_verdicts import DeviceChoice
from ...errors import BackendError, first_line
from ...types import BackendInfo

# Of the whole process, as torch has it. A network of 3.3 MB on two busy cores, p50 / p99 in ms:
# one thread 1.0 / 6, two 1.2 / 128, because each layer waits until both have a core.
MAX_THREADS = 1
DTYPES = {'torch.float32': 'fp32', 'torch.float16': 'fp16'}


class TorchBackend(StepBackend):
    """The network itself, one step at a time, in one of torch's ways to run it."""

    def __init__(self, bundle: Bundle, precision: str = 'fp32', device: str = 'auto',
                 wait_for_idle: WaitForIdle = None, options: BackendOptions = DEFAULTS) -> None:
        """Build the network from the bundle's weights on a device; raise BackendError."""
        super().__init__('torch', bundle)
        weights = bundle.file(WEIGHTS)
        _check_precision(precision, device)
        torch: Any = import_in_background('torch', wait_for_idle)
        if (device, options.torch_mode) == ('auto', 'cuda_graph'):
            device = 'cuda'
        choice = resolve_device(device, bundle, 'torch', precision, torch) if is_for_cuda(torch) \
            else DeviceChoice('cpu' if device == 'auto' else device)
        place = pick_device(torch, 'cpu' if choice.device == 'cpu' else device)
        _check_precision(precision, place.type, choice.note)
        mode = resolve_mode(options.torch_mode, place.type)
        torch.set_num_threads(options.torch_num_threads or
                              min(torch.get_num_threads(), MAX_THREADS))
        on_cpu = place.type == 'cpu'
        with in_huge_pages(options.huge_pages and on_cpu):
            network = _network(bundle, weights, precision)
            opened = open_step(torch, place, mode, network, bundle, precision, wait_for_idle)
        self._step = opened.step
        if on_cpu:
            self.fit_cache(weights)
        self.info = BackendInfo('torch', 'torch', torch.__version__, device_name(torch, place),
                                opened.provider, precision,
                                f'{_product_types(network)}; {opened.parity}', choice.note)


def _check_precision(precision: str, device: str, note: str = '') -> None:
    if precision == 'int8' or (precision == 'fp16' and device == 'cpu'):
        raise BackendError(f'precision {precision} on device {device}',
                           'what the torch backend has: fp32, and fp16 on cuda',
                           note or 'use precision fp32, or the onnx backend')


def _network(bundle: Bundle, weights: Path, precision: str) -> Any:
    from safetensors import SafetensorError

    from .network import as_half, load_network
    try:
        network = load_network(weights, bundle.architecture, bundle.mean, bundle.std)
    except (SafetensorError, RuntimeError, TypeError, ValueError) as error:
        raise BackendError(f'torch cannot build {bundle.name}: {first_line(error)}',
                           "layers of torch.nn with torch.nn's arguments, and their weights",
                           'export the bundle again') from error
    return as_half(network) if precision == 'fp16' else network


def _product_types(network: Any) -> str:
    """Count the products by type: torch multiplies only weights of the input's type."""
    types = Counter(DTYPES[str(weight.dtype)] for weight in network.parameters()
                    if weight.dim() > 1)
    return ', '.join(f'{count} of {types.total()} products in {kind}'
                     for kind, count in types.items())
