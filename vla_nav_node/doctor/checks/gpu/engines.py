"""TensorRT: whether it starts, and whether the engines in the cache are for it and this GPU."""

from typing import Any, Dict, Iterator

from . import nvidia
from .libraries import answer_of
from ..check import Check, failed, Finding, ok, skipped, told, warning
from ..place import Place
from ....backends.tensorrt.engine_cache import cache_directory, headers
from ....system.install_lines import pip_install, pip_line

WANTED = 'a TensorRT that starts'


def run(place: Place) -> Iterator[Finding]:
    """Start TensorRT in a child, then read the headers of the engines."""
    answer, reason = answer_of(place, 'tensorrt'), nvidia.why_none(place)
    if answer is None:
        yield skipped('TensorRT is not installed')
        return
    facts = answer.facts
    if 'start' in facts:  # whatever came of it later
        yield start_failure(facts, reason)
    elif answer.problem or 'error' in facts:
        parts = facts.get('error') or [f'TensorRT {answer.problem}', '', '']
        yield told(parts, WANTED, pip_install('tensorrt'))
    else:
        yield ok(f'{facts["package"]} {facts["version"]} starts')
    gpu = [] if reason else place.heavy(nvidia.PROBE).facts.get('gpu', [])
    yield from stale(facts.get('version', ''), gpu)


def start_failure(facts: Dict[str, Any], reason: str) -> Finding:
    """Explain why no runtime can be created; the first message of TensorRT is the cause."""
    said = f' (it says: {" ".join(facts["logged"][0].split())})' if facts['logged'] else ''
    found, expected, fix = facts['start']
    if reason:
        return warning(
            f'{facts["package"]} {facts["version"]} is installed, but {reason} and no driver'
            + said, 'a driver >= 580 for CUDA 13, >= 525 for CUDA 12', 'use backend onnx or '
            'torch on the CPU here; on the robot: install the driver. An older CUDA toolkit '
            'does not help')
    return failed(found + said, expected or WANTED, fix or pip_line('tensorrt-cu12'))


def stale(version: str, gpu: Any) -> Iterator[Finding]:
    """Name the engines that are for another TensorRT or another GPU."""
    current = 0
    for path, key in headers(cache_directory()):
        problems = [f'TensorRT {key.get("tensorrt")}'] if key.get('tensorrt') != version else []
        if gpu and key.get('uuid') != gpu[2]:
            problems.append(f'the GPU {key.get("gpu")}')
        current += not problems
        if problems:
            yield warning(f'{path.name} in the cache is an engine for ' + ' and '.join(problems)
                          + ': it is not used, and takes space', 'engines for what is here',
                          f'rm {path}')
    if current:
        yield ok(f'{current} engine(s) in the cache are for this TensorRT and GPU')


CHECK = Check('tensorrt', 'where TensorRT is installed', "TensorRT's own log when a runtime is "
              "created, and the headers of the engines in the user's cache", run)
