"""ONNX Runtime: runs policy.<precision>.onnx on the CPU or a CUDA GPU."""

from dataclasses import replace
import logging
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any, Tuple

import numpy as np

from .onnx_cuda import open_on_gpu
from .onnx_placement import check_placement, check_precision, NoProfile, read_placement
from .onnx_session import (
    check_graph, check_providers, CPU, CUDA, open_session, run, run_on_zeros, TENSORRT)
from ..background_import import import_in_background, WaitForIdle
from ..huge_pages import in_huge_pages
from ..layer_profile import profile_prefix, write_onnx_profile
from ..options import BackendOptions, DEFAULTS
from ..step_backend import resolve_device, StepBackend
from ...bundle.bundle import Bundle, graph_name
from ...bundle.gpu_verdicts import DeviceChoice
from ...errors import BackendError, first_line
from ...types import BackendInfo, State

PROVIDERS = {'cpu': CPU, 'cuda': CUDA, 'tensorrt': TENSORRT}
LOG = logging.getLogger(__name__)


class OnnxBackend(StepBackend):
    """One session; on a GPU it works on fixed buffers, and the state stays there."""

    def __init__(self, bundle: Bundle, precision: str = 'fp32', device: str = 'auto',
                 wait_for_idle: WaitForIdle = None, options: BackendOptions = DEFAULTS) -> None:
        """Open the bundle's graph of this precision; raise BackendError if it does not fit."""
        super().__init__('onnx', bundle)
        path = bundle.file(graph_name(precision))
        ort = import_in_background('onnxruntime', wait_for_idle)
        profile = profile_prefix(options.profile_directory, f'onnx-{precision}')
        choice = DeviceChoice(device)
        if options.onnx_provider == 'auto' and CUDA in ort.get_available_providers():
            choice = resolve_device(device, bundle, 'onnx', precision, ort)
        provider = _provider(choice.device, options.onnx_provider)
        try:
            if provider != CPU:
                self._step, self.info = open_on_gpu(
                    ort, bundle, path, precision, provider, options, wait_for_idle)
                return
        except BackendError as error:
            if device == 'cuda' or options.onnx_provider != 'auto':
                raise
            LOG.info('onnx runs %s on the CPU, since no GPU can be used: %s', bundle.name, error)
        with in_huge_pages(options.huge_pages):
            session, info = _open_on_cpu(ort, bundle, path, precision, options)
        if profile:
            write_onnx_profile(ort, path, [CPU], profile)
        self._step, self.info = CpuStep(session, bundle), replace(info, note=choice.note)
        self.fit_cache(path)


class CpuStep:
    """A session on the CPU; its results are fresh arrays: IO binding measured no faster there."""

    def __init__(self, session: Any, bundle: Bundle) -> None:
        self.session: Any = session
        self._inputs = [f'{part}_in' for part in bundle.state_shapes]
        self._outputs = ['action', *(f'{part}_out' for part in bundle.state_shapes)]
        self._providers = session.get_providers()

    def owns(self, state: State) -> bool:
        return False

    def infer(self, image: np.ndarray, state: State) -> Tuple[np.ndarray, State]:
        action, *after = run(self.session, self._outputs,
                             {'image': image, **dict(zip(self._inputs, state))})
        check_providers(self.session, self._providers)
        return action, tuple(after)

    def close(self) -> None:
        self.session = None


def _provider(device: str, requested: str) -> str:
    """Return the provider for a resolved device; raise BackendError if they contradict."""
    if requested == 'auto':
        return CUDA if device == 'cuda' else CPU
    if (requested == 'cpu') != (device == 'cpu') and device != 'auto':
        raise BackendError(f'onnx_provider {requested} on device {device}', 'two that agree',
                           'set one of them to auto')
    return PROVIDERS[requested]


def _open_on_cpu(ort: ModuleType, bundle: Bundle, path: Path, precision: str,
                 options: BackendOptions) -> Tuple[Any, BackendInfo]:
    """
    Open on the CPU, and check in which types it works, unless a full disk allows no profile.

    It drives without that check: nothing can run elsewhere, and verify has passed this file.
    """
    session = None
    try:
        with TemporaryDirectory(prefix='vla_nav_') as scratch:
            session = open_session(ort, path, CPU, profile=Path(scratch) / 'proof',
                                   options=options)
            check_graph(session, bundle, path)
            run_on_zeros(session)
            placement = read_placement(session)
            check_placement(placement, (CPU,))
            precisions = placement.precisions()
            check_precision(precisions, precision, on_cpu=True)
            layers = str(precisions)
    except (OSError, NoProfile) as error:
        LOG.warning('in which types onnx runs %s is unknown: %s', bundle.name, error)
        layers = f'unknown: {first_line(error)}'
        if session is None:
            session = open_session(ort, path, CPU, options=options)
            check_graph(session, bundle, path)
    return session, BackendInfo('onnx', 'onnxruntime', ort.__version__, 'cpu',
                                session.get_providers()[0], precision, layers)
