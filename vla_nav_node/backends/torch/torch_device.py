"""Where torch runs: the device that was asked for, or why it cannot be had."""

from typing import Any, Optional

from ..cuda.cuda_driver import CudaDriver
from ..cuda.gpu_problem import gpu_problem, INSUFFICIENT, OUT_OF_MEMORY
from ...errors import BackendError, first_line


def choose(torch: Any, device: str) -> Any:
    """Return the device; `auto`, where it may be a GPU, is one if a tensor really gets there."""
    problem = None if device == 'cpu' else cuda_problem(torch)
    if device == 'cuda' and problem:
        raise problem
    return torch.device('cpu' if device == 'cpu' or problem else 'cuda')


def is_for_cuda(torch: Any) -> bool:
    """Tell whether a torch was built for NVIDIA's GPUs."""
    return torch.version.cuda is not None


def cuda_problem(torch: Any) -> Optional[BackendError]:
    """Return why this torch cannot use a GPU here, None when it can."""
    if torch.version.cuda is None and torch.version.hip is None:
        return BackendError(f'torch {torch.__version__} is built for the CPU only',
                            'a CUDA build of torch', 'install that, or set device to cpu')
    try:
        torch.cuda.init()
        torch.zeros(1, device='cuda').cpu()
    except (RuntimeError, AssertionError) as error:
        return _cause(torch, error)
    return None


def _cause(torch: Any, error: Exception) -> BackendError:
    """Tell what is behind torch's error: the driver knows better, where it is NVIDIA's."""
    if torch.version.cuda is None:
        return failure(error)
    try:
        driver = CudaDriver()
    except BackendError as problem:
        return problem
    built_for = int(torch.version.cuda.split('.')[0])
    if driver.version // 1000 < built_for:
        return gpu_problem(INSUFFICIENT, first_line(error), driver.version, built_for, 'torch')
    return failure(error)


def failure(error: Exception) -> BackendError:
    """Return the error for one that torch raised: what its code of CUDA means, where it has one."""
    said = f'torch: {first_line(error)}'
    code = getattr(error, 'error_code', 0)  # of torch.AcceleratorError
    if type(error).__name__ == 'OutOfMemoryError':
        code = OUT_OF_MEMORY
    if isinstance(code, int) and code:
        return gpu_problem(code, said, library='torch')
    return BackendError(f'torch failed: {first_line(error)}')


def be_exact(torch: Any) -> None:
    """
    Have float32 computed as float32, and sums of float16 kept in float32; of the whole process.

    TF32, which torch takes for convolutions unless told otherwise, has products of 10 bits.
    """
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_fp16_reduced_precision_reduction = False


def name_of(torch: Any, device: Any) -> str:
    """Return cpu, or cuda with the GPU's name."""
    return 'cpu' if device.type == 'cpu' else f'cuda ({torch.cuda.get_device_name(device)})'
