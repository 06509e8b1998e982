"""A session of ONNX Runtime with the settings that drive; its inputs, outputs and errors."""

import os
from pathlib import Path
import re
from types import ModuleType
from typing import Any, Dict, List, Mapping, Optional, Tuple, Union

import numpy as np

from ..cuda.cuda_errors import CODE, cuda_error
from ..options import BackendOptions, DEFAULTS
from ...bundle.bundle import Bundle
from ...errors import BackendError, first_line

CPU, CUDA, TENSORRT = ('CPUExecutionProvider', 'CUDAExecutionProvider',
                       'TensorrtExecutionProvider')
DTYPES = {'tensor(uint8)': 'uint8', 'tensor(float)': 'float32'}
# At one step every 20 ms on two cores, one thread has the least p99 and takes the least processor
# time: threads that were asleep have to be woken at every layer, and spinning ones burn the core
# that the others need. Only graphs that take longer than a period anyway gain. See docs/tune.md.
LARGE_BYTES = 100_000_000
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
                 profile: Optional[Path] = None, options: BackendOptions = DEFAULTS) -> Any:
    """
    Open a graph with the settings that drive, or raise BackendError.

    `strict` raises LeftToCpu if any node is left to the CPU. With `profile`, a path's beginning,
    the session writes a profile when it ends.
    """
    wanted = session_options(ort, path, options)
    if strict:
        wanted.add_session_config_entry(STRICT, '1')
    if profile:
        wanted.enable_profiling, wanted.profile_file_prefix = True, str(profile)
    try:
        # Without the fallback: it would replace a provider that fails by the CPU, and run()
        # could do so in mid-drive.
        return ort.InferenceSession(str(path), wanted, providers=list(providers),
                                    enable_fallback=0)
    except Exception as error:
        if not is_runtime_error(error):
            raise
        if strict and REFUSED.search(str(error)):
            raise LeftToCpu(f'{path.name} would run on the CPU in part') from error
        raise explained(error, f'ONNX Runtime cannot open {path.name}',
                        'a graph that this version reads',
                        'export the bundle again, or use a newer onnxruntime') from error


def session_options(ort: ModuleType, path: Path, options: BackendOptions) -> Any:
    """Return the SessionOptions for the graph at `path`; the names are ONNX Runtime's."""
    session = ort.SessionOptions()
    session.log_severity_level = 3  # errors
    session.inter_op_num_threads = 1
    session.intra_op_num_threads = options.intra_op_num_threads or threads_for(path)
    session.execution_mode = getattr(ort.ExecutionMode, options.execution_mode)
    session.graph_optimization_level = getattr(ort.GraphOptimizationLevel,
                                               options.graph_optimization_level)
    session.enable_cpu_mem_arena = options.enable_cpu_mem_arena
    session.enable_mem_pattern = options.enable_mem_pattern
    entries = {
        'intra_op.allow_spinning': str(int(options.intra_op_allow_spinning)),
        'force_spinning_stop': '1',  # at the end of a step
        **({'intra_op.spin_duration_us': str(options.intra_op_spin_duration_us)}
           if options.intra_op_spin_duration_us else {}),
        **({'dynamic_block_base': str(options.dynamic_block_base)}
           if options.dynamic_block_base else {}),
        **({'set_denormal_as_zero': '1'} if options.set_denormal_as_zero else {})}
    for name, value in entries.items():
        session.add_session_config_entry(f'session.{name}', value)
    return session


def threads_for(path: Path) -> int:
    """Return how many threads run a graph on the CPU unless the user says."""
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
