"""TensorRT: runs policy.<precision>.onnx as an engine that was built for this very GPU."""

import ctypes
import logging
from pathlib import Path
from typing import Any, Callable, Dict, Optional, Tuple

import numpy as np

from .engine_cache import cache_directory, Engine, EngineCache, EngineKey, NoEngine
from .engine_graph import RECIPE
from .engine_layers import precision_of, problem_of, read_layers
from .engine_process import build_engine
from .tensorrt_library import built_for, failure, library, log_of, trouble_since, try_start
from ..array_checks import StepShapes
from ..auto_device import settle
from ..cuda.cuda_driver import CudaDriver
from ..cuda.cuda_memory import CudaMemory
from ..cuda.gpu_problem import CODE, gpu_problem, INSUFFICIENT, OLDEST_CUDA
from ..device_step import DeviceStep
from ..layer_profile import profile_prefix, write_tensorrt_profile
from ..options import BackendOptions, DEFAULTS
from ...bundle.bundle import Bundle
from ...bundle.gpu_verdicts import unverified_error
from ...bundle.verdicts import files_read
from ...errors import BackendError
from ...types import BackendInfo, State

LOG = logging.getLogger(__name__)
TYPES = {'UINT8': 'uint8', 'FLOAT': 'float32'}


class TensorrtBackend:
    """One engine, one context, one CUDA graph; the state stays on the GPU."""

    def __init__(self, bundle: Bundle, precision: str = 'fp32', device: str = 'auto',
                 quiet: Optional[Callable[[], None]] = None,
                 options: BackendOptions = DEFAULTS) -> None:
        """Open the engine of this precision, after building it if there is none yet."""
        graph = graph_of(bundle, precision)
        if device == 'cpu':
            raise BackendError('backend tensorrt on device cpu', 'a GPU: device auto or cuda',
                               'set device to auto, or backend to onnx')
        trt = library(quiet)
        # Before TensorRT itself looks for a GPU: where CUDA does not start, the runtime of 8.6
        # ends the whole process with a segmentation fault.
        driver = CudaDriver()
        _check_version(driver)
        choice = settle(device, bundle, 'tensorrt', precision, trt)
        if choice.device == 'cpu':
            raise unverified_error(choice)
        self._shapes = StepShapes(bundle)
        self._zero = bundle.zero_state()
        self._profile_to = profile_prefix(options.profile_directory, f'tensorrt-{precision}')
        self._trt, self._driver_cuda = trt, driver.version
        self._memory = CudaMemory(driver)
        self._step: Optional[DeviceStep] = None
        self._runtime: Any = None
        self._engine: Any = None
        self._context: Any = None
        try:
            self._open(trt, driver, bundle, graph, precision)
        except BaseException:
            self._context = self._engine = self._runtime = None
            (self._step or self._memory).close()
            raise

    def infer(self, image: np.ndarray, state: State) -> Tuple[np.ndarray, State]:
        """Run one step: see interfaces.Backend; the state is fetched when it is looked at."""
        if self._step is None:
            raise BackendError('the tensorrt backend is closed')
        self._shapes.check(image, state if not self._step.owns(state) else self._zero)
        return self._step.infer(image, state)

    def close(self) -> None:
        """Release the engine and the GPU's memory; states that are alive come to the host."""
        step, self._step = self._step, None
        if step is not None:
            step.close()
            self._context = self._engine = self._runtime = None

    def _open(self, trt: Any, driver: CudaDriver, bundle: Bundle, graph: Path,
              precision: str) -> None:
        gpu = driver.gpu()
        key = EngineKey(
            model=bundle.manifest['files'][graph.name]['sha256'], tensorrt=trt.__version__,
            gpu=gpu.name, capability=gpu.capability, uuid=gpu.uuid, precision=precision,
            shapes=str((bundle.input.shape, bundle.state_shapes)), recipe=RECIPE)
        engine = self._deserialise(trt, driver, key, graph, bundle.name)
        _check_tensors(trt, self._engine, bundle)
        inspector = self._engine.create_engine_inspector()
        layers = precision_of(read_layers(
            inspector.get_engine_information(trt.LayerInformationFormat.JSON)))
        problem = problem_of(layers, precision, engine.facts['products'])
        if problem:
            raise BackendError(f'the engine is not what its precision says: {problem}',
                               f'products in {precision}', 'use another precision')
        self._context = self._new_context()
        self._step = DeviceStep(self._memory, bundle.input.shape, bundle.state_shapes, self._bind)
        self.info = BackendInfo('tensorrt', 'tensorrt', trt.__version__, f'cuda ({gpu.name})',
                                self._step.mode, precision, str(layers))

    def _deserialise(self, trt: Any, driver: CudaDriver, key: EngineKey, graph: Path,
                     name: str) -> Engine:
        """Load the engine from the cache; build it if there is none that works."""
        cache, log = EngineCache(cache_directory()), log_of(trt)
        self._runtime = open_runtime(trt, driver.version)
        since = len(log.said)
        try:
            engine = cache.load(key)
            self._engine = self._runtime.deserialize_cuda_engine(engine.plan)
            if self._engine is not None:
                return engine
            if any(map(CODE.search, trouble_since(log, since))):  # it is the GPU, not the engine
                raise failure(log, since, 'TensorRT cannot load the engine', driver.version)
            cache.forget(key)
            reason = 'TensorRT does not load it'
        except NoEngine as error:
            reason = error.found
        LOG.info('no TensorRT engine of %s can be used: %s', name, reason)
        build_engine(graph, key, cache, name)
        engine = cache.load(key)
        self._engine = self._runtime.deserialize_cuda_engine(engine.plan)
        if self._engine is None:
            raise failure(log, since, 'TensorRT cannot load its own engine', driver.version)
        return engine

    def _bind(self, addresses: Dict[str, int]) -> Callable[[], None]:
        if self._profile_to:
            # In a context of its own, so that what drives is not slowed.
            context = self._new_context()
            write_tensorrt_profile(self._trt, context, self._run_of(context, addresses),
                                   self._profile_to)
        return self._run_of(self._context, addresses)

    def _new_context(self) -> Any:
        log = log_of(self._trt)
        since = len(log.said)
        context = self._engine.create_execution_context()
        if context is None:
            raise failure(log, since, 'TensorRT cannot set up the engine', self._driver_cuda)
        return context

    def _run_of(self, context: Any, addresses: Dict[str, int]) -> Callable[[], None]:
        for name, address in addresses.items():
            if not context.set_tensor_address(name, address):
                raise BackendError(f'TensorRT does not take the address of {name}')
        run, stream = context.execute_async_v3, self._memory.stream

        def queue() -> None:
            if not run(stream):
                raise BackendError(f'TensorRT failed to run {context.engine.name}')
        return queue


