"""Why no GPU can be used here: an error and a fix for each cause."""

import os
from pathlib import Path
import re
from typing import Dict, Tuple

from ...errors import BackendError

KERNEL_MODULE = Path('/proc/driver/nvidia/version')
VERSION = re.compile(r'Kernel Module.*?\s(\d+\.\d+(?:\.\d+)?)')
# A CUDA error code as TensorRT and others write it into their logs.
CODE = re.compile(r'(?:failure with error|\bcuda ?error|\bcuda failure):? (\d+)', re.IGNORECASE)
OLDEST_DRIVER = {11: '450', 12: '525', 13: '580'}  # for each CUDA, by NVIDIA's release notes
OLDEST_CUDA = {11: 11040, 12: 12000, 13: 13000}  # that the driver must support, for each CUDA
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


def no_driver(reason: str, module: Path = KERNEL_MODULE) -> CudaError:
    """Return the error for a driver library that does not open for the loader's `reason`."""
    version = module_version(module)
    if version:
        return CudaError(
            f'the NVIDIA driver {version} runs on this machine, but its library is not here '
            f'({reason})', 'libcuda.so.1',
            'in a container: start it with the GPU (--gpus all); else install the rest of the '
            'driver')
    return CudaError(f'no NVIDIA driver is installed here ({reason}; no {module})', 'a GPU and '
                     'its driver', 'install the driver, or use backend onnx or torch on the CPU')


def module_version(module: Path = KERNEL_MODULE) -> str:
    """Return the version of the driver's kernel module, '' if none runs."""
    try:
        text = module.read_text(errors='replace')
    except OSError:
        return ''
    match = VERSION.search(text)
    return match.group(1) if match else 'of unknown version'


def cuda_error(code: int, source: str, driver_cuda: int = 0, library_cuda: int = 0,
               library: str = 'TensorRT') -> CudaError:
    """
    Return the error that explains an error code of CUDA, which `source` reported.

    `driver_cuda` is the CUDA that the driver supports (12040 for 12.4), `library_cuda` the major
    version of CUDA that `library` was built for; 0 where that is unknown.
    """
    if code == NO_DEVICE:
        visible = os.environ.get('CUDA_VISIBLE_DEVICES', 'not set')
        error = CudaError(f'the NVIDIA driver shows no GPU (CUDA_VISIBLE_DEVICES: {visible}; '
                          f'{source})', 'a GPU',
                          'pass it into the container, or set CUDA_VISIBLE_DEVICES')
    elif code == INSUFFICIENT:
        error = _too_old(source, driver_cuda, library_cuda, library)
    else:
        cause, fix = CAUSES.get(code, ('CUDA failed', ''))
        error = CudaError(f'{cause} ({source})', fix=fix)
    error.code = code
    return error


def check_driver(driver_cuda: int, library_cuda: int, library: str = 'TensorRT') -> None:
    """Raise CudaError for a driver that is too old for a library, before that fails with 35."""
    if driver_cuda < OLDEST_CUDA.get(library_cuda, 0):
        raise cuda_error(INSUFFICIENT, 'cuDriverGetVersion', driver_cuda, library_cuda, library)


def _too_old(source: str, driver_cuda: int, library_cuda: int, library: str) -> CudaError:
    has = f'{driver_cuda // 1000}.{driver_cuda % 1000 // 10}' if driver_cuda else 'an older CUDA'
    wants = f'CUDA {library_cuda}' if library_cuda else 'a newer CUDA'
    oldest = OLDEST_DRIVER.get(library_cuda)
    return CudaError(
        f'the NVIDIA driver {module_version()} is too old: it is for CUDA {has}, this {library} '
        f'for {wants} ({source})', f'a driver >= {oldest}' if oldest else 'a newer driver',
        f'update the driver, or install the {library} that was built for it'
        + (' (PyPI: tensorrt-cu12)' if library == 'TensorRT' else ''))
