"""A session of ONNX Runtime with the settings that drive; its inputs, outputs and errors."""

import os
from pathlib import Path
import re
from types import ModuleType
from typing import Any, Dict, List, Mapping, Optional, Tuple, Union

import numpy as np

from ..cuda.cuda_errors import CODE, cuda_error
from ...bundle.bundle import Bundle
from ...errors import BackendError, first_line

CPU, CUDA, TENSORRT = ('CPUExecutionProvider', 'CUDAExecutionProvider',
                       'TensorrtExecutionProvider')
DTYPES = {'tensor(uint8)': 'uint8', 'tensor(float)': 'float32'}
# A network of 3.3 MB on two busy cores, p50 / p99 / max in ms: one thread 0.29 / 4.4 / 4.6, two
# 0.33 / 5.4 / 9.0, two spinning 0.30 / 8.6 / 20. More threads help only where there is more to do.
LARGE_BYTES = 5 << 20
MAX_THREADS = 4
# Nodes that no provider takes would go to the CPU; with this the session is refused instead.
STRICT = 'session.disable_cpu_ep_fallback'
# The words of that refusal; with a CUDA graph the second may come first.
REFUSED = re.compile('fallback to CPU EP has been explicitly disabled|'
                     'cannot use the (?:CUDA Graph|graph capture) feature')
Provider = Union[str, Tuple[str, Mapping[str, str]]]  # a name, or with its options


class LeftToCpu(BackendError):
    """A node of a graph would run on the CPU, which was excluded."""


def open_session(ort: ModuleType, path: Path, *providers: Provider, strict: bool = False,
                 profile: Optional[Path] = None) -> Any:
    """
    Open a graph with the settings that drive, or raise BackendError.

    `strict` raises LeftToCpu if any node is left to the CPU. With `profile`, a path's beginning,
    the session writes a profile when it ends.
    """
    options = _options(ort, path)
    if strict:
        options.add_session_config_entry(STRICT, '1')
    if profile:
        options.enable_profiling, options.profile_file_prefix = True, str(profile)
    try:
        # Without the fallback: it would replace a provider that fails by the CPU, and run()
        # could do so in mid-drive.
        return ort.InferenceSession(str(path), options, providers=list(providers),
                                    enable_fallback=0)
    except Exception as error:
        if not is_runtime_error(error):
            raise
        if strict and REFUSED.search(str(error)):
            raise LeftToCpu(f'{path.name} would run on the CPU in part') from error
        raise explained(error, f'ONNX Runtime cannot open {path.name}',
                        'a graph that this version reads',
                        'export the bundle again, or use a newer onnxruntime') from error


def _options(ort: ModuleType, path: Path) -> Any:
    options = ort.SessionOptions()
    threads = _threads(path)
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.log_severity_level = 3  # errors
    # Several threads wait for one another some 50 times a step. Spinning saves a tenth of the step
    # (structure "simple": 1.32 ms instead of 1.49), and ends with the step.
    options.add_session_config_entry('session.intra_op.allow_spinning', str(int(threads > 1)))
    options.add_session_config_entry('session.force_spinning_stop', '1')
    return options


def _threads(path: Path) -> int:
    if path.stat().st_size < LARGE_BYTES:
        return 1
    return min(MAX_THREADS, len(os.sched_getaffinity(0)))  # the cores that a container leaves


def check_graph(session: Any, bundle: Bundle, path: Path) -> None:
    """Raise BackendError unless the graph is the step that the manifest describes."""
    states = bundle.state_shapes
    expected = {
        'inputs': {'image': ('uint8', bundle.input.shape),
                   **{f'{part}_in': ('float32', shape) for part, shape in states.items()}},
        'outputs': {'action': ('float32', (1, 2)),
                    **{f'{part}_out': ('float32', shape) for part, shape in states.items()}}}
    found = {'inputs': signature(session.get_inputs()),
             'outputs': signature(session.get_outputs())}
    problems = [f'{side} {_listed(found[side])} instead of {_listed(expected[side])}'
                for side in expected if found[side] != expected[side]]
    if problems:
        raise BackendError(f'{path.name} does not fit {bundle.name}: ' + '; '.join(problems),
                           'the step graph of the policy in policy.yaml', 'export it again')


def signature(nodes: List[Any]) -> Dict[str, Tuple[str, Tuple[int, ...]]]:
    """Return dtype and shape of a session's inputs or outputs by name."""
    return {node.name: (DTYPES.get(node.type, node.type), tuple(node.shape)) for node in nodes}


def _listed(arrays: Dict[str, Any]) -> str:
    return ', '.join(f'{name} {dtype} {list(shape)}' for name, (dtype, shape) in arrays.items())


def run_on_zeros(session: Any) -> None:
    """Run a session once on zeros."""
    run(session, None, {name: np.zeros(shape, dtype) for name, (dtype, shape)
                        in signature(session.get_inputs()).items()})


def run(session: Any, outputs: Optional[List[str]], inputs: Mapping[str, np.ndarray]) -> List[Any]:
    """Run a session; return its outputs, or raise BackendError."""
    try:
        results: List[Any] = session.run(outputs, inputs)
    except Exception as error:
        if not is_runtime_error(error):
            raise
        raise explained(error) from error
    return results


def check_providers(session: Any, opened: Any) -> None:
    """Raise BackendError if a session no longer has the providers that it was opened with."""
    if session.get_providers() != opened:
        raise BackendError(
            'ONNX Runtime has moved to ' + ', '.join(session.get_providers()) + ' in mid-drive',
            ', '.join(opened), 'open the backend again')


def provider_name(provider: Provider) -> str:
    """Return a provider without its options."""
    return provider if isinstance(provider, str) else provider[0]


def without_cuda_graph(provider: Provider) -> Provider:
    """Return a provider with CUDA graphs off."""
    if isinstance(provider, str):
        return provider
    name, options = provider
    return name, {key: value for key, value in options.items() if key != 'enable_cuda_graph'}


def is_runtime_error(error: Exception) -> bool:
    """Return whether ONNX Runtime raised it: its classes share a C++ module, but no base."""
    return (type(error).__module__.startswith('onnxruntime')
            or isinstance(error, (RuntimeError, ValueError)))


def explained(error: Exception, what: str = 'ONNX Runtime failed', expected: str = '',
              fix: str = '') -> BackendError:
    """Return the error for the user; a code of CUDA in it is explained."""
    code = CODE.search(str(error))
    if code:
        return cuda_error(int(code.group(1)), f'{what}: {first_line(error)}')
    return BackendError(f'{what}: {first_line(error)}', expected, fix)
