"""Run a tiny graph on every provider of ONNX Runtime that a policy may use, for real."""

import base64
from importlib import import_module
from pathlib import Path
import sys
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any, Dict

from .mapped import gpu_libraries
from .telling import answer, parts, Tell
from ...backends.onnx.onnx_libraries import cuda_major, driver_for, missing_libraries, preload
from ...backends.onnx.onnx_placement import check_placement, open_profiled, read_placement
from ...backends.onnx.onnx_session import CPU, CUDA, run_on_zeros, TENSORRT

# y = x times x, 4 x 4, IR version 7, operators 13: read by every ONNX Runtime since 1.7.
GRAPH = ('CAc6QAoRCgF4CgF4EgF5IgZNYXRNdWwSAWdaEwoBeBIOCgwIARIICgIIBAoCCARiEwoBeRIOCgwIARIICgII'
         'BAoCCARCBAoAEA0=')


def look(tell: Tell) -> None:
    """Tell what this ONNX Runtime is, and for each provider what ran where."""
    tell(step='import onnxruntime')
    ort = import_module('onnxruntime')
    available = ort.get_available_providers()
    tell(version=ort.__version__, cuda=cuda_major(ort), available=available)
    ran: Dict[str, Any] = {}
    with TemporaryDirectory() as scratch:
        graph = Path(scratch, 'tiny.onnx')
        graph.write_bytes(base64.b64decode(GRAPH))
        for provider in [name for name in (CPU, CUDA, TENSORRT) if name in available]:
            tell(step=f'a session on {provider}')
            ran[provider] = run_on(ort, graph, provider, Path(scratch))
            tell(ran=ran)
    tell(step='reading /proc/self/maps', libraries=gpu_libraries())


def run_on(ort: ModuleType, graph: Path, provider: str, scratch: Path) -> Dict[str, Any]:
    """Return the providers of a session and of its nodes, or why it does not run there."""
    result: Dict[str, Any] = {}
    try:
        if provider != CPU:
            preload(ort, provider)
            result['missing'] = missing_libraries(ort, provider)
            driver_for(ort, provider)
        session = open_profiled(ort, graph, [provider], scratch)
        result['session'] = session.get_providers()
        run_on_zeros(session)
        placement = read_placement(session)
        result['nodes'] = sorted({node.provider for node in placement.nodes})
        check_placement(placement, (provider,))
    except Exception as error:  # noqa: BLE001  # whatever a broken provider raises
        result['error'] = parts(error)
    return result


if __name__ == '__main__':
    answer(look, sys.argv[1:])
