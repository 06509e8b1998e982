"""Where torch runs: the device, or why it is unavailable; and its errors explained."""

from functools import wraps
from typing import Any, Callable, Optional

from ..cuda.cuda_driver import CudaDriver
from ..cuda.cuda_errors import cuda_error, INSUFFICIENT, OUT_OF_MEMORY
from ...errors import BackendError, first_line


def pick_device(torch: Any, device: str) -> Any:
    """Return the torch.device; `auto` is the GPU if a tensor can really be moved there."""
    problem = None if device == 'cpu' else cuda_problem(torch)
    if device == 'cuda' and problem:
        raise problem
    return torch.device('cpu' if device == 'cpu' or problem else 'cuda')


def is_for_cuda(torch: Any) -> bool:
    """Return whether a torch was built for NVIDIA's GPUs."""
    return torch.version.cuda is not None


def cuda_problem(torch: Any) -> Optional[BackendError]:
    """Return why this torch cannot use a GPU here, None if it can."""
    if torch.version.cuda is None and torch.version.hip is None:
        return BackendError(f'torch {torch.__version__} is built for the CPU only',
                            'a CUDA build of torch', 'install one, or set device to cpu')
    try:
        torch.cuda.init()
        torch.zeros(1, device='cuda').cpu()
    except (RuntimeError, AssertionError) as error:
        return _explained_by_driver(torch, error)
    return None


def _explained_by_driver(torch: Any, error: Exception) -> BackendError:
    """Return the cause of torch's error; where it is NVIDIA's, the driver knows it better."""
    if torch.version.cuda is None:
        return explained(error)
    try:
        driver = CudaDriver()
    except BackendError as problem:
        return problem
    torch_cuda = int(torch.version.cuda.split('.')[0])
    if driver.version // 1000 < torch_cuda:
        return cuda_error(INSUFFICIENT, first_line(error), driver.version, torch_cuda, 'torch')
    return explained(error)


def explained(error: Exception) -> BackendError:
    """Return the error for one that torch raised; a code of CUDA in it is explained."""
    code = getattr(error, 'error_code', 0)  # of torch.AcceleratorError
    if type(error).__name__ == 'OutOfMemoryError':
        code = OUT_OF_MEMORY
    if isinstance(code, int) and code:
        return cuda_error(code, f'torch: {first_line(error)}', library='torch')
    return BackendError(f'torch failed: {first_line(error)}')


def explain_errors(call: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a function so that torch's errors become BackendError."""
    @wraps(call)
    def wrapper(*arguments: Any) -> Any:
        try:
            return call(*arguments)
        except RuntimeError as error:  # the base of AcceleratorError, OutOfMemoryError and others
            raise explained(error) from error
    return wrapper


def use_full_precision(torch: Any) -> None:
    """
    Compute float32 in float32, and sum float16 in float32, in the whole process.

    TF32, torch's default for convolutions, has products of 10 bits.
    """
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_fp16_reduced_precision_reduction = False


def device_name(torch: Any, device: Any) -> str:
    """Return cpu, or cuda with the GPU's name."""
    return 'cpu' if device.type == 'cpu' else f'cuda ({torch.cuda.get_device_name(device)})'
