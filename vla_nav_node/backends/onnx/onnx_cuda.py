"""ONNX Runtime on a GPU, by its CUDA or its TensorRT provider: opened, recorded, proven."""

import hashlib
import logging
import os
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any, Callable, Dict, List, Optional, Tuple, TypeVar

from .onnx_memory import RUNS, SessionMemory
from .onnx_missing import driver_for
from .onnx_placement import name_of, open_proven, Placement, refuse_elsewhere, refuse_untrue, take
from .onnx_session import check_graph, CUDA, Provider, TENSORRT
from ..cuda.cuda_memory import CudaMemory
from ..cuda.gpu_problem import CudaError
from ..device_step import DeviceMemory, DeviceStep
from ..layer_profile import profile_prefix, write_onnx_profile
from ..options import BackendOptions
from ..tensorrt.engine_cache import cache_directory
from ...bundle.bundle import Bundle
from ...errors import BackendError
from ...system.user_cache import own_directory
from ...types import BackendInfo

# Up to 1.30 it keeps Python's lock while a session is opened: 0.3 s of 0.6 for 270 MB, and
# minutes where that builds an engine. Measured with 1.23, 1.27, 1.28, 1.29, 1.30 and 1.31.
GIVES_THE_LOCK_UP = (1, 31)
NO_TF32 = 'NVIDIA_TF32_OVERRIDE'  # environment variable of NVIDIA's libraries; 0: never

CAPTURE_FAILS = range(900, 909)  # cudaErrorStreamCapture...
LOG = logging.getLogger(__name__)
T = TypeVar('T')
Opened = Tuple[DeviceStep, BackendInfo]


def open_on_gpu(ort: ModuleType, bundle: Bundle, path: Path, precision: str, provider: str,
                options: BackendOptions, quiet: Optional[Callable[[], None]]) -> Opened:
    """Open a step graph on the GPU, or raise BackendError with what is in the way."""
    if provider == TENSORRT:
        _check_tensorrt(ort, precision, quiet)
    driver = driver_for(ort, provider, quiet)
    gpu, graph = driver.gpu().name, bundle.manifest['files'][path.name]['sha256']
    engines = engine_directory(ort, graph, precision) if provider == TENSORRT else None
    profile = profile_prefix(options.profile_directory, f'onnx-{precision}')

    def opened(graph: bool) -> Tuple[DeviceStep, Placement]:
        memory = CudaMemory(driver)
        providers = providers_for(precision, options, memory.stream, engines, graph)
        return open_step(ort, bundle, path, memory, 'cuda', providers, quiet, profile)

    (step, placement), problem = with_or_without_graph(opened)
    layers = placement.precision()
    try:
        refuse_untrue(layers, precision, on_cpu=False)
    except BackendError:
        step.close()
        raise
    graph_of = 'CUDA graph' if placement.runs < RUNS else f'no CUDA graph{problem}'
    return step, BackendInfo('onnx', 'onnxruntime', ort.__version__, f'cuda ({gpu})',
                             f'{provider}, {graph_of}', precision, str(layers))


def with_or_without_graph(opened: Callable[[bool], T]) -> Tuple[T, str]:
    """
    Open with a CUDA graph, or without where something cannot be captured; and give why.

    That is slower and otherwise the same. The first session, and its memory, stay until the
    process ends: see SessionMemory.close.
    """
    try:
        return opened(True), ''
    except CudaError as error:
        if error.code not in CAPTURE_FAILS:
            raise
        LOG.warning('onnx runs without a CUDA graph: %s', error.found)
        return opened(False), f', since none could be made: {error.found}'


def open_step(ort: ModuleType, bundle: Bundle, path: Path, memory: DeviceMemory, place: str,
              providers: List[Provider], quiet: Optional[Callable[[], None]] = None,
              profile: Optional[Path] = None) -> Tuple[DeviceStep, Placement]:
    """
    Open a session on providers, record its step, and show that all of it runs on them.

    The memory is closed with the step, or at once if that does not work.
    """
    def opening() -> Any:
        if profile:
            write_onnx_profile(ort, path, providers, profile)
        return open_proven(ort, path, providers, Path(scratch))

    allowed, closing = [name_of(provider) for provider in providers], memory.close
    try:
        with TemporaryDirectory(prefix='vla_nav_') as scratch:
            worked = SessionMemory(ort, memory, place, opening, quiet)
            closing = worked.close
            _check_first(worked.session, allowed)
            check_graph(worked.session, bundle, path)
            step = DeviceStep(worked, bundle.input.shape, bundle.state_shapes, worked.bind)
            closing = step.close
            placement = take(worked.session)
        refuse_elsewhere(placement, allowed)
    except BaseException:
        closing()
        raise
    return step, placement


