"""The Python package of TensorRT 8.6 to 11: imported, listened to, and its failures explained."""

from importlib import metadata
import re
from threading import Lock
from types import ModuleType
from typing import Any, Callable, Dict, List, Optional, Tuple

from .gentle_import import import_gently
from .gpu_problem import CODE, gpu_problem, INSUFFICIENT, module_version, no_driver
from ..errors import BackendError

PACKAGE = 'tensorrt'
# tensorrt-cu12, tensorrt-lean-cu13: the wheels are named by the CUDA that they were built for.
WHEEL = re.compile(r'tensorrt[a-z_-]*[_-]cu(\d+)', re.IGNORECASE)
MOST_ERRORS = 1000
_logs: Dict[str, Any] = {}
_lock = Lock()


def library(quiet: Optional[Callable[[], None]] = None, name: str = PACKAGE) -> ModuleType:
    """Import TensorRT, or raise BackendError with what is missing of it."""
    try:
        return import_gently(name, quiet)
    except (ImportError, OSError, RuntimeError) as error:
        said = (str(error).strip().splitlines() or [type(error).__name__])[0]
        if isinstance(error, ModuleNotFoundError) and error.name == name:
            found = f'the Python package {name} is not installed'
        else:
            found = f'the Python package {name} is there, but not the library of TensorRT: {said}'
        raise BackendError(
            found, 'TensorRT 8.6 or newer', 'a Jetson has it from JetPack (sudo apt install '
            'python3-libnvinfer); elsewhere pip install tensorrt, which fetches the library from '
            "NVIDIA's own index, or put libnvinfer on the loader's path") from error


def log_of(trt: Any) -> Any:
    """
    Give the log that TensorRT writes to; `errors` are its error messages since the start.

    One for all: TensorRT keeps the first that it is given, and ignores the others.
    """
    with _lock:
        if trt.__name__ not in _logs:
            class Log(trt.ILogger):

                def __init__(self) -> None:
                    trt.ILogger.__init__(self)
                    self.errors: List[str] = []

                def log(self, severity: Any, message: str) -> None:
                    if int(severity) <= 1 and len(self.errors) < MOST_ERRORS:  # ERROR or worse
                        self.errors.append(message)

            _logs[trt.__name__] = Log()
        return _logs[trt.__name__]


def errors_since(log: Any, count: int) -> List[str]:
    """Give the error messages after the first `count`."""
    return list(log.errors[count:])


def failure(log: Any, since: int, what: str, driver_cuda: int = 0) -> BackendError:
    """Give the error for what failed, with the true reason where the log has a code of CUDA."""
    said = errors_since(log, since)
    for message in said:
        found = CODE.search(message)
        if found:
            code = int(found.group(1))
            text = f'TensorRT: {" ".join(found.group(0).split())}'
            if code == INSUFFICIENT and not driver_cuda and not module_version():
                return no_driver(text)  # TensorRT says the same of a driver that is not there
            return gpu_problem(code, text, driver_cuda, built_for())
    reason = ' '.join(said[0].split())[:300] if said else 'no reason given'
    return BackendError(f'{what}: {reason}')


def built_for() -> int:
    """Give the major version of CUDA that the installed TensorRT is for, 0 if it does not tell."""
    names = [one.metadata['Name'] or '' for one in metadata.distributions()]
    found = [WHEEL.fullmatch(re.sub('[_-](libs|bindings)$', '', name)) for name in names]
    return max((int(one.group(1)) for one in found if one), default=0)


def network_flags(trt: Any) -> Tuple[int, bool]:
    """
    Give the flags of create_network, and whether the types of the graph are binding then.

    From 10 on they can be (in 11 they always are); before, a batch dimension had to be announced.
    """
    known = trt.NetworkDefinitionCreationFlag
    if hasattr(known, 'STRONGLY_TYPED'):
        return 1 << int(known.STRONGLY_TYPED), True
    return 1 << int(known.EXPLICIT_BATCH), False
