"""
Profiles of the layers, for the first steps of a backend; then it runs as if there were none.

`profile_directory` asks for them. Without it nothing of this is in a step's way.
"""

from collections import defaultdict
import json
import logging
import os
from pathlib import Path
import time
from typing import Any, Dict, List, Optional, Protocol, Tuple

import numpy as np

from ..atomic import write_file
from ..errors import BackendError
from ..interfaces import Backend, State

# Enough for a median, and few enough: the step that writes it takes that much longer. ONNX Runtime
# wrote 900 steps of a small policy in 117 ms (19 MB), and 200 in 95 on a busy machine.
STEPS = 50
LOG = logging.getLogger(__name__)


class LayerProfile(Protocol):
    """What a backend has of its library, to profile with."""

    def after_step(self) -> None:
        """Take down what the last step took."""

    def write(self) -> Path:
        """Write the profile, and end it."""


class Profiled:
    """A backend whose first STEPS steps are profiled; it drives on if that fails."""

    def __init__(self, backend: Backend, profile: LayerProfile) -> None:
        """Take both over."""
        self.info = backend.info
        self._backend = backend
        self._profile: Optional[LayerProfile] = profile  # until it is written
        self._left = STEPS

    def infer(self, image: np.ndarray, state: State) -> Tuple[np.ndarray, State]:
        """Run one step: see interfaces.Backend."""
        result = self._backend.infer(image, state)
        if self._profile is not None:
            self._take_down(self._profile)
        return result

    def close(self) -> None:
        """Write what there is, and release the backend."""
        if self._profile is not None:
            self._write(self._profile)
        self._backend.close()

    def _take_down(self, profile: LayerProfile) -> None:
        self._left -= 1
        try:
            profile.after_step()
        except BackendError as error:
            LOG.error('there will be no profile of %s: %s', self.info, error)
            self._profile = None
            return
        if not self._left:
            self._write(profile)

    def _write(self, profile: LayerProfile) -> None:
        self._profile = None
        try:
            path = profile.write()
        except (OSError, RuntimeError, BackendError) as error:
            LOG.error('the profile of %s is lost: %s', self.info, error)
        else:
            LOG.info('the profile of %s is in %s', self.info, path)


def profile_prefix(directory: str, name: str) -> Path:
    """Give what the file of a profile begins with, or raise BackendError."""
    folder = Path(directory).expanduser()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BackendError(f'no profile can be written to {folder}: {error.strerror}',
                           'a directory', 'set profile_directory to one, or to nothing') from None
    if not os.access(folder, os.W_OK):
        raise BackendError(f'no profile can be written to {folder}', 'a directory that is yours',
                           'set profile_directory to one, or to nothing')
    return folder / name


class OnnxProfile:
    """ONNX Runtime's own profile: a Chrome trace, which Perfetto shows too."""

    def __init__(self, session: Any) -> None:
        """Take a session that was opened with `profile_to`."""
        self._session = session

    def after_step(self) -> None:
        """Do nothing: the runtime takes down everything itself."""

    def write(self) -> Path:
        """Write the trace; ONNX Runtime does not tell when it cannot."""
        path = Path(self._session.end_profiling())
        if not path.is_file():
            raise BackendError(f'ONNX Runtime wrote no {path}')
        return path


def profile_to(options: Any, prefix: Path) -> None:
    """Have a session that is opened with these SessionOptions keep a profile."""
    options.enable_profiling = True
    options.profile_file_prefix = str(prefix)


class TensorrtProfile:
    """The time of each layer of an engine, measured on the GPU by CUDA's events."""

    def __init__(self, trt: Any, context: Any, prefix: Path) -> None:
        """Tie it to an execution context, before its step is captured as a CUDA graph."""
        class Times(trt.IProfiler):

            def __init__(self) -> None:
                trt.IProfiler.__init__(self)
                self.layers: Dict[str, List[float]] = defaultdict(list)  # ms

            def report_layer_time(self, layer_name: str, ms: float) -> None:
                self.layers[layer_name].append(ms)

        self._times, self._context, self._prefix = Times(), context, prefix
        # Or enqueueing would wait for the GPU, which no CUDA graph allows.
        context.enqueue_emits_profile = False
        context.profiler = self._times

    def after_step(self) -> None:
        """Take down the times of the step that was launched last; the GPU is done with it."""
        if not self._context.report_to_profiler():
            raise BackendError('TensorRT gives no times of its layers', '',
                               'set profile_directory to nothing')

    def write(self) -> Path:
        """Write the times of the layers, in their order, as JSON."""
        path = Path(f'{self._prefix}_{time.strftime("%Y-%m-%d_%H-%M-%S")}.json')
        write_file(path, json.dumps(summed_up(self._times.layers), indent=1).encode())
        return path


def summed_up(layers: Dict[str, List[float]]) -> Dict[str, Any]:
    """Give for each layer the mean, median and longest time in ms, and its share of all."""
    whole = sum(map(sum, layers.values())) or 1.0
    return {'unit': 'ms', 'layers': [
        {'name': name, 'steps': len(ms), 'mean': float(np.mean(ms)), 'p50': float(np.median(ms)),
         'max': max(ms), 'share': sum(ms) / whole} for name, ms in layers.items()]}
