"""The GPU's architecture against the kernels that each wheel can hold."""

import re
from typing import Any, Dict, Iterator, List, Sequence

from . import nvidia
from .libraries import answer_of
from ..check import Check, failed, Finding, ok, skipped
from ..place import Place
from ....system.install_lines import pip_line

# The lowest compute capability that each CUDA still makes code for. What a wheel of ONNX Runtime
# holds of it shows when it runs: see the check providers.
OLDEST_OF_CUDA = {11: 3.5, 12: 5.0, 13: 7.5}
TORCH = 'install a torch for this GPU: https://pytorch.org/get-started'


def run(place: Place) -> Iterator[Finding]:
    """Judge torch by its own list, ONNX Runtime by the table."""
    reason = nvidia.why_none(place)
    gpu = [] if reason else place.heavy(nvidia.PROBE).facts.get('gpu', [])
    if not gpu:
        yield skipped(reason or 'the driver does not start: see the check gpu')
        return
    torch, onnx = answer_of(place, 'torch'), answer_of(place, 'onnxruntime')
    if torch and torch.facts.get('architectures'):
        yield judge_torch(gpu, torch.facts)
    if onnx and onnx.facts.get('cuda'):
        yield judge_onnx(gpu, onnx.facts['cuda'])
    if not (torch and torch.facts.get('architectures')) and not (onnx and onnx.facts.get('cuda')):
        yield skipped('nothing here is built for CUDA')


def judge_torch(gpu: Sequence[str], facts: Dict[str, Any]) -> Finding:
    """Judge by the wheel's list, and by the product that ran."""
    held = facts['architectures']
    if not has_kernels(gpu[1], held):
        return failed(f'{gpu[0]} has compute capability {gpu[1]}; torch {facts["version"]} has '
                      'kernels for ' + ' '.join(held), 'kernels for this GPU', TORCH)
    if 'product_error' in facts:
        return failed(f'a product of torch on {gpu[0]} fails: {facts["product_error"][0]}',
                      'a product that runs', TORCH)
    return ok(f'torch {facts["version"]} has kernels for {gpu[1]}')


def has_kernels(capability: str, held: List[str]) -> bool:
    """Return whether code for the same major version, or PTX of an older one, is among `held`."""
    major, minor = map(int, capability.split('.'))
    for kind, digits in re.findall(r'(sm|compute)_(\d+)', ' '.join(held)):
        other = divmod(int(digits), 10)
        if kind == 'sm' and other[0] == major and other[1] <= minor or (
                kind == 'compute' and other <= (major, minor)):
            return True
    return False


def judge_onnx(gpu: Sequence[str], cuda: int) -> Finding:
    """Judge by the table."""
    oldest = OLDEST_OF_CUDA.get(cuda, 0.0)
    if float(gpu[1]) < oldest:
        return failed(f'{gpu[0]} has compute capability {gpu[1]}; ONNX Runtime for CUDA {cuda} '
                      f'begins at {oldest}', 'kernels for this GPU',
                      pip_line('onnxruntime-gpu<1.27'))
    return ok(f'ONNX Runtime for CUDA {cuda} has kernels for {gpu[1]}')


CHECK = Check('kernels', 'where there is an NVIDIA GPU', "the GPU's compute capability, torch's "
              'list of architectures, for ONNX Runtime a table of its CUDA', run)
