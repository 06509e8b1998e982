"""What ONNX Runtime lacks here to use a GPU: each cause told apart, with its cure."""

from contextlib import redirect_stdout
import ctypes
from importlib import metadata, util
from pathlib import Path
import re
import subprocess
import sys
from types import ModuleType
from typing import Callable, List, Optional

from .onnx_session import CUDA, TENSORRT
from ..background_import import open_unlocked
from ..cuda.cuda_driver import CudaDriver
from ..cuda.gpu_problem import gpu_problem, INSUFFICIENT, OLDEST_CUDA
from ..tensorrt.tensorrt_library import library, PACKAGE
from ...errors import BackendError

LIBRARIES = {CUDA: 'libonnxruntime_providers_cuda.so',
             TENSORRT: 'libonnxruntime_providers_tensorrt.so'}
# The CUDA provider of 1.31 is not linked with it and opens it when it runs; no loader tells then.
CUDNN = 'libcudnn.so.9'
# What ONNX Runtime loads of the Python packages, of whichever version of CUDA.
CUDA_LIBRARY = re.compile(r'lib(?:cublasLt|cublas|cudart|curand|cufft|nvrtc|cudnn)\.so\.\d+')
NOT_FOUND = re.compile(r'^\s*(\S+) => not found', re.MULTILINE)
NVINFER = re.compile(r'libnv(?:infer|onnxparser)\w*\.so\.(\d+)')
LDD_S = 30.0


def driver_for(ort: ModuleType, provider: str,
               quiet: Optional[Callable[[], None]] = None) -> CudaDriver:
    """Return the driver if this onnxruntime can use it by `provider`, or say why it cannot."""
    if provider not in ort.get_available_providers():
        raise _not_built(ort, provider)
    driver, cuda = CudaDriver(), built_for(ort)
    if driver.version < OLDEST_CUDA.get(cuda, 0):
        raise gpu_problem(INSUFFICIENT, 'cuDriverGetVersion', driver.version, cuda,
                          f'onnxruntime {ort.__version__}')
    preload(ort, provider, quiet)
    # What TensorRT's provider does not take goes to CUDA's.
    missing = [name for one in dict.fromkeys((provider, CUDA))
               for name in missing_libraries(ort, one)]
    if missing:
        raise _missing(ort, list(dict.fromkeys(missing)))
    return driver


def built_for(ort: ModuleType) -> int:
    """Return the major version of CUDA that an onnxruntime is for, 0 if it does not tell."""
    return int((re.match(r'\d+', str(getattr(ort, 'cuda_version', ''))) or ['0'])[0])


def preload(ort: ModuleType, provider: str, quiet: Optional[Callable[[], None]] = None) -> None:
    """Load the libraries that came as Python packages, where the loader would not look."""
    packages = Path(str(ort.__file__)).parents[1]
    for path in sorted(packages.glob('nvidia/*/lib/lib*.so.*')):
        if CUDA_LIBRARY.fullmatch(path.name):
            open_unlocked(path)
    if hasattr(ort, 'preload_dlls'):  # finds the same, but keeps Python's lock; from 1.21 on
        with redirect_stdout(sys.stderr):  # what it misses it prints
            ort.preload_dlls()
    if provider == TENSORRT and util.find_spec(PACKAGE):
        library(quiet)


def missing_libraries(ort: ModuleType, provider: str) -> List[str]:
    """
    Name the libraries that a provider needs and that can neither be found nor are loaded.

    ONNX Runtime itself tells only the first of them, and that only in its log.
    """
    found = _not_found(Path(str(ort.__file__)).parent / 'capi' / LIBRARIES[provider])
    wanted = [*found, *([CUDNN] if built_for(ort) >= 12 else [])]
    return [name for name in dict.fromkeys(wanted) if not _loads(name)]


def _not_found(library: Path) -> List[str]:
    """Ask the loader, by ldd; where there is none, ONNX Runtime has the last word, in its log."""
    try:
        said = subprocess.run(['ldd', str(library)], capture_output=True, text=True, check=False,
                              timeout=LDD_S).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    return NOT_FOUND.findall(said)


def _loads(name: str) -> bool:
    try:
        ctypes.CDLL(name)
    except OSError:
        return False
    return True


def _missing(ort: ModuleType, names: List[str]) -> BackendError:
    cuda, what = built_for(ort), f'onnxruntime {ort.__version__}'
    nvinfer = next(filter(None, map(NVINFER.match, names)), None)
    cures = []
    if nvinfer:
        cures.append(f"pip install 'tensorrt-cu{cuda}=={nvinfer.group(1)}.*' (a Jetson has it "
                     'from JetPack)')
    if any(not NVINFER.match(name) for name in names):
        cures.append("pip install 'onnxruntime-gpu[cuda,cudnn]', or the onnxruntime-gpu for the "
                     'CUDA that is here (1.19 to 1.26: CUDA 12; from 1.27 on: CUDA 13)')
    return BackendError(
        f'{what} is built for CUDA {cuda or "?"} and does not find ' + ', '.join(names),
        'them as Python packages or on the path of the loader', '; '.join(cures))


def _not_built(ort: ModuleType, provider: str) -> BackendError:
    has = ', '.join(ort.get_available_providers())
    found = f'this onnxruntime is built without {provider} (it has {has})'
    if _is_installed('onnxruntime') and _is_installed('onnxruntime-gpu'):
        return BackendError(
            f'{found}: the package onnxruntime lies over onnxruntime-gpu, in the same directory',
            'only one of them', 'pip uninstall onnxruntime onnxruntime-gpu, then pip install '
            'onnxruntime-gpu; or set device to cpu')
    if CUDA in has:
        return BackendError(found, provider, 'set onnx_provider to cuda, or backend to tensorrt')
    return BackendError(found, provider, 'pip uninstall onnxruntime, then pip install '
                        'onnxruntime-gpu (a Jetson: the wheel from NVIDIA); or set device to cpu')


def _is_installed(package: str) -> bool:
    try:
        metadata.version(package)
    except metadata.PackageNotFoundError:
        return False
    return True
