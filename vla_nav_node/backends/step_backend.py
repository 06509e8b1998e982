"""What all backends share: their device, the checks of their arrays, and the step they run."""

import logging
from pathlib import Path
from typing import Any, Optional, Protocol, Tuple

import numpy as np

from .cuda.cuda_driver import CudaDriver
from ..bundle.bundle import Bundle
from ..bundle.gpu_verdicts import choose_device, DeviceChoice
from ..errors import BackendError
from ..types import BackendInfo, State

# Weights of less fit into the caches that are a core's own, or nearly: 2 MB in servers and PCs.
CACHE_BYTES = 5 << 20
LOG = logging.getLogger(__name__)


class StepRunner(Protocol):
    """What runs steps: in host arrays, or on a device (DeviceStep)."""

    def owns(self, state: State) -> bool:
        """Return whether a state came from this runner, and so has the right shape."""

    def infer(self, image: np.ndarray, state: State) -> Tuple[np.ndarray, State]:
        """Run one step on arrays that were checked."""

    def close(self) -> None:
        """Release what it holds; states still in use are copied to the host first."""


class StepBackend:
    """
    The part of a backend that is the same for all: see types.Backend.

    On a GPU the state stays there until one of its arrays is read.
    """

    info: BackendInfo
    fits_cache = False

    def __init__(self, name: str, bundle: Bundle) -> None:
        """Read the shapes from the manifest; a subclass sets `_step` and `info`."""
        self._name = name
        self._image_shape = bundle.input.shape
        self._state_shapes = tuple(bundle.state_shapes.values())
        self._step: Optional[StepRunner] = None  # before opening and after closing

    def infer(self, image: np.ndarray, state: State) -> Tuple[np.ndarray, State]:
        """Run one step; raise BackendError for arrays that the policy does not take."""
        step = self._step
        if step is None:
            raise BackendError(f'the {self._name} backend is closed')
        _check_array('image', image, self._image_shape, np.uint8)
        if not step.owns(state):
            if len(state) != len(self._state_shapes):
                raise BackendError(f'a state of {len(state)} arrays',
                                   f'{len(self._state_shapes)} arrays')
            for part, shape in zip(state, self._state_shapes):
                _check_array('state', part, shape, np.float32)
        return step.infer(image, state)

    def fit_cache(self, weights: Path) -> None:
        """Set `fits_cache` for a file whose weights run on the CPU."""
        self.fits_cache = weights.stat().st_size < CACHE_BYTES

    def close(self) -> None:
        """Release the step; states still in use are copied to the host first."""
        step, self._step = self._step, None
        if step is not None:
            step.close()


def _check_array(what: str, array: np.ndarray, shape: Tuple[int, ...], dtype: type) -> None:
    if array.shape != shape or array.dtype != dtype:
        raise BackendError(f'{what} is {array.dtype} {list(array.shape)}',
                           f'{np.dtype(dtype)} {list(shape)}')


def resolve_device(device: str, bundle: Bundle, backend: str, precision: str,
                   library: Any) -> DeviceChoice:
    """
    Return the device for a requested one; `auto` is a GPU if `vla_nav verify` has passed on it.

    `library` is the module that would run the bundle.
    """
    if device != 'auto':
        return DeviceChoice(device)
    info = BackendInfo(backend, library.__name__, library.__version__, '', '', precision)
    choice = choose_device(bundle, info, gpus_here())
    if choice.note:
        LOG.info('%s: %s', bundle.name, choice.note)
    return choice


def gpus_here() -> Tuple[str, ...]:
    """Return the name of the GPU that a backend would run on; empty without one."""
    try:
        return (CudaDriver().gpu().name,)
    except BackendError:
        return ()
