"""ONNX Runtime: runs policy.<precision>.onnx on the CPU or a CUDA GPU."""

import os
from pathlib import Path
from types import ModuleType
from typing import Any, Callable, Dict, List, Optional, Tuple

import numpy as np

from .gentle_import import import_gently
from .layer_profile import LayerProfile, OnnxProfile, profile_prefix, profile_to
from .options import BackendOptions, DEFAULTS
from .steps import StepShapes
from ..bundle import Bundle, graph_name
from ..errors import BackendError, first_line
from ..interfaces import BackendInfo, State

CPU, CUDA = 'CPUExecutionProvider', 'CUDAExecutionProvider'
TYPES = {'tensor(uint8)': 'uint8', 'tensor(float)': 'float32'}
# A network of 3.3 MB on two busy cores, p50 / p99 / max in ms: one thread 0.29 / 4.4 / 4.6, two
# 0.33 / 5.4 / 9.0, two spinning 0.30 / 8.6 / 20. More threads help only where there is more to do.
LARGE_BYTES = 8 << 20
MOST_THREADS = 4


class OnnxBackend:
    """One session; results are fresh arrays (on the CPU, IO binding measured no quicker)."""

    def __init__(self, bundle: Bundle, precision: str = 'fp32', device: str = 'auto',
                 quiet: Optional[Callable[[], None]] = None,
                 options: BackendOptions = DEFAULTS) -> None:
        """Open the bundle's graph of this precision and hold it against the manifest."""
        path = bundle.file(graph_name(precision))
        ort = import_gently('onnxruntime', quiet)
        directory = options.profile_directory
        prefix = profile_prefix(directory, f'onnx-{precision}') if directory else None
        self._session: Any = _open(ort, path, device, prefix)
        self.profile: Optional[LayerProfile] = OnnxProfile(self._session) if prefix else None
        _check_graph(self._session, bundle, path)
        self._shapes = StepShapes(bundle)
        self._inputs = [f'{part}_in' for part in bundle.state_shapes]
        self._outputs = ['action', *(f'{part}_out' for part in bundle.state_shapes)]
        provider = self._session.get_providers()[0]
        self.info = BackendInfo(
            'onnx', 'onnxruntime', ort.__version__, 'cuda' if provider == CUDA else 'cpu',
            provider, precision)

    def infer(self, image: np.ndarray, state: State) -> Tuple[np.ndarray, State]:
        """Run one step: see interfaces.Backend."""
        if self._session is None:
            raise BackendError('the onnx backend is closed')
        self._shapes.check(image, state)
        try:
            action, *after = self._session.run(
                self._outputs, {'image': image, **dict(zip(self._inputs, state))})
        except Exception as error:
            # The runtime's classes share no base of their own, but all are of its C++ module.
            if not _is_of_runtime(error):
                raise
            raise BackendError(f'ONNX Runtime failed: {first_line(error)}') from error
        return action, tuple(after)

    def close(self) -> None:
        """Release the session."""
        self._session = self.profile = None


def _open(ort: ModuleType, path: Path, device: str, profile: Optional[Path]) -> Any:
    """Open on what was asked; `auto` is CUDA where it really opens, else the CPU."""
    if device == 'cpu' or (device == 'auto' and CUDA not in ort.get_available_providers()):
        return open_session(ort, path, CPU, profile)
    try:
        return _open_cuda(ort, path, profile)
    except BackendError:
        if device == 'cuda':
            raise
        return open_session(ort, path, CPU, profile)  # and `info` tells so


def _open_cuda(ort: ModuleType, path: Path, profile: Optional[Path]) -> Any:
    built = ort.get_available_providers()
    if CUDA not in built:
        raise BackendError(
            'this onnxruntime is built without CUDA (it has ' + ', '.join(built) + ')', CUDA,
            'pip uninstall onnxruntime, then pip install onnxruntime-gpu; or set device to cpu')
    if hasattr(ort, 'preload_dlls'):
        ort.preload_dlls()  # finds the CUDA and cuDNN that came as Python packages
    session = open_session(ort, path, CUDA, profile)
    if session.get_providers()[0] != CUDA:
        raise BackendError(
            'onnxruntime has CUDA built in but could not start it (its log says why), '
            f'and offers {session.get_providers()[0]}', CUDA,
            'a GPU that the driver shows, and the CUDA and cuDNN this onnxruntime was built for; '
            'or set device to cpu')
    return session


def open_session(ort: ModuleType, path: Path, provider: str,
                 profile: Optional[Path] = None) -> Any:
    """Open a graph with the settings that drive, or raise BackendError."""
    options = _options(ort, path)
    if profile:
        profile_to(options, profile)
    try:
        session = ort.InferenceSession(str(path), options, providers=[provider])
    except Exception as error:
        if not _is_of_runtime(error):
            raise
        raise BackendError(f'ONNX Runtime cannot open {path.name}: {first_line(error)}',
                           'a graph that this version reads',
                           'export the bundle again, or use a newer onnxruntime') from error
    session.disable_fallback()  # or run() might move to the CPU in mid-drive without a word
    return session


def _options(ort: ModuleType, path: Path) -> Any:
    options = ort.SessionOptions()
    options.intra_op_num_threads = _threads(path)
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.log_severity_level = 3  # errors
    options.add_session_config_entry('session.intra_op.allow_spinning', '0')
    return options


def _threads(path: Path) -> int:
    if path.stat().st_size < LARGE_BYTES:
        return 1
    return min(MOST_THREADS, len(os.sched_getaffinity(0)))  # what a container leaves us


def _check_graph(session: Any, bundle: Bundle, path: Path) -> None:
    """Raise BackendError unless the graph is the step that the manifest describes."""
    states = bundle.state_shapes
    expected = {
        'inputs': {'image': ('uint8', bundle.input.shape),
                   **{f'{part}_in': ('float32', shape) for part, shape in states.items()}},
        'outputs': {'action': ('float32', (1, 2)),
                    **{f'{part}_out': ('float32', shape) for part, shape in states.items()}}}
    found = {'inputs': _described(session.get_inputs()),
             'outputs': _described(session.get_outputs())}
    problems: List[str] = [
        f'{side} {_told(found[side])} instead of {_told(expected[side])}'
        for side in expected if found[side] != expected[side]]
    if problems:
        raise BackendError(f'{path.name} does not fit {bundle.name}: ' + '; '.join(problems),
                           'the step graph of the policy in policy.yaml', 'export it again')


def _described(nodes: List[Any]) -> Dict[str, Any]:
    return {node.name: (TYPES.get(node.type, node.type), tuple(node.shape)) for node in nodes}


def _told(arrays: Dict[str, Any]) -> str:
    return ', '.join(f'{name} {dtype} {list(shape)}' for name, (dtype, shape) in arrays.items())


def _is_of_runtime(error: Exception) -> bool:
    return (type(error).__module__.startswith('onnxruntime')
            or isinstance(error, (RuntimeError, ValueError)))