def graph_of(bundle: Bundle, precision: str) -> Path:
    """Return the graph to build from, the one that a verdict of verify is about."""
    name, = files_read(bundle, 'tensorrt', precision)
    return bundle.file(name)


def open_runtime(trt: Any, driver_cuda: int = 0) -> Any:
    """Start TensorRT's runtime, or raise BackendError with the true reason."""
    runtime, wrong = try_start(trt, trt.Runtime, 'TensorRT cannot start', driver_cuda)
    if wrong:
        # TensorRT 11 gives one even where CUDA does not start, and crashes when that is deleted,
        # be it at the end of the process.
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(runtime))
        raise wrong
    return runtime


def _check_version(driver: CudaDriver) -> None:
    """Refuse a driver that is too old for this TensorRT, before TensorRT says error 35."""
    if driver.version < OLDEST_CUDA.get(built_for(), 0):
        raise gpu_problem(INSUFFICIENT, 'cuDriverGetVersion', driver.version, built_for())


def _check_tensors(trt: Any, engine: Any, bundle: Bundle) -> None:
    """Raise BackendError unless the engine is the step that the manifest describes."""
    states = bundle.state_shapes
    expected = {'image': ('uint8', bundle.input.shape), 'action': ('float32', (1, 2))}
    expected.update({f'{part}_{side}': ('float32', shape) for part, shape in states.items()
                     for side in ('in', 'out')})
    names = [engine.get_tensor_name(number) for number in range(engine.num_io_tensors)]
    types = {name: str(engine.get_tensor_dtype(name)).rpartition('.')[2] for name in names}
    found = {name: (TYPES.get(types[name], types[name]), tuple(engine.get_tensor_shape(name)))
             for name in names}
    if found != expected:
        raise BackendError(f'the engine does not fit {bundle.name}: {found}', str(expected),
                           'export the bundle again')
