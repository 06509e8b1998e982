"""DeviceMemory on an NVIDIA GPU: pinned host memory, one stream, one CUDA graph."""

import ctypes
from ctypes import c_void_p
import logging
from typing import Any, Callable, List, Optional, Tuple

import numpy as np

from .cuda_driver import Address, CudaDriver
from .gpu_problem import CudaError

NON_BLOCKING = 1  # CU_STREAM_NON_BLOCKING: no order with the default stream of other libraries
# CU_STREAM_CAPTURE_MODE_THREAD_LOCAL: another backend's thread may allocate meanwhile.
THREAD_LOCAL = 1
LOG = logging.getLogger(__name__)


class CudaMemory:
    """Memory of the first GPU, in the context that CUDA's runtime (and so TensorRT) uses too."""

    mode = 'CUDA graph'

    def __init__(self, driver: CudaDriver) -> None:
        """Take the GPU's primary context, and make a stream."""
        self._driver = driver
        self._context, self._stream, self._graph = c_void_p(), c_void_p(), c_void_p()
        self._pinned: List[c_void_p] = []
        self._addresses: List[int] = []
        driver.call('cuDevicePrimaryCtxRetain', ctypes.byref(self._context), driver.device)
        try:
            self.enter()
            driver.call('cuStreamCreate', ctypes.byref(self._stream), NON_BLOCKING)
        except CudaError:
            driver.call('cuDevicePrimaryCtxRelease_v2', driver.device)
            raise

    @property
    def stream(self) -> int:
        """Return the stream's handle, as TensorRT takes it."""
        return self._stream.value or 0

    def host(self, size: int) -> np.ndarray:
        """Return pinned memory: see DeviceMemory.host."""
        place = c_void_p()
        self._driver.call('cuMemHostAlloc', ctypes.byref(place), size, 0)
        self._pinned.append(place)
        return np.ctypeslib.as_array((ctypes.c_ubyte * size).from_address(place.value or 0))

    def device(self, size: int) -> int:
        """Return memory of the GPU; the driver aligns it to 256 bytes or more."""
        address = Address()
        self._driver.call('cuMemAlloc_v2', ctypes.byref(address), size)
        self._addresses.append(address.value)
        return address.value

    def upload(self, target: int, source: np.ndarray) -> None:
        """Queue a copy: see DeviceMemory.upload."""
        self._driver.call('cuMemcpyHtoDAsync_v2', target, source.ctypes.data, source.nbytes,
                          self._stream)

    def download(self, target: np.ndarray, source: int) -> None:
        """Queue a copy: see DeviceMemory.download."""
        self._driver.call('cuMemcpyDtoHAsync_v2', target.ctypes.data, source, target.nbytes,
                          self._stream)

    def copy(self, target: int, source: int, size: int) -> None:
        """Queue a copy: see DeviceMemory.copy."""
        self._driver.call('cuMemcpyDtoDAsync_v2', target, source, size, self._stream)

    def record(self, work: Callable[[], None]) -> Callable[[], None]:
        """
        Capture `work` as a CUDA graph; once only.

        Where something in it cannot be captured it goes on being queued call by call, which is
        slower and otherwise the same, and `mode` says so.
        """
        work()  # kernels are loaded and chosen on the first run, which no capture allows
        self.wait()
        try:
            self._graph = self._capture(work)
        except CudaError as error:
            self.mode = f'stream, since no CUDA graph could be made: {error.found}'
            return work
        launch = self._driver.call
        return lambda: launch('cuGraphLaunch', self._graph, self._stream)

    def enter(self) -> None:
        """Make the context this thread's."""
        self._driver.call('cuCtxSetCurrent', self._context)

    def wait(self) -> None:
        """Wait for the stream."""
        self._driver.call('cuStreamSynchronize', self._stream)

    def close(self) -> None:
        """
        Release everything; the arrays of `host` are not to be touched again.

        A GPU that is lost refuses to; that is told, and keeps nobody from going on without it.
        """
        graph = [('cuGraphExecDestroy', self._graph)] if self._graph.value else []
        problems = [str(problem) for problem in map(self._try, (
            *graph, *(('cuMemFree_v2', address) for address in self._addresses),
            *(('cuMemFreeHost', place) for place in self._pinned),
            ('cuStreamDestroy_v2', self._stream),
            ('cuDevicePrimaryCtxRelease_v2', self._driver.device))) if problem]
        if problems:
            LOG.warning('the memory of the GPU could not be released: %s', problems[0])

    def _try(self, call: Tuple[str, Any]) -> Optional[CudaError]:
        try:
            self._driver.call(*call)
        except CudaError as error:
            return error
        return None

    def _capture(self, work: Callable[[], None]) -> c_void_p:
        graph, runnable = c_void_p(), c_void_p()
        call = self._driver.call
        call('cuStreamBeginCapture_v2', self._stream, THREAD_LOCAL)
        try:
            work()
        finally:  # or the stream would stay in the state of being captured
            call('cuStreamEndCapture', self._stream, ctypes.byref(graph))
        try:
            call('cuGraphInstantiateWithFlags', ctypes.byref(runnable), graph, 0)
        finally:
            call('cuGraphDestroy', graph)
        return runnable
