"""Memory of an NVIDIA GPU: pinned host memory, one stream, one CUDA graph."""

import ctypes
from ctypes import c_void_p
import logging
from typing import Any, Callable, List, Tuple

import numpy as np

from .cuda_driver import Address, CudaDriver
from .cuda_errors import CudaError

NON_BLOCKING = 1  # CU_STREAM_NON_BLOCKING: no order with the default stream of other libraries
# CU_STREAM_CAPTURE_MODE_THREAD_LOCAL: another backend's thread may allocate meanwhile.
THREAD_LOCAL = 1
LOG = logging.getLogger(__name__)


class CudaMemory:
    """
    A DeviceMemory: the first GPU's, in its primary context.

    CUDA's runtime, and so TensorRT, uses the same context.
    """

    mode = 'CUDA graph'

    def __init__(self, driver: CudaDriver) -> None:
        """Retain the GPU's primary context, and create a stream."""
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
        """Return the handle of the stream."""
        return self._stream.value or 0

    def host(self, size: int) -> np.ndarray:
        place = c_void_p()
        self._driver.call('cuMemHostAlloc', ctypes.byref(place), size, 0)
        self._pinned.append(place)
        return np.ctypeslib.as_array((ctypes.c_ubyte * size).from_address(place.value or 0))

    def device(self, size: int) -> int:
        # The driver aligns it to 256 bytes or more.
        address = Address()
        self._driver.call('cuMemAlloc_v2', ctypes.byref(address), size)
        self._addresses.append(address.value)
        return address.value

    def upload(self, target: int, source: np.ndarray) -> None:
        self._driver.call('cuMemcpyHtoDAsync_v2', target, source.ctypes.data, source.nbytes,
                          self._stream)

    def download(self, target: np.ndarray, source: int) -> None:
        self._driver.call('cuMemcpyDtoHAsync_v2', target.ctypes.data, source, target.nbytes,
                          self._stream)

    def copy(self, target: int, source: int, size: int) -> None:
        self._driver.call('cuMemcpyDtoDAsync_v2', target, source, size, self._stream)

    def record(self, work: Callable[[], None]) -> Callable[[], None]:
        """
        Capture `work` as a CUDA graph; once only.

        If something in it cannot be captured, it is queued call by call: slower, the same
        results, and `mode` says so.
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
        self._driver.call('cuCtxSetCurrent', self._context)

    def wait(self) -> None:
        self._driver.call('cuStreamSynchronize', self._stream)

    def close(self) -> None:
        """
        Release everything; the arrays of `host` must not be used any more.

        A lost GPU refuses each call; that is logged, so that the caller can go on without it.
        """
        calls: List[Tuple[str, Any]] = [
            *(('cuMemFree_v2', address) for address in self._addresses),
            *(('cuMemFreeHost', place) for place in self._pinned),
            ('cuStreamDestroy_v2', self._stream),
            ('cuDevicePrimaryCtxRelease_v2', self._driver.device)]
        if self._graph.value:
            calls.insert(0, ('cuGraphExecDestroy', self._graph))
        problems = []
        for call in calls:
            try:
                self._driver.call(*call)
            except CudaError as error:
                problems.append(error)
        if problems:
            LOG.warning('the memory of the GPU could not be released: %s', problems[0])

    def _capture(self, work: Callable[[], None]) -> c_void_p:
        graph, runnable = c_void_p(), c_void_p()
        call = self._driver.call
        call('cuStreamBeginCapture_v2', self._stream, THREAD_LOCAL)
        try:
            work()
        finally:  # or the stream would stay in capture mode
            call('cuStreamEndCapture', self._stream, ctypes.byref(graph))
        try:
            call('cuGraphInstantiateWithFlags', ctypes.byref(runnable), graph, 0)
        finally:
            call('cuGraphDestroy', graph)
        return runnable
