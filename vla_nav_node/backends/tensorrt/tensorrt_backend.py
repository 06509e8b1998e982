"""TensorRT: runs policy.<precision>.onnx as an engine that was built for this very GPU."""

import ctypes
import logging
from pathlib import Path
from typing import Any, Callable, Dict

from .engine_cache import cache_directory, Engine, EngineCache, EngineKey, NoEngine
from .engine_graph import GRAPH_VERSION
from .engine_layers import precision_problem, precisions_of, read_layers
from .engine_process import build_engine
from .tensorrt_library import (
    cuda_major, errors_since, import_tensorrt, log_of, logged_error, try_create)
from ..background_import import WaitForIdle
from ..cuda.cuda_driver import CudaDriver
from ..cuda.cuda_errors import check_driver, CODE
from ..cuda.cuda_memory import CudaMemory
from ..device_step import DeviceStep
from ..layer_profile import profile_prefix, write_tensorrt_profile
from ..options import BackendOptions, DEFAULTS
from ..step_backend import resolve_device, StepBackend
from ...bundle.bundle import Bundle
from ...bundle.gpu_verdicts import unverified_error
from ...bundle.verdicts import files_read
from ...errors import BackendError
from ...types import BackendInfo

LOG = logging.getLogger(__name__)
DTYPES = {'UINT8': 'uint8', 'FLOAT': 'float32'}


class TensorrtBackend(StepBackend):
    """One engine, one context, one CUDA graph; the state stays on the GPU."""

    def __init__(self, bundle: Bundle, precision: str = 'fp32', device: str = 'auto',
                 wait_for_idle: WaitForIdle = None, options: BackendOptions = DEFAULTS) -> None:
        """Open the engine of this precision; build it if there is none yet, or raise."""
        super().__init__('tensorrt', bundle)
        graph = graph_of(bundle, precision)
        if device == 'cpu':
            raise BackendError('backend tensorrt on device cpu', 'a GPU: device auto or cuda',
                               'set device to auto, or backend to onnx')
        trt = import_tensorrt(wait_for_idle)
        # Before TensorRT itself looks for a GPU: where CUDA does not start, the runtime of 8.6
        # ends the whole process with a segmentation fault.
        driver = CudaDriver()
        check_driver(driver.version, cuda_major())
        choice = resolve_device(device, bundle, 'tensorrt', precision, trt)
        if choice.device == 'cpu':
            raise unverified_error(choice)
        self._profile = profile_prefix(options.profile_directory, f'tensorrt-{precision}')
        self._trt, self._driver_cuda = trt, driver.version
        self._memory = CudaMemory(driver)
        self._runtime: Any = None
        self._engine: Any = None
        self._context: Any = None
        try:
            self._open(driver, bundle, graph, precision, options)
        except BaseException:
            self._context = self._engine = self._runtime = None
            (self._step or self._memory).close()
            raise

    def close(self) -> None:
        """Release the engine and the GPU's memory; states in use are copied to the host first."""
        super().close()
        self._context = self._engine = self._runtime = None

    def _open(self, driver: CudaDriver, bundle: Bundle, graph: Path, precision: str,
              options: BackendOptions) -> None:
        trt, gpu = self._trt, driver.gpu()
        key = EngineKey(
            model=bundle.manifest['files'][graph.name]['sha256'], tensorrt=trt.__version__,
            gpu=gpu.name, capability=gpu.capability, uuid=gpu.uuid, precision=precision,
            shapes=str((bundle.input.shape, bundle.state_shapes)), recipe=GRAPH_VERSION,
            builder_optimization_level=options.builder_optimization_level,
            max_aux_streams=options.max_aux_streams)
        engine = self._load_or_build(key, graph, bundle.name)
        _check_tensors(self._engine, bundle)
        layers = precisions_of(read_layers(
            self._engine.create_engine_inspector().get_engine_information(
                trt.LayerInformationFormat.JSON)))
        problem = precision_problem(layers, precision, engine.facts['products'])
        if problem:
            raise BackendError(f'the engine is not what its precision says: {problem}',
                               f'products in {precision}', 'use another precision')
        self._context = self._new_context()
        step = self._step = DeviceStep(self._memory, bundle.input.shape, bundle.state_shapes,
                                       self._bind)
        self.info = BackendInfo('tensorrt', 'tensorrt', trt.__version__, f'cuda ({gpu.name})',
                                step.mode, precision, str(layers))

    def _load_or_build(self, key: EngineKey, graph: Path, name: str) -> Engine:
        """Load the engine from the cache; build it if there is none that works."""
        cache, log = EngineCache(cache_directory()), log_of(self._trt)
        self._runtime = open_runtime(self._trt, self._driver_cuda)
        start = len(log.messages)
        try:
            engine = cache.load(key)
            self._engine = self._runtime.deserialize_cuda_engine(engine.plan)
            if self._engine is not None:
                return engine
            if any(map(CODE.search, errors_since(log, start))):  # the GPU fails, not the engine
                raise logged_error(log, start, 'TensorRT cannot load the engine',
                                   self._driver_cuda)
            cache.forget(key)
            reason = 'TensorRT does not load it'
        except NoEngine as error:
            reason = error.found
        LOG.info('no TensorRT engine of %s can be used: %s', name, reason)
        build_engine(graph, key, cache, name)
        engine = cache.load(key)
        self._engine = self._runtime.deserialize_cuda_engine(engine.plan)
        if self._engine is None:
            raise logged_error(log, start, 'TensorRT cannot load its own engine',
                               self._driver_cuda)
        return engine

    def _bind(self, addresses: Dict[str, int]) -> Callable[[], None]:
        if self._profile:
            # In a context of its own, so that the one that drives is not slowed down.
            context = self._new_context()
            write_tensorrt_profile(self._trt, context, self._bound(context, addresses),
                                   self._profile)
        return self._bound(self._context, addresses)

    def _new_context(self) -> Any:
        log = log_of(self._trt)
        start = len(log.messages)
        context = self._engine.create_execution_context()
        if context is None:
            raise logged_error(log, start, 'TensorRT cannot set up the engine', self._driver_cuda)
        return context

    def _bound(self, context: Any, addresses: Dict[str, int]) -> Callable[[], None]:
        """Tie a context's tensors to addresses; return what queues one run."""
        for name, address in addresses.items():
            if not context.set_tensor_address(name, address):
                raise BackendError(f'TensorRT does not take the address of {name}')
        run, stream = context.execute_async_v3, self._memory.stream

        def queue() -> None:
            if not run(stream):
                raise BackendError(f'TensorRT failed to run {context.engine.name}')
        return queue


