"""The runtimes that run a policy, each imported only when it is asked for."""

from importlib import import_module, metadata, util
from typing import Callable, Dict, Optional, Tuple

from .options import BackendOptions, DEFAULTS
from ..bundle.bundle import Bundle
from ..errors import BackendError
from ..types import Backend

# name -> (module in this package, its class, the Python package it needs)
BACKENDS: Dict[str, Tuple[str, str, str]] = {
    'torch': ('torch.torch_backend', 'TorchBackend', 'torch'),
    'onnx': ('onnx.onnx_backend', 'OnnxBackend', 'onnxruntime'),
    'tensorrt': ('tensorrt.tensorrt_backend', 'TensorrtBackend', 'tensorrt'),
}
# Where a package comes from elsewhere than from a package index.
ELSEWHERE = {'tensorrt': '; on a Jetson: sudo apt install python3-libnvinfer'}
DEVICES = ('auto', 'cpu', 'cuda')
PRECISIONS = ('fp32', 'fp16', 'int8')


def open_backend(name: str, bundle: Bundle, precision: str = 'fp32', device: str = 'auto',
                 quiet: Optional[Callable[[], None]] = None,
                 options: BackendOptions = DEFAULTS) -> Backend:
    """
    Open a bundle on the backend called `name`, or raise BackendError; nothing in between.

    `quiet` is for opening beside a backend that drives: see gentle_import.import_in_background. Of
    `options` it takes those that it reads.
    """
    check_request(name, precision, device)
    check_machine(name)
    module, kind, _ = BACKENDS[name]
    # The class imports its framework at opening, not at import.
    opened: Backend = getattr(import_module(f'.{module}', __name__), kind)(
        bundle, precision, device, quiet, options)
    return opened


def check_request(name: str, precision: str, device: str) -> None:
    """Raise BackendError for a name that no backend, precision or device has."""
    for what, value, known in (('backend', name, tuple(BACKENDS)),
                               ('precision', precision, PRECISIONS),
                               ('device', device, DEVICES)):
        if value not in known:
            raise BackendError(f'{what} {value!r}', 'one of: ' + ', '.join(known))


def check_machine(name: str) -> None:
    """Raise BackendError with the reason if this machine cannot run a backend at all; quick."""
    if not is_installed(name):
        raise _missing(name)
    if name == 'tensorrt':
        import_module('.cuda.cuda_driver', __name__).CudaDriver()


def _missing(name: str) -> BackendError:
    package, fix = BACKENDS[name][2], f"pip install 'vla_nav_node[{name}]'"
    try:
        found = f'pip lists {package} {metadata.version(package)}, but there is nothing in it'
        fix += '; it is a stub that fetches the rest from its maker, and that did not come'
    except metadata.PackageNotFoundError:
        found = 'it is not installed here'
    return BackendError(f'backend {name} needs the Python package {package}: {found}',
                        fix=fix + ELSEWHERE.get(name, ''))


def is_installed(name: str) -> bool:
    """Tell whether the package that a backend needs is there, without importing it."""
    return util.find_spec(BACKENDS[name][2]) is not None


def prepare() -> None:
    """
    Import, before driving starts, what would hold up a driving thread if imported later.

    That is onnxruntime, small and quick; not torch, which stays out of a process that drives
    without it, and which gentle_import can import beside.
    """
    if is_installed('onnx'):
        import_module(BACKENDS['onnx'][2])
