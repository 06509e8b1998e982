"""The runtimes that run a policy, each imported only when it is asked for."""

from importlib import import_module, metadata, util
from typing import Dict, NamedTuple

from .background_import import WaitForIdle
from .options import BackendOptions, DEFAULTS
from ..bundle.bundle import Bundle
from ..errors import BackendError
from ..system.install_lines import pip_install
from ..types import Backend


class Entry(NamedTuple):
    """Where a backend's class is, and what it needs."""

    module: str  # in this package
    class_name: str
    package: str  # Python package that it imports
    hint: str = ''  # how to install it other than by pip


BACKENDS: Dict[str, Entry] = {
    'torch': Entry('torch.torch_backend', 'TorchBackend', 'torch',
                   '; without a GPU take the small build: docs/install.md'),
    'onnx': Entry('onnx.onnx_backend', 'OnnxBackend', 'onnxruntime'),
    'tensorrt': Entry('tensorrt.tensorrt_backend', 'TensorrtBackend', 'tensorrt',
                      '; on a Jetson: sudo apt install python3-libnvinfer')}
DEVICES = ('auto', 'cpu', 'cuda')
PRECISIONS = ('fp32', 'fp16', 'int8')


def open_backend(name: str, bundle: Bundle, precision: str = 'fp32', device: str = 'auto',
                 wait_for_idle: WaitForIdle = None, options: BackendOptions = DEFAULTS) -> Backend:
    """
    Open a bundle on the backend called `name`, or raise BackendError; there is no substitute.

    While another backend drives, `wait_for_idle` waits for a moment when it is idle: see
    background_import. The backend ignores the `options` of other backends.
    """
    check_request(name, precision, device)
    check_machine(name)
    entry = BACKENDS[name]
    # The class imports its framework at opening, not at import.
    backend: Backend = getattr(import_module(f'.{entry.module}', __name__), entry.class_name)(
        bundle, precision, device, wait_for_idle, options)
    return backend


def check_request(name: str, precision: str, device: str) -> None:
    """Raise BackendError for an unknown backend, precision or device."""
    for what, value, known in (('backend', name, BACKENDS), ('precision', precision, PRECISIONS),
                               ('device', device, DEVICES)):
        if value not in known:
            raise BackendError(f'{what} {value!r}', 'one of: ' + ', '.join(known))


def check_machine(name: str) -> None:
    """Raise BackendError with the reason if this machine cannot run a backend at all; quick."""
    if not is_installed(name):
        raise _not_installed(name)
    if name == 'tensorrt':
        import_module('.cuda.cuda_driver', __name__).CudaDriver()


def _not_installed(name: str) -> BackendError:
    package, fix = BACKENDS[name].package, pip_install(name)
    try:
        found = f'pip lists {package} {metadata.version(package)}, but the package is empty'
        fix += '; it is a stub that fetches the rest from its maker, and that failed'
    except metadata.PackageNotFoundError:
        found = 'it is not installed here'
    return BackendError(f'backend {name} needs the Python package {package}: {found}',
                        fix=fix + BACKENDS[name].hint)


def is_installed(name: str) -> bool:
    """Return whether the package that a backend needs is installed, without importing it."""
    return util.find_spec(BACKENDS[name].package) is not None


def prepare() -> None:
    """
    Import onnxruntime before driving starts: small, quick, and it would block a driving thread.

    Not torch: it stays out of a process that drives without it, and background_import can import
    it later.
    """
    if is_installed('onnx'):
        import_module(BACKENDS['onnx'].package)
