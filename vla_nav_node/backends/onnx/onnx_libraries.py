"""The libraries that ONNX Runtime needs to use a GPU: loaded, or the missing ones explained."""

from contextlib import redirect_stdout
import ctypes
from importlib import metadata, util
from pathlib import Path
import re
import subprocess
import sys
from types import ModuleType
from typing import List

from .onnx_session import CUDA, TENSORRT
from ..background_import import open_without_gil, WaitForIdle
from ..cuda.cuda_driver import CudaDriver
from ..cuda.cuda_errors import check_driver
from ..tensorrt.tensorrt_library import import_tensorrt, PACKAGE
from ...errors import BackendError
from ...system.install_lines import pip_line, pip_replace

LIBRARIES = {CUDA: 'libonnxruntime_providers_cuda.so',
             TENSORRT: 'libonnxruntime_providers_tensorrt.so'}
# The CUDA provider of 1.31 is not linked with it and opens it when it runs, so ldd omits it.
CUDNN = 'libcudnn.so.9'
# What ONNX Runtime loads of the Python packages, of whichever version of CUDA.
CUDA_LIBRARY = re.compile(r'lib(?:cublasLt|cublas|cudart|curand|cufft|nvrtc|cudnn)\.so\.\d+')
NOT_FOUND = re.compile(r'^\s*(\S+) => not found', re.MULTILINE)
NVINFER = re.compile(r'libnv(?:infer|onnxparser)\w*\.so\.(\d+)')
LDD_S = 30.0


def driver_for(ort: ModuleType, provider: str, wait_for_idle: WaitForIdle = None) -> CudaDriver:
    """Return the driver if this onnxruntime can use it by `provider`; else raise BackendError."""
    if provider not in ort.get_available_providers():
        raise _not_built(ort, provider)
    driver = CudaDriver()
    check_driver(driver.version, cuda_major(ort), f'onnxruntime {ort.__version__}')
    preload(ort, provider, wait_for_idle)
    # CUDA's provider runs the nodes that TensorRT's does not take.
    missing = [name for needed in dict.fromkeys((provider, CUDA))
               for name in missing_libraries(ort, needed)]
    if missing:
        raise _missing(ort, list(dict.fromkeys(missing)))
    return driver


def cuda_major(ort: ModuleType) -> int:
    """Return the major version of CUDA that an onnxruntime was built for, 0 if unknown."""
    return int((re.match(r'\d+', str(getattr(ort, 'cuda_version', ''))) or ['0'])[0])


def preload(ort: ModuleType, provider: str, wait_for_idle: WaitForIdle = None) -> None:
    """Load the libraries installed as Python packages, where the loader does not look."""
    packages = Path(str(ort.__file__)).parents[1]
    for path in sorted(packages.glob('nvidia/*/lib/lib*.so.*')):
        if CUDA_LIBRARY.fullmatch(path.name):
            open_without_gil(path)
    if hasattr(ort, 'preload_dlls'):  # since 1.21; finds the same, but holds the GIL
        with redirect_stdout(sys.stderr):  # it prints what it misses
            ort.preload_dlls()
    if provider == TENSORRT and util.find_spec(PACKAGE):
        import_tensorrt(wait_for_idle)


def missing_libraries(ort: ModuleType, provider: str) -> List[str]:
    """
    Return the libraries that a provider needs and that are neither loaded nor on the path.

    ONNX Runtime itself names only the first, in its log.
    """
    names = _not_found(Path(str(ort.__file__)).parent / 'capi' / LIBRARIES[provider])
    if cuda_major(ort) >= 12:
        names.append(CUDNN)
    return [name for name in dict.fromkeys(names) if not _loads(name)]


def _not_found(library: Path) -> List[str]:
    """Ask ldd; without it, opening the session fails and ONNX Runtime logs the reason."""
    try:
        output = subprocess.run(['ldd', str(library)], capture_output=True, text=True, check=False,
                                timeout=LDD_S).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    return NOT_FOUND.findall(output)


def _loads(name: str) -> bool:
    try:
        ctypes.CDLL(name)
    except OSError:
        return False
    return True


def _missing(ort: ModuleType, names: List[str]) -> BackendError:
    cuda, fixes = cuda_major(ort), []
    nvinfer = next(filter(None, map(NVINFER.match, names)), None)
    if nvinfer:
        fixes.append(pip_line(f'tensorrt-cu{cuda}=={nvinfer.group(1)}.*')
                     + ' (a Jetson has it from JetPack)')
    if any(not NVINFER.match(name) for name in names):
        fixes.append(pip_line('onnxruntime-gpu[cuda,cudnn]') + ', or the onnxruntime-gpu for the '
                     'CUDA that is here (1.19 to 1.26: CUDA 12; from 1.27 on: CUDA 13)')
    return BackendError(
        f'onnxruntime {ort.__version__} is built for CUDA {cuda or "?"} and does not find '
        + ', '.join(names),
        "them as Python packages or on the loader's path", '; '.join(fixes))


def _not_built(ort: ModuleType, provider: str) -> BackendError:
    available = ', '.join(ort.get_available_providers())
    found = f'this onnxruntime is built without {provider} (it has {available})'
    if _is_installed('onnxruntime') and _is_installed('onnxruntime-gpu'):
        return BackendError(
            f'{found}: the package onnxruntime lies over onnxruntime-gpu, in the same directory',
            'only one of them', pip_replace('onnxruntime-gpu', 'onnxruntime', 'onnxruntime-gpu')
            + '; or set device to cpu')
    if CUDA in available:
        return BackendError(found, provider, 'set onnx_provider to cuda, or backend to tensorrt')
    return BackendError(found, provider, pip_replace('onnxruntime-gpu', 'onnxruntime')
                        + ' (a Jetson: the wheel from NVIDIA); or set device to cpu')


def _is_installed(package: str) -> bool:
    try:
        metadata.version(package)
    except metadata.PackageNotFoundError:
        return False
    return True
