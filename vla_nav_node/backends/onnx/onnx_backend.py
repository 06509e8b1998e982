"""ONNX Runtime: runs policy.<precision>.onnx on the CPU or a CUDA GPU."""

from dataclasses import replace
import logging
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any, Callable, Optional, Tuple

import numpy as np

from .onnx_cuda import open_on_gpu
from .onnx_memory import check_providers
from .onnx_placement import NoProfile, Placement, refuse_elsewhere, refuse_untrue, run_once, take
from .onnx_session import (
    check_graph, CPU, CUDA, is_of_runtime, open_session, problem_of_run, TENSORRT)
from ..array_checks import StepShapes
from ..auto_device import settle
from ..background_import import import_in_background
from ..device_step import DeviceStep
from ..layer_profile import profile_prefix, write_onnx_profile
from ..options import BackendOptions, DEFAULTS
from ...bundle.bundle import Bundle, graph_name
from ...bundle.gpu_verdicts import DeviceChoice
from ...errors import BackendError, first_line
from ...types import BackendInfo, State

PROVIDERS = {'cpu': CPU, 'cuda': CUDA, 'tensorrt': TENSORRT}
LOG = logging.getLogger(__name__)


class OnnxBackend:
    """
    One session; on a GPU it works on fixed buffers, and the state stays there.

    On the CPU results are fresh arrays: IO binding measured no quicker there.
    """

    def __init__(self, bundle: Bundle, precision: str = 'fp32', device: str = 'auto',
                 quiet: Optional[Callable[[], None]] = None,
                 options: BackendOptions = DEFAULTS) -> None:
        """Open the bundle's graph of this precision and hold it against the manifest."""
        path = bundle.file(graph_name(precision))
        ort = import_in_background('onnxruntime', quiet)
        self._shapes = StepShapes(bundle)
        self._zero = bundle.zero_state()
        self._inputs = [f'{part}_in' for part in bundle.state_shapes]
        self._outputs = ['action', *(f'{part}_out' for part in bundle.state_shapes)]
        self._session: Any = None  # on the CPU
        self._step: Optional[DeviceStep] = None  # on a GPU
        profile = profile_prefix(options.profile_directory, f'onnx-{precision}')
        choice = DeviceChoice(device)
        if options.onnx_provider == 'auto' and CUDA in ort.get_available_providers():
            choice = settle(device, bundle, 'onnx', precision, ort)
        provider = _provider(choice.device, options.onnx_provider)
        try:
            if provider != CPU:
                self._step, self.info = open_on_gpu(
                    ort, bundle, path, precision, provider, options, quiet)
        except BackendError as error:
            if device == 'cuda' or options.onnx_provider != 'auto':
                raise
            LOG.info('onnx runs %s on the CPU, since no GPU can be used: %s', bundle.name, error)
        if self._step is None:
            self._session, info = _open_on_cpu(ort, bundle, path, precision)
            self.info = replace(info, note=choice.note)
            if profile:
                write_onnx_profile(ort, path, [CPU], profile)
            self._providers = self._session.get_providers()

    def infer(self, image: np.ndarray, state: State) -> Tuple[np.ndarray, State]:
        """Run one step: see interfaces.Backend; a GPU's state is fetched when it is looked at."""
        if self._session is None:
            return self._infer_on_gpu(image, state)
        self._shapes.check(image, state)
        try:
            action, *after = self._session.run(
                self._outputs, {'image': image, **dict(zip(self._inputs, state))})
        except Exception as error:
            if not is_of_runtime(error):
                raise
            raise problem_of_run(error) from error
        check_providers(self._session, self._providers)
        return action, tuple(after)

    def close(self) -> None:
        """Release the session; states of a GPU's that are alive come to the host."""
        step, self._session, self._step = self._step, None, None
        if step is not None:
            step.close()

    def _infer_on_gpu(self, image: np.ndarray, state: State) -> Tuple[np.ndarray, State]:
        if self._step is None:
            raise BackendError('the onnx backend is closed')
        self._shapes.check(image, state if not self._step.owns(state) else self._zero)
        return self._step.infer(image, state)


def _provider(device: str, asked: str) -> str:
    """Return the provider to try for a device that is settled, unless the provider is asked for."""
    if asked == 'auto':
        return CUDA if device == 'cuda' else CPU
    if (asked == 'cpu') != (device == 'cpu') and device != 'auto':
        raise BackendError(f'onnx_provider {asked} on device {device}', 'two that agree',
                           'set one of them to auto')
    return PROVIDERS[asked]


def _open_on_cpu(ort: ModuleType, bundle: Bundle, path: Path,
                 precision: str) -> Tuple[Any, BackendInfo]:
    """
    Open on the CPU, and prove in which types it works, unless a full disk leaves no room for it.

    It drives all the same then: nothing can run elsewhere, and verify has passed this very file.
    """
    session = None
    try:
        with TemporaryDirectory(prefix='vla_nav_') as scratch:
            session = open_session(ort, path, CPU, profile=Path(scratch) / 'proof')
            check_graph(session, bundle, path)
            run_once(session)
            layers = _layers(take(session), precision)
    except (OSError, NoProfile) as error:
        LOG.warning('in which types onnx runs %s cannot be told: %s', bundle.name, error)
        layers = f'not told: {first_line(error)}'
        if session is None:
            session = open_session(ort, path, CPU)
            check_graph(session, bundle, path)
    return session, BackendInfo('onnx', 'onnxruntime', ort.__version__, 'cpu',
                                session.get_providers()[0], precision, layers)


def _layers(placement: Placement, precision: str) -> str:
    refuse_elsewhere(placement, (CPU,))
    found = placement.precision()
    refuse_untrue(found, precision, on_cpu=True)
    return str(found)
