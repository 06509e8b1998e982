"""The libraries of NVIDIA that a process maps: two copies of one are two states of one GPU."""

from importlib import util
from typing import Dict, Iterator, List, Optional

from ..check import Check, failed, Finding, ok, skipped
from ..child import Answer
from ..place import Place

PROBES = {'onnxruntime': 'vla_nav_node.doctor.probes.onnx_probe',
          'torch': 'vla_nav_node.doctor.probes.torch_probe',
          'tensorrt': 'vla_nav_node.doctor.probes.tensorrt_probe'}
PACKAGES = {'tensorrt': ('tensorrt', 'tensorrt_lean', 'tensorrt_dispatch')}


def answer_of(place: Place, module: str) -> Optional[Answer]:
    """Return what the probe of a library tells; None if the library is not installed."""
    if not any(util.find_spec(name) for name in PACKAGES.get(module, (module,))):
        return None
    return place.heavy(PROBES[module])


def run(place: Place) -> Iterator[Finding]:
    """Look for a second copy in the process of each library."""
    seen: Dict[str, List[str]] = {}
    for module in ('onnxruntime', 'torch'):
        answer = answer_of(place, module)
        for name, paths in (answer.facts.get('libraries', {}) if answer else {}).items():
            seen[name] = list(dict.fromkeys([*seen.get(name, []), *paths]))
            if len(paths) > 1:
                yield failed(
                    f'a process with {module} maps {len(paths)} copies of {name}: '
                    + ' and '.join(paths), 'one (two end in '
                    'CUDNN_STATUS_SUBLIBRARY_VERSION_MISMATCH or worse)',
                    'unset LD_LIBRARY_PATH, and uninstall the copy that is not of the '
                    'nvidia-*-cu* packages')
    if seen:
        yield ok('mapped once each: ' + ', '.join(sorted(seen)))
    else:
        yield skipped('no process maps a library of NVIDIA')


CHECK = Check('libraries', 'where a library of NVIDIA is mapped', '/proc/self/maps of a process '
              'that ran ONNX Runtime, and of one with torch and ONNX Runtime', run)
