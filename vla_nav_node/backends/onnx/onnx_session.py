"""A session of ONNX Runtime as it drives: its settings, its inputs and outputs, its errors."""

import os
from pathlib import Path
import re
from types import ModuleType
from typing import Any, Dict, List, Mapping, Optional, Tuple, Union

from ..cuda.gpu_problem import CODE, gpu_problem
from ...bundle.bundle import Bundle
from ...errors import BackendError, first_line

CPU, CUDA, TENSORRT = ('CPUExecutionProvider', 'CUDAExecutionProvider',
                       'TensorrtExecutionProvider')
TYPES = {'tensor(uint8)': 'uint8', 'tensor(float)': 'float32'}
# A network of 3.3 MB on two busy cores, p50 / p99 / max in ms: one thread 0.29 / 4.4 / 4.6, two
# 0.33 / 5.4 / 9.0, two spinning 0.30 / 8.6 / 20. More threads help only where there is more to do.
LARGE_BYTES = 5 << 20
MOST_THREADS = 4
# What of a graph no provider takes would go to the CPU; with this the session is refused instead.
STRICT = 'session.disable_cpu_ep_fallback'
# How it says so; whoever wants a CUDA graph may be told the second first.
LEFT = re.compile('fallback to CPU EP has been explicitly disabled|'
                  'cannot use the (?:CUDA Graph|graph capture) feature')
Provider = Union[str, Tuple[str, Mapping[str, str]]]  # a name, or with its options


class LeftToCpu(BackendError):
    """Something of a graph would run on the CPU, and is not to."""


def open_session(ort: ModuleType, path: Path, *providers: Provider, strict: bool = False,
                 profile: Optional[Path] = None) -> Any:
    """
    Open a graph with the settings that drive, or raise BackendError.

    `strict` has the session refused (LeftToCpu) if anything is left to the CPU; a `profile` is
    written to a file whose name begins like that.
    """
    options = _options(ort, path)
    if strict:
        options.add_session_config_entry(STRICT, '1')
    if profile:
        options.enable_profiling, options.profile_file_prefix = True, str(profile)
    try:
        # Without the fall-back, or a provider that fails would be replaced by the CPU; and run()
        # might move there in mid-drive.
        return ort.InferenceSession(str(path), options, providers=list(providers),
                                    enable_fallback=0)
    except Exception as error:
        if not is_of_runtime(error):
            raise
        if strict and LEFT.search(str(error)):
            raise LeftToCpu(f'{path.name} would run on the CPU in part') from error
        raise problem_of_run(error, f'ONNX Runtime cannot open {path.name}',
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
    # Several threads wait for one another some 50 times a step: awake, which saves a tenth of it
    # (structure "simple": 1.32 ms instead of 1.49), but only until the step is done.
    options.add_session_config_entry('session.intra_op.allow_spinning', str(int(threads > 1)))
    options.add_session_config_entry('session.force_spinning_stop', '1')
    return options


def _threads(path: Path) -> int:
    if path.stat().st_size < LARGE_BYTES:
        return 1
    return min(MOST_THREADS, len(os.sched_getaffinity(0)))  # what a container leaves us


def check_graph(session: Any, bundle: Bundle, path: Path) -> None:
    """Raise BackendError unless the graph is the step that the manifest describes."""
    states = bundle.state_shapes
    expected = {
        'inputs': {'image': ('uint8', bundle.input.shape),
                   **{f'{part}_in': ('float32', shape) for part, shape in states.items()}},
        'outputs': {'action': ('float32', (1, 2)),
                    **{f'{part}_out': ('float32', shape) for part, shape in states.items()}}}
    found = {'inputs': described(session.get_inputs()),
             'outputs': described(session.get_outputs())}
    problems: List[str] = [
        f'{side} {_told(found[side])} instead of {_told(expected[side])}'
        for side in expected if found[side] != expected[side]]
    if problems:
        raise BackendError(f'{path.name} does not fit {bundle.name}: ' + '; '.join(problems),
                           'the step graph of the policy in policy.yaml', 'export it again')


def described(nodes: List[Any]) -> Dict[str, Tuple[str, Tuple[int, ...]]]:
    """Return the dtype and the shape of a session's inputs or outputs by name."""
    return {node.name: (TYPES.get(node.type, node.type), tuple(node.shape)) for node in nodes}


def _told(arrays: Dict[str, Any]) -> str:
    return ', '.join(f'{name} {dtype} {list(shape)}' for name, (dtype, shape) in arrays.items())


def is_of_runtime(error: Exception) -> bool:
    """Tell ONNX Runtime's errors, which share no base, but are all of its C++ module."""
    return (type(error).__module__.startswith('onnxruntime')
            or isinstance(error, (RuntimeError, ValueError)))


def problem_of_run(error: Exception, what: str = 'ONNX Runtime failed', expected: str = '',
                   fix: str = '') -> BackendError:
    """Return the error for the user, with what a code of CUDA in it means."""
    code = CODE.search(str(error))
    if code:
        return gpu_problem(int(code.group(1)), f'{what}: {first_line(error)}')
    return BackendError(f'{what}: {first_line(error)}', expected, fix)
