"""What `device: auto` is for a backend: a GPU only where verify has passed on its kind."""

import logging
from typing import Any

from .cuda.cuda_driver import gpus_here
from ..bundle.bundle import Bundle
from ..bundle.gpu_verdicts import choose_device, DeviceChoice
from ..types import BackendInfo

LOG = logging.getLogger(__name__)


def settle(device: str, bundle: Bundle, backend: str, precision: str, library: Any) -> DeviceChoice:
    """Return the device for the one that was asked for; `library` is the module that runs it."""
    if device != 'auto':
        return DeviceChoice(device)
    info = BackendInfo(backend, library.__name__, library.__version__, '', '', precision)
    choice = choose_device(bundle, info, gpus_here())
    if choice.note:
        LOG.info('%s: %s', bundle.name, choice.note)
    return choice
