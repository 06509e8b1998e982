"""ONNX Runtime on a GPU, by its CUDA or its TensorRT provider: opened, recorded, checked."""

import hashlib
import logging
import os
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any, Callable, Dict, List, Optional, Tuple, TypeVar

from .onnx_libraries import driver_for
from .onnx_memory import RUNS, SessionMemory
from .onnx_placement import (
    check_placement, check_precision, open_profiled, Placement, read_placement)
from .onnx_session import check_graph, CUDA, Provider, provider_name, TENSORRT
from ..background_import import WaitForIdle
from ..cuda.cuda_errors import CudaError
from ..cuda.cuda_memory import CudaMemory
from ..device_step import DeviceMemory, DeviceStep
from ..layer_profile import profile_prefix, write_onnx_profile
from ..options import BackendOptions, DEFAULTS
from ..tensorrt.engine_cache import cache_directory
from ...bundle.bundle import Bundle
from ...errors import BackendError
from ...system.user_cache import own_directory
from ...types import BackendInfo

# Older versions hold the GIL while they open a session: 0.3 s of 0.6 for 270 MB, and minutes where
# that builds an engine. Measured with 1.23, 1.27, 1.28, 1.29, 1.30 and 1.31.
RELEASES_GIL_SINCE = (1, 31)
NO_TF32 = 'NVIDIA_TF32_OVERRIDE'  # environment variable of NVIDIA's libraries; 0: never
CAPTURE_FAILS = range(900, 909)  # cudaErrorStreamCapture...
LOG = logging.getLogger(__name__)
T = TypeVar('T')


def open_on_gpu(ort: ModuleType, bundle: Bundle, path: Path, precision: str, provider: str,
                options: BackendOptions,
                wait_for_idle: WaitForIdle) -> Tuple[DeviceStep, BackendInfo]:
    """Open a step graph on the GPU, or raise BackendError with the reason."""
    if provider == TENSORRT:
        _check_tensorrt(ort, precision, wait_for_idle)
    driver = driver_for(ort, provider, wait_for_idle)
    gpu, sha256 = driver.gpu().name, bundle.manifest['files'][path.name]['sha256']
    engines = engine_directory(ort, sha256, precision, options) if provider == TENSORRT else None
    profile = profile_prefix(options.profile_directory, f'onnx-{precision}')

    def open_with(cuda_graph: bool) -> Tuple[DeviceStep, Placement]:
        memory = CudaMemory(driver)
        providers = providers_for(precision, options, memory.stream, engines,
                                  cuda_graph and options.enable_cuda_graph)
        return open_step(ort, bundle, path, memory, 'cuda', providers, wait_for_idle, profile)

    (step, placement), problem = with_cuda_graph_if_possible(open_with)
    precisions = placement.precisions()
    try:
        check_precision(precisions, precision, on_cpu=False)
    except BackendError:
        step.close()
        raise
    mode = 'CUDA graph' if placement.runs < RUNS else f'no CUDA graph{problem}'
    return step, BackendInfo('onnx', 'onnxruntime', ort.__version__, f'cuda ({gpu})',
                             f'{provider}, {mode}', precision, str(precisions))


def with_cuda_graph_if_possible(open_with: Callable[[bool], T]) -> Tuple[T, str]:
    """
    Open with a CUDA graph, or without if something cannot be captured; return the reason too.

    Without is slower and otherwise the same. The first session, and its memory, stay until the
    process ends: see SessionMemory.close.
    """
    try:
        return open_with(True), ''
    except CudaError as error:
        if error.code not in CAPTURE_FAILS:
            raise
        LOG.warning('onnx runs without a CUDA graph: %s', error.found)
        return open_with(False), f', since none could be made: {error.found}'


def open_step(ort: ModuleType, bundle: Bundle, path: Path, memory: DeviceMemory, device: str,
              providers: List[Provider], wait_for_idle: WaitForIdle = None,
              profile: Optional[Path] = None) -> Tuple[DeviceStep, Placement]:
    """
    Open a session on providers, record its step, and check that all of it runs on them.

    The memory is closed with the step, or at once if opening fails.
    """
    allowed, close = [provider_name(provider) for provider in providers], memory.close
    try:
        with TemporaryDirectory(prefix='vla_nav_') as scratch:
            def open_session() -> Any:
                if profile:
                    write_onnx_profile(ort, path, providers, profile)
                return open_profiled(ort, path, providers, Path(scratch))

            bound = SessionMemory(ort, memory, device, open_session, wait_for_idle)
            close = bound.close
            first = bound.session.get_providers()[0]
            if first != allowed[0]:
                raise BackendError(f'onnxruntime could not start {allowed[0]} (its log says why), '
                                   f'and offers {first}', allowed[0], 'set device to cpu')
            check_graph(bound.session, bundle, path)
            step = DeviceStep(bound, bundle.input.shape, bundle.state_shapes, bound.bind)
            close = step.close
            placement = read_placement(bound.session)
        check_placement(placement, allowed)
    except BaseException:
        close()
        raise
    return step, placement


