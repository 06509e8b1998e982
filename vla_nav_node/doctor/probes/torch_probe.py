"""What torch was built for and whether a kernel runs; then ONNX Runtime beside it."""

from importlib import import_module, util
import sys
from typing import Any, Dict, List

from .mapped import gpu_libraries
from .telling import answer, parts, Tell
from ...backends.onnx.onnx_libraries import preload
from ...backends.onnx.onnx_session import CUDA


def look(tell: Tell) -> None:
    """Tell versions, architectures, the result of a tiny product, and what is mapped."""
    tell(step='import torch')
    torch: Any = import_module('torch')
    tell(version=torch.__version__, cuda=str(torch.version.cuda or ''),
         architectures=architectures(torch))
    if torch.version.cuda:
        tell(step='a product on the GPU', **product(torch))
    if util.find_spec('onnxruntime'):
        tell(step='import onnxruntime beside torch')
        ort = import_module('onnxruntime')
        if CUDA in ort.get_available_providers():
            preload(ort, CUDA)
    tell(step='reading /proc/self/maps', libraries=gpu_libraries())


def architectures(torch: Any) -> List[str]:
    """Return what the wheel has kernels for; get_arch_list is empty where no GPU starts."""
    flags = getattr(torch._C, '_cuda_getArchFlags', None)
    return (flags() or '').split() if flags else []


def product(torch: Any) -> Dict[str, Any]:
    """Return the GPU's capability, or why nothing runs on it."""
    try:
        one = torch.ones(4, 4, device='cuda')
        return {'capability': list(torch.cuda.get_device_capability()),
                'product': float((one @ one).sum())}
    except Exception as error:  # noqa: BLE001  # whatever CUDA raises
        return {'product_error': parts(error)}


if __name__ == '__main__':
    answer(look, sys.argv[1:])