def _check_first(session: Any, allowed: List[str]) -> None:
    found = session.get_providers()
    if found[0] != allowed[0]:
        raise BackendError(f'onnxruntime could not start {allowed[0]} (its log says why), and '
                           f'offers {found[0]}', allowed[0], 'set device to cpu')


def providers_for(precision: str, options: BackendOptions, stream: int,
                  engines: Optional[Path], graph: bool = True) -> List[Provider]:
    """
    Give the providers in order of preference, with their options.

    TensorRT's, if there is a directory for its `engines`, then CUDA's for what it does not take;
    the latter's CUDA graph is for whole steps, and so not to be had beside the former.
    """
    cuda: Provider = (CUDA, cuda_options(options, stream, graph and engines is None))
    if engines is None:
        return [cuda]
    return [(TENSORRT, tensorrt_options(precision, stream, engines)), cuda]


def cuda_options(options: BackendOptions, stream: int, graph: bool) -> Dict[str, str]:
    """
    Give the options of the CUDA provider.

    Its copies stay in the stream of the kernels (do_copy_in_default_stream): a stream of their
    own is a race, says ONNX Runtime's documentation, and so it is nothing to choose. fp32 is
    fp32, not TF32.
    """
    limit = {'gpu_mem_limit': str(options.gpu_mem_limit_mb * 1_000_000)} \
        if options.gpu_mem_limit_mb else {}
    return {
        'device_id': '0', 'user_compute_stream': str(stream),
        'enable_cuda_graph': str(int(graph)), 'use_tf32': '0', 'do_copy_in_default_stream': '1',
        'cudnn_conv_algo_search': options.cudnn_conv_algo_search,
        'cudnn_conv_use_max_workspace': str(int(options.cudnn_conv_use_max_workspace)),
        'arena_extend_strategy': options.arena_extend_strategy, **limit}


def tensorrt_options(precision: str, stream: int, directory: Path) -> Dict[str, str]:
    """
    Give the options of the TensorRT provider.

    Its flag for fp16 only lets a graph that is fp16 be computed so; an fp32 graph never gets it.
    """
    return {
        'device_id': '0', 'user_compute_stream': str(stream),
        'trt_fp16_enable': str(int(precision == 'fp16')),
        'trt_engine_cache_enable': '1', 'trt_engine_cache_path': str(directory),
        'trt_timing_cache_enable': '1', 'trt_timing_cache_path': str(directory)}


def engine_directory(ort: ModuleType, graph: str, precision: str) -> Path:
    """
    Give the user's own directory for the engines of one graph, made if need be.

    The provider names its engines by the graph's structure, not by its weights, and trusts what
    it finds: a directory for each SHA-256 of a `graph`, which nobody else may write, keeps them
    apart.
    """
    key = hashlib.sha256(' '.join((graph, ort.__version__, precision,
                                   os.environ.get(NO_TF32, ''))).encode())
    return own_directory(cache_directory() / f'onnxruntime_{key.hexdigest()[:32]}')


def _check_tensorrt(ort: ModuleType, precision: str,
                    quiet: Optional[Callable[[], None]]) -> None:
    if precision == 'fp32' and os.environ.get(NO_TF32) != '0':
        raise BackendError(
            "ONNX Runtime's TensorRT provider multiplies fp32 in TF32 (10 bits), and has no "
            'option against it', 'products in fp32', f'start with {NO_TF32}=0 in the '
            'environment, or set precision to fp16, or backend to tensorrt')
    version = tuple(map(int, ort.__version__.split('.')[:2]))
    if quiet is not None and version < GIVES_THE_LOCK_UP:
        raise BackendError(
            f'onnxruntime {ort.__version__} would stop the robot while it builds an engine, since '
            "it keeps Python's lock", 'onnxruntime-gpu 1.31 or newer, or a node that starts on it',
            'start the node with onnx_provider tensorrt, or set backend to tensorrt')