def graph_of(bundle: Bundle, precision: str) -> Path:
    """Return the graph that an engine is built from, the one that verify judges."""
    name, = files_read(bundle, 'tensorrt', precision)
    return bundle.file(name)


def open_runtime(trt: Any, driver_cuda: int = 0) -> Any:
    """Start TensorRT's runtime; raise BackendError with the reason if CUDA does not start."""
    runtime, error = try_create(trt, trt.Runtime, 'TensorRT cannot start', driver_cuda)
    if error:
        # TensorRT 11 returns a runtime even then, and crashes when that is deleted, even at the
        # end of the process.
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(runtime))
        raise error
    return runtime


def _check_tensors(engine: Any, bundle: Bundle) -> None:
    """Raise BackendError unless the engine is the step that the manifest describes."""
    expected = {'image': ('uint8', bundle.input.shape), 'action': ('float32', (1, 2))}
    expected.update({f'{part}_{side}': ('float32', shape) for side in ('in', 'out')
                     for part, shape in bundle.state_shapes.items()})
    names = [engine.get_tensor_name(number) for number in range(engine.num_io_tensors)]
    types = {name: str(engine.get_tensor_dtype(name)).rpartition('.')[2] for name in names}
    found = {name: (DTYPES.get(types[name], types[name]), tuple(engine.get_tensor_shape(name)))
             for name in names}
    if found != expected:
        raise BackendError(f'the engine does not fit {bundle.name}: {found}', str(expected),
                           'export the bundle again')
