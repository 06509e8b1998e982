"""The CUDA that ONNX Runtime, torch and TensorRT were built for, against the driver."""

import re
from typing import Dict, Iterator

from . import nvidia
from ..check import Check, failed, Finding, ok, skipped, warning
from ..place import Place
from ....backends.cuda.cuda_errors import OLDEST_CUDA, OLDEST_DRIVER
from ....system.install_lines import pip_line

OLDER = {'ONNX Runtime': 'onnxruntime-gpu[cuda,cudnn]<1.27', 'TensorRT': 'tensorrt-cu12'}
TORCH = 'install torch from its index for an older CUDA (https://pytorch.org/get-started)'


def run(place: Place) -> Iterator[Finding]:
    """Compare the majors with the driver and with one another."""
    majors = {name: major for name, major in built_for(place).items() if major}
    reason = nvidia.why_none(place)
    listed = ', '.join(f'{name}: CUDA {major}' for name, major in majors.items())
    if reason or not majors:
        yield skipped(f'{reason or "nothing here is built for CUDA"}'
                      + (f' ({listed})' if listed else ''))
        return
    driver = place.heavy(nvidia.PROBE).facts.get('cuda', 0)
    for name, major in majors.items():
        if driver and driver < OLDEST_CUDA.get(major, 0):
            yield failed(
                f'{name} is built for CUDA {major}, the driver supports {driver // 1000}.'
                f'{driver % 1000 // 10}: CUDA error 35', f'a driver >= {OLDEST_DRIVER[major]}',
                f'update the driver; or: {remedy(name)}. A toolkit of CUDA changes nothing.')
    if len(set(majors.values())) > 1:
        yield warning(f'built for different CUDAs: {listed}', 'one CUDA, if one process is to '
                      'hold two of them', '; '.join(map(remedy, majors)))
    if driver:
        yield ok(f'{listed}; the driver supports {driver // 1000}.{driver % 1000 // 10}')
    else:
        yield skipped(f'the driver does not start: see the check gpu ({listed})')


def built_for(place: Place) -> Dict[str, int]:
    """Return the major version of CUDA of each library, 0 for none."""
    probes = {'ONNX Runtime': 'onnxruntime', 'torch': 'torch', 'TensorRT': 'tensorrt'}
    return {name: _major(ask(place, module)) for name, module in probes.items()}


def ask(place: Place, module: str) -> Dict[str, object]:
    """Return what the probe of a library tells; nothing if it is not installed."""
    from .libraries import answer_of
    answer = answer_of(place, module)
    return answer.facts if answer else {}


def remedy(name: str) -> str:
    """Return how to get a build of a library for an older CUDA."""
    return pip_line(OLDER[name]) if name in OLDER else TORCH


def _major(facts: Dict[str, object]) -> int:
    return int((re.match(r'\d+', str(facts.get('cuda', ''))) or ['0'])[0])


CHECK = Check('cuda', 'where there is an NVIDIA GPU', 'onnxruntime.cuda_version, '
              'torch.version.cuda, the wheels of TensorRT, cuDriverGetVersion', run)
