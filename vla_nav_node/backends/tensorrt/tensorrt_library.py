"""The Python package of TensorRT 8.6 to 11: its import, its log, and its failures explained."""

from importlib import metadata
import re
from threading import Lock
from types import ModuleType
from typing import Any, Callable, Dict, List, Optional, Tuple

from ..background_import import import_in_background, WaitForIdle
from ..cuda.cuda_errors import CODE, cuda_error, INSUFFICIENT, module_version, no_driver
from ...errors import BackendError, first_line
from ...system.install_lines import pip_install, pip_line

PACKAGE = 'tensorrt'
# In names and requirements of its wheels: tensorrt-cu12, nvidia-cuda-runtime-cu12.
CUDA_OF_WHEEL = re.compile(r'[_-]cu(\d\d)\b')
ERROR, WARNING = 1, 2  # ILogger.Severity
MAX_MESSAGES = 10_000
_logs: Dict[str, Any] = {}
_lock = Lock()


def import_tensorrt(wait_for_idle: WaitForIdle = None, name: str = PACKAGE) -> ModuleType:
    """Import TensorRT; raise BackendError with what is missing."""
    try:
        return import_in_background(name, wait_for_idle)
    except (ImportError, OSError, RuntimeError) as error:
        raise _missing(error, name) from error


def _missing(error: Exception, name: str) -> BackendError:
    reason = first_line(error)
    if isinstance(error, ModuleNotFoundError) and error.name == name:
        return BackendError(f'the Python package {name} is not installed',
                            fix=f"{pip_install('tensorrt')}; on a Jetson: sudo apt "
                            'install python3-libnvinfer')
    if 'libcudnn' in reason:
        return BackendError(f'TensorRT needs cuDNN, which is not here: {reason}',
                            'the cuDNN that the message names',
                            f"for libcudnn.so.8: {pip_line('nvidia-cudnn-cu12<9')}")
    return BackendError(
        f'the Python package {name} is there, but not the library of TensorRT: {reason}',
        "libnvinfer on the loader's path", f'{pip_line(name)} fetches it from '
        "NVIDIA's own index; a Jetson has it from JetPack (sudo apt install tensorrt)")


def log_of(trt: Any) -> Any:
    """
    Return the log that TensorRT writes to; its `messages` are (severity, text).

    There is one per package: TensorRT keeps the first that it is given, and ignores the others.
    """
    with _lock:
        if trt.__name__ not in _logs:
            class Log(trt.ILogger):

                def __init__(self) -> None:
                    trt.ILogger.__init__(self)
                    self.messages: List[Tuple[int, str]] = []

                def log(self, severity: Any, message: str) -> None:
                    if int(severity) <= WARNING and len(self.messages) < MAX_MESSAGES:
                        self.messages.append((int(severity), message))

            _logs[trt.__name__] = Log()
        return _logs[trt.__name__]


def errors_since(log: Any, start: int) -> List[str]:
    """Return the errors from message `start` on; those with a code of CUDA come first."""
    # TensorRT 8 only warns of a CUDA that does not start.
    messages = list(log.messages[start:])
    return ([text for _, text in messages if CODE.search(text)]
            + [text for severity, text in messages
               if severity <= ERROR and not CODE.search(text)])


def logged_error(log: Any, start: int, what: str, driver_cuda: int = 0) -> BackendError:
    """Return the error for what failed; a code of CUDA in the log from `start` on is explained."""
    errors = errors_since(log, start)
    code = CODE.search(errors[0]) if errors else None
    if not code:
        reason = ' '.join(errors[0].split())[:300] if errors else 'no reason given'
        return BackendError(f'{what}: {reason}')
    number, source = int(code.group(1)), f'TensorRT: {code.group(0)}'
    if number == INSUFFICIENT and not driver_cuda and not module_version():
        return no_driver(source)  # a missing driver looks like an old one
    return cuda_error(number, source, driver_cuda, cuda_major())


def try_create(trt: Any, kind: Callable[[Any], Any], what: str,
               driver_cuda: int = 0) -> Tuple[Any, Optional[BackendError]]:
    """Create a Builder or a Runtime; return it, and the error that TensorRT logged, if any."""
    log = log_of(trt)
    start = len(log.messages)
    try:
        created = kind(log)
    except TypeError:  # how pybind11 reports a null pointer; the log has the reason
        created = None
    if created is None or errors_since(log, start):
        return created, logged_error(log, start, what, driver_cuda)
    return created, None


def cuda_major() -> int:
    """Return the major version of CUDA of the installed TensorRT, 0 if unknown."""
    texts = [text for package in metadata.distributions()
             if (package.metadata['Name'] or '').lower().startswith('tensorrt')
             for text in (package.metadata['Name'], *(package.requires or ()))]
    return max((int(match.group(1)) for match in map(CUDA_OF_WHEEL.search, texts) if match),
               default=0)


def network_flags(trt: Any) -> Tuple[int, bool]:
    """
    Return the flags of create_network, and whether they make the types of the graph binding.

    Since TensorRT 10 they can (in 11 they always do); before, an explicit batch was an option.
    """
    flags = trt.NetworkDefinitionCreationFlag
    if hasattr(flags, 'STRONGLY_TYPED'):
        return 1 << int(flags.STRONGLY_TYPED), True
    return 1 << int(flags.EXPLICIT_BATCH), False
