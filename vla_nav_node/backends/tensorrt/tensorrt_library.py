"""The Python package of TensorRT 8.6 to 11: imported, listened to, and its failures explained."""

from importlib import metadata
import re
from threading import Lock
from types import ModuleType
from typing import Any, Callable, Dict, List, Optional, Tuple

from ..background_import import import_in_background
from ..cuda.gpu_problem import CODE, gpu_problem, INSUFFICIENT, module_version, no_driver
from ...errors import BackendError, first_line

PACKAGE = 'tensorrt'
# In names and requirements of its wheels: tensorrt-cu12, nvidia-cuda-runtime-cu12.
CUDA_OF_WHEEL = re.compile(r'[_-]cu(\d\d)\b')
ERROR, WARNING = 1, 2  # ILogger.Severity
MOST_MESSAGES = 10_000
_logs: Dict[str, Any] = {}
_lock = Lock()


def library(quiet: Optional[Callable[[], None]] = None, name: str = PACKAGE) -> ModuleType:
    """Import TensorRT, or raise BackendError with what is missing of it."""
    try:
        return import_in_background(name, quiet)
    except (ImportError, OSError, RuntimeError) as error:
        raise _missing(error, name) from error


def _missing(error: Exception, name: str) -> BackendError:
    said = first_line(error)
    if isinstance(error, ModuleNotFoundError) and error.name == name:
        return BackendError(f'the Python package {name} is not installed',
                            fix=f"pip install 'vla_nav_node[{name}]'; on a Jetson: sudo apt "
                            'install python3-libnvinfer')
    if 'libcudnn' in said:
        return BackendError(f'TensorRT needs cuDNN, which is not here: {said}',
                            'the cuDNN that the message names',
                            "for libcudnn.so.8: pip install 'nvidia-cudnn-cu12<9'")
    return BackendError(
        f'the Python package {name} is there, but not the library of TensorRT: {said}',
        'libnvinfer on the path of the loader', f'pip install {name} fetches it from '
        "NVIDIA's own index; a Jetson has it from JetPack (sudo apt install tensorrt)")


def log_of(trt: Any) -> Any:
    """
    Give the log that TensorRT writes to; `said` is (severity, message) since the start.

    One for all: TensorRT keeps the first that it is given, and ignores the others.
    """
    with _lock:
        if trt.__name__ not in _logs:
            class Log(trt.ILogger):

                def __init__(self) -> None:
                    trt.ILogger.__init__(self)
                    self.said: List[Tuple[int, str]] = []

                def log(self, severity: Any, message: str) -> None:
                    if int(severity) <= WARNING and len(self.said) < MOST_MESSAGES:
                        self.said.append((int(severity), message))

            _logs[trt.__name__] = Log()
        return _logs[trt.__name__]


def trouble_since(log: Any, since: int) -> List[str]:
    """Return the errors after the first `since` messages, and what concerns CUDA first of all."""
    # TensorRT 8 gives no more than a warning of a CUDA that does not start.
    told = list(log.said[since:])
    return ([message for _, message in told if CODE.search(message)]
            + [message for severity, message in told
               if severity <= ERROR and not CODE.search(message)])


def failure(log: Any, since: int, what: str, driver_cuda: int = 0) -> BackendError:
    """Return the error for what failed, with the true reason where the log has a code of CUDA."""
    trouble = trouble_since(log, since)
    found = CODE.search(trouble[0]) if trouble else None
    if not found:
        reason = ' '.join(trouble[0].split())[:300] if trouble else 'no reason given'
        return BackendError(f'{what}: {reason}')
    code, text = int(found.group(1)), f'TensorRT: {found.group(0)}'
    if code == INSUFFICIENT and not driver_cuda and not module_version():
        return no_driver(text)  # which is how a driver looks that is not there at all
    return gpu_problem(code, text, driver_cuda, built_for())


def try_start(trt: Any, kind: Callable[[Any], Any], what: str,
              driver_cuda: int = 0) -> Tuple[Any, Optional[BackendError]]:
    """Make a Builder or a Runtime; give it, and what is wrong with it, None if nothing is."""
    log = log_of(trt)
    since = len(log.said)
    try:
        started = kind(log)
    except TypeError:  # pybind11's word for a null pointer; the log has the reason
        started = None
    if started is None or trouble_since(log, since):
        return started, failure(log, since, what, driver_cuda)
    return started, None


def built_for() -> int:
    """Return the major version of CUDA that the installed TensorRT is for, 0 if it does not tell."""
    told = [text for one in metadata.distributions()
            if (one.metadata['Name'] or '').lower().startswith('tensorrt')
            for text in (one.metadata['Name'], *(one.requires or ()))]
    found = [CUDA_OF_WHEEL.search(text) for text in told]
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