def providers_for(precision: str, options: BackendOptions, stream: int,
                  engines: Optional[Path], cuda_graph: bool = True) -> List[Provider]:
    """
    Return the providers in order of preference, with their options.

    With a directory for its `engines`, TensorRT's, then CUDA's for the nodes that it does not
    take. CUDA's graph is for whole steps, and so not available beside TensorRT's provider.
    """
    cuda: Provider = (CUDA, cuda_options(options, stream, cuda_graph and engines is None))
    if engines is None:
        return [cuda]
    return [(TENSORRT, tensorrt_options(precision, options, stream, engines)), cuda]


def cuda_options(options: BackendOptions, stream: int, cuda_graph: bool) -> Dict[str, str]:
    """
    Return the options of the CUDA provider.

    Copies are always in the stream of the kernels (do_copy_in_default_stream): a stream of their
    own is a race, according to ONNX Runtime's documentation. fp32 is fp32 without
    `use_tf32`.
    """
    limit = {'gpu_mem_limit': str(options.gpu_mem_limit_mb * 1_000_000)} \
        if options.gpu_mem_limit_mb else {}
    return {
        'device_id': '0', 'user_compute_stream': str(stream),
        'enable_cuda_graph': str(int(cuda_graph)), 'use_tf32': str(int(options.use_tf32)),
        'prefer_nhwc': str(int(options.prefer_nhwc)),
        'do_copy_in_default_stream': '1',
        'cudnn_conv_algo_search': options.cudnn_conv_algo_search,
        'cudnn_conv_use_max_workspace': str(int(options.cudnn_conv_use_max_workspace)),
        'arena_extend_strategy': options.arena_extend_strategy, **limit}


def tensorrt_options(precision: str, options: BackendOptions, stream: int,
                     directory: Path) -> Dict[str, str]:
    """Return the options of the TensorRT provider; its fp16 flag would narrow an fp32 graph."""
    return {
        'device_id': '0', 'user_compute_stream': str(stream),
        'trt_fp16_enable': str(int(precision == 'fp16')),
        'trt_builder_optimization_level': str(options.builder_optimization_level),
        'trt_auxiliary_streams': str(options.max_aux_streams),
        'trt_engine_cache_enable': '1', 'trt_engine_cache_path': str(directory),
        'trt_timing_cache_enable': '1', 'trt_timing_cache_path': str(directory)}


def engine_directory(ort: ModuleType, sha256: str, precision: str,
                     options: BackendOptions = DEFAULTS) -> Path:
    """
    Return the user's own directory for the engines of one graph; create it if need be.

    The provider names its engines by the graph's structure, not by its weights, and trusts what
    it finds there. So each graph, by its SHA-256, has a directory that no other user can write.
    """
    key = hashlib.sha256(' '.join((
        sha256, ort.__version__, precision, os.environ.get(NO_TF32, ''),
        f'{options.builder_optimization_level} {options.max_aux_streams}')).encode())
    return own_directory(cache_directory() / f'onnxruntime_{key.hexdigest()[:32]}')


def _check_tensorrt(ort: ModuleType, precision: str, wait_for_idle: WaitForIdle) -> None:
    if precision == 'fp32' and os.environ.get(NO_TF32) != '0':
        raise BackendError(
            "ONNX Runtime's TensorRT provider multiplies fp32 in TF32 (10 bits), and has no "
            'option against it', 'products in fp32', f'start with {NO_TF32}=0 in the '
            'environment, or set precision to fp16, or backend to tensorrt')
    version = tuple(map(int, ort.__version__.split('.')[:2]))
    if wait_for_idle is not None and version < RELEASES_GIL_SINCE:
        raise BackendError(
            f'onnxruntime {ort.__version__} would stop the robot while it builds an engine, since '
            "it holds Python's lock", 'onnxruntime-gpu 1.31 or newer, or a node that starts on '
            'it', 'start the node with onnx_provider tensorrt, or set backend to tensorrt')
