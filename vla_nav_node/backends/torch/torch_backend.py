"""PyTorch: runs policy.safetensors as it was trained, on the CPU or a CUDA GPU."""

from collections import Counter
from pathlib import Path
from typing import Any, Callable, Optional, Tuple

import numpy as np

from .torch_device import choose, is_for_cuda, name_of
from .torch_modes import mode_on
from .torch_step import open_step, Steps
from ..array_checks import StepShapes
from ..auto_device import settle
from ..background_import import import_in_background
from ..options import BackendOptions, DEFAULTS
from ...bundle.bundle import Bundle, WEIGHTS
from ...bundle.gpu_verdicts import DeviceChoice
from ...errors import BackendError, first_line
from ...types import BackendInfo, State

# Of the whole process, as torch has it. A network of 3.3 MB on two busy cores, p50 / p99 in ms:
# one thread 1.0 / 6, two 1.2 / 128, because each layer waits until both have a core.
MOST_THREADS = 1
PRECISIONS = {'float32': 'fp32', 'float16': 'fp16'}


class TorchBackend:
    """The network itself, one step at a time, in one of torch's ways to run it."""

    def __init__(self, bundle: Bundle, precision: str = 'fp32', device: str = 'auto',
                 quiet: Optional[Callable[[], None]] = None,
                 options: BackendOptions = DEFAULTS) -> None:
        """Build the network from the bundle's weights, on the device that was asked for."""
        weights = bundle.file(WEIGHTS)
        _check_precision(precision, device)
        torch: Any = import_in_background('torch', quiet)
        wanted = options.torch_mode
        asked = 'cuda' if (device, wanted) == ('auto', 'cuda_graph') else device
        choice = settle(asked, bundle, 'torch', precision, torch) if is_for_cuda(torch) \
            else DeviceChoice('cpu' if asked == 'auto' else asked)
        on = choose(torch, 'cpu' if choice.device == 'cpu' else asked)
        _check_precision(precision, on.type, choice.note)
        mode = mode_on(wanted, on.type)
        torch.set_num_threads(min(torch.get_num_threads(), MOST_THREADS))
        self._shapes, self._zero = StepShapes(bundle), bundle.zero_state()
        network = _network(bundle, weights, precision)
        opened = open_step(torch, on, mode, network, bundle, precision, quiet)
        self._step: Optional[Steps] = opened.step
        self.info = BackendInfo('torch', 'torch', torch.__version__, name_of(torch, on),
                                opened.provider, precision,
                                f'{_told_layers(network)}; {opened.parity}', choice.note)

    def infer(self, image: np.ndarray, state: State) -> Tuple[np.ndarray, State]:
        """Run one step: see interfaces.Backend; on a GPU the state stays there until looked at."""
        if self._step is None:
            raise BackendError('the torch backend is closed')
        self._shapes.check(image, self._zero if self._step.owns(state) else state)
        return self._step.infer(image, state)

    def close(self) -> None:
        """Release the network and its buffers; states that are alive come to the host."""
        step, self._step = self._step, None
        if step is not None:
            step.close()


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


def _told_layers(network: Any) -> str:
    """Count what the products are computed in: torch multiplies by no weight of another type."""
    found = Counter(PRECISIONS[str(weight.dtype).removeprefix('torch.')]
                    for weight in network.parameters() if weight.dim() > 1)
    return ', '.join(f'{count} of {sum(found.values())} products in {kind}'
                     for kind, count in found.items())
