"""The providers of ONNX Runtime that really run a graph: what is listed may not load."""

from typing import Any, Dict, Iterator

from . import nvidia
from .libraries import answer_of
from ..check import Check, FAILED, failed, Finding, ok, skipped, told, WARNING, warning
from ..place import Place
from ..python.onnxruntime_packages import installed
from ....system.install_lines import pip_install, pip_line

WANTED = 'a session whose nodes run there'


def run(place: Place) -> Iterator[Finding]:
    """Judge the tiny session on each provider."""
    answer = answer_of(place, 'onnxruntime')
    if answer is None:
        yield skipped('ONNX Runtime is not installed')
        return
    facts = answer.facts
    if answer.problem or 'error' in facts:
        why = answer.problem or facts['error'][0]
        yield failed(f'ONNX Runtime {facts.get("version", "")} does not run: {why} '
                     f'{answer.last_line}'.strip(), 'a session on the CPU',
                     pip_line('--force-reinstall', *installed() or ['onnxruntime']))
    for provider, ran in facts.get('ran', {}).items():
        yield from judge(place, provider, ran)


def judge(place: Place, provider: str, ran: Dict[str, Any]) -> Iterator[Finding]:
    """Judge one provider; without a GPU one that needs it is a warning only."""
    on_cpu, reason = provider.startswith('CPU'), nvidia.why_none(place)
    if 'error' not in ran:
        yield ok(f'{provider} runs: session {", ".join(ran["session"])}, nodes on '
                 + ', '.join(ran['nodes']))
        return
    # The driver's own library comes with no package: see the check gpu.
    missing = [name for name in ran.get('missing', []) if not name.startswith('libcuda.')]
    if provider.startswith('Tensorrt') and any('nvinfer' in name for name in missing):
        yield skipped(f'{provider} is in this build, but TensorRT is not installed')
        return
    if missing:
        say = warning if reason else failed
        yield say(f'{provider} is listed as available, but does not load: '
                  + ', '.join(missing) + ' missing', 'them as Python packages or on the '
                  "loader's path", pip_line('onnxruntime-gpu[cuda,cudnn]'))
    if reason and not on_cpu:
        yield skipped(f'{provider} is in this build, but {reason}')
    elif on_cpu or not missing:
        yield told(ran['error'], WANTED, pip_install('onnx') if on_cpu else
                   pip_line('onnxruntime-gpu[cuda,cudnn]'), FAILED if on_cpu or not reason
                   else WARNING)


CHECK = Check('providers', 'where ONNX Runtime is installed', 'a tiny session on each provider: '
              'get_providers() and the profile of its nodes, not get_available_providers()', run)
