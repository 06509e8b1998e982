"""
Profiles of the layers, taken from extra steps while a backend opens.

The session or context that drives is another one and stays as fast as without: a library that
goes on profiling costs half a step more, and the step that writes the file took 30 ms and more.
"""

from collections import defaultdict
import json
import logging
import os
from pathlib import Path
import time
from types import ModuleType
from typing import Any, Callable, Dict, List, Optional, Sequence

import numpy as np

from .onnx.onnx_session import open_session, Provider, run_on_zeros, without_cuda_graph
from ..errors import BackendError
from ..system.atomic_files import write_file

WARM_UP, STEPS = 10, 50
LOG = logging.getLogger(__name__)


def profile_prefix(directory: str, name: str) -> Optional[Path]:
    """Return how the path of a profile begins, None without a directory to write to."""
    if not directory:
        return None
    folder = Path(directory).expanduser()
    fix = 'set profile_directory to one, or to nothing'
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BackendError(f'no profile can be written to {folder}: {error.strerror}',
                           'a directory', fix) from None
    if not os.access(folder, os.W_OK):
        raise BackendError(f'no profile can be written to {folder}', 'a directory that is yours',
                           fix)
    return folder / name


def write_onnx_profile(ort: ModuleType, path: Path, providers: Sequence[Provider],
                       prefix: Path) -> None:
    """
    Have ONNX Runtime write a trace (Chrome's format) of a session opened for it.

    Without a CUDA graph, which has no nodes to time.
    """
    session = open_session(ort, path, *map(without_cuda_graph, providers), profile=prefix)
    for _ in range(WARM_UP + STEPS):
        run_on_zeros(session)
    written = Path(session.end_profiling())
    if not written.is_file():  # ONNX Runtime does not report this
        raise BackendError(f'ONNX Runtime wrote no {written}', 'room for some megabytes')
    LOG.info('the profile of %s is in %s', path.name, written)


def layer_times(trt: Any) -> Any:
    """Return a profiler for TensorRT; its `layers` has the times of each layer in ms by name."""
    class LayerTimes(trt.IProfiler):

        def __init__(self) -> None:
            trt.IProfiler.__init__(self)
            self.layers: Dict[str, List[float]] = defaultdict(list)

        def report_layer_time(self, layer_name: str, ms: float) -> None:
            self.layers[layer_name].append(ms)

    return LayerTimes()


def write_tensorrt_profile(trt: Any, context: Any, run: Callable[[], None], prefix: Path) -> None:
    """
    Write the time of each layer of an engine, measured by CUDA's events, as JSON.

    `run` queues a run of `context`, which waits for the GPU because it has a profiler.
    """
    for _ in range(WARM_UP):
        run()
    times = context.profiler = layer_times(trt)
    for _ in range(STEPS):
        run()
    if not times.layers:
        raise BackendError('TensorRT reports no times of its layers', fix='set profile_directory '
                           'to nothing, and report this')
    written = Path(f'{prefix}_{time.strftime("%Y-%m-%d_%H-%M-%S")}.json')
    try:
        write_file(written, json.dumps(summarise(times.layers), indent=1).encode())
    except OSError as error:
        raise BackendError(f'{written} cannot be written: {error.strerror}') from None
    LOG.info('the profile of the engine is in %s', written)


def summarise(layers: Dict[str, List[float]]) -> Dict[str, Any]:
    """Return mean, median and longest time of each layer in ms, and its share of the total."""
    total = sum(map(sum, layers.values())) or 1.0
    return {'unit': 'ms', 'layers': [
        {'name': name, 'steps': len(ms), 'mean': float(np.mean(ms)), 'p50': float(np.median(ms)),
         'max': max(ms), 'share': sum(ms) / total} for name, ms in layers.items()]}
