"""Why no GPU can be used here: the causes told apart, each with its cure."""

import os
from pathlib import Path
import re
from typing import Dict, Tuple

from ...errors import BackendError

KERNEL_MODULE = Path('/proc/driver/nvidia/version')
VERSION = re.compile(r'Kernel Module.*?\s(\d+\.\d+(?:\.\d+)?)')
# Initialising CUDA, as TensorRT and others write it into their logs.
CODE = re.compile(r'(?:failure with error|\bcuda ?error|\bcuda failure):? (\d+)', re.IGNORECASE)
OLDEST_DRIVER = {11: '450', 12: '525', 13: '580'}  # for each CUDA, by NVIDIA's release notes
OLDEST_CUDA = {11: 11040, 12: 12000, 13: 13000}  # that a driver has to be for, for each CUDA
OUT_OF_MEMORY, STUB, INSUFFICIENT, UNAVAILABLE, NO_DEVICE, NO_KERNEL = 2, 34, 35, 46, 100, 209
NOT_READY, MISMATCH, FORWARD, UNKNOWN = 802, 803, 804, 999
CAUSES: Dict[int, Tuple[str, str]] = {
    OUT_OF_MEMORY: ("the GPU's memory is full", 'end what else uses it (nvidia-smi shows what)'),
    STUB: ("libcuda.so.1 is the toolkit's stub and not the driver",
           "take the toolkit's stubs directory out of LD_LIBRARY_PATH, or install the driver"),
    UNAVAILABLE: ('the GPU is taken by another process, or not available',
                  'end that process, or: nvidia-smi -c DEFAULT'),
    NO_KERNEL: ('this GPU is not among those that the library was built for',
                'install the build that is for it'),
    NOT_READY: ('the GPU is not ready', 'start nvidia-fabricmanager, or wait for it'),
    MISMATCH: ("the driver's library and its kernel module are of different versions",
               'restart the machine after the update; in a container, the one outside counts'),
    FORWARD: ("this container's cuda-compat does not work with this GPU's driver",
              'update the driver, or take cuda-compat out of the container'),
    UNKNOWN: ('the driver fails without a reason', 'sudo modprobe nvidia_uvm, or restart'),
}


class CudaError(BackendError):
    """The driver or TensorRT reports an error of CUDA."""

    code = 0  # CUresult, which agrees with cudaError_t for those above


def no_driver(said: str, module: Path = KERNEL_MODULE) -> CudaError:
    """Tell why the driver's library does not open; `said` is what the loader says."""
    version = module_version(module)
    if version:
        return CudaError(
            f'the NVIDIA driver {version} runs on this machine, but its library is not here '
            f'({said})', 'libcuda.so.1',
            'in a container: start it with the GPU (--gpus all); else install the rest of the '
            'driver')
    return CudaError(f'no NVIDIA driver is installed here ({said}; no {module})', 'a GPU and its '
                     'driver', 'install the driver, or use the backend onnx or torch on the CPU')


def module_version(module: Path = KERNEL_MODULE) -> str:
    """Return the version of the driver's kernel module, '' if none runs."""
    try:
        text = module.read_text(errors='replace')
    except OSError:
        return ''
    found = VERSION.search(text)
    return found.group(1) if found else 'of unknown version'


def gpu_problem(code: int, said: str, driver_cuda: int = 0, built_for: int = 0,
                library: str = 'TensorRT') -> CudaError:
    """
    Tell what an error code of CUDA means here.

    `driver_cuda` is what the driver says it is for (12040 for CUDA 12.4), `built_for` the major
    version of CUDA that `library` was built for; 0 where that is not known.
    """
    if code == NO_DEVICE:
        visible = os.environ.get('CUDA_VISIBLE_DEVICES', 'not set')
        error = CudaError(f'the NVIDIA driver shows no GPU (CUDA_VISIBLE_DEVICES: {visible}; '
                          f'{said})', 'a GPU',
                          'pass it into the container, or set CUDA_VISIBLE_DEVICES')
    elif code == INSUFFICIENT:
        error = _too_old(said, driver_cuda, built_for, library)
    else:
        cause, cure = CAUSES.get(code, ('CUDA failed', ''))
        error = CudaError(f'{cause} ({said})', fix=cure)
    error.code = code
    return error


def _too_old(said: str, driver_cuda: int, built_for: int, library: str) -> CudaError:
    has = f'{driver_cuda // 1000}.{driver_cuda % 1000 // 10}' if driver_cuda else 'an older CUDA'
    wants = f'CUDA {built_for}' if built_for else 'a newer CUDA'
    oldest = OLDEST_DRIVER.get(built_for)
    return CudaError(
        f'the NVIDIA driver {module_version()} is too old: it is for CUDA {has}, this {library} '
        f'for {wants} ({said})', f'a driver >= {oldest}' if oldest else 'a newer driver',
        f'update the driver, or install the {library} that was built for it'
        + (' (PyPI: tensorrt-cu12)' if library == 'TensorRT' else ''))
