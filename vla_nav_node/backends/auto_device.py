"""`device: auto`: a GPU only where `vla_nav verify` has passed on its kind."""

import logging
from typing import Any, Tuple

from .cuda.cuda_driver import CudaDriver
from ..bundle.bundle import Bundle
from ..bundle.gpu_verdicts import choose, DeviceChoice
from ..errors import BackendError
from ..types import BackendInfo

LOG = logging.getLogger(__name__)


def resolve_device(device: str, bundle: Bundle, backend: str, precision: str,
                   library: Any) -> DeviceChoice:
    """Return the device that a requested one stands for; `library` is the module that runs it."""
    if device != 'auto':
        return DeviceChoice(device)
    choice = choose(bundle, BackendInfo(backend, library.__name__, library.__version__, '', '',
                                        precision), gpus_here())
    if choice.note:
        LOG.info('%s: %s', bundle.name, choice.note)
    return choice


def gpus_here() -> Tuple[str, ...]:
    """Return the name of the GPU that a backend would run on; empty without one."""
    try:
        return (CudaDriver().gpu().name,)
    except BackendError:
        return ()
