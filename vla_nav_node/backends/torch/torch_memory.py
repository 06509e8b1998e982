"""DeviceMemory of torch: its allocator, its current stream, and its CUDA graph."""

from contextlib import suppress
from functools import wraps
from threading import Lock
from typing import Any, Callable, Dict, List, Tuple

import numpy as np

from .torch_device import failure
from ...errors import BackendError

# cuBLAS, cuDNN and TorchScript choose and load their kernels in the first runs, which no capture
# allows; TorchScript optimises by what it has seen in two.
WARM_UPS = 4
_one_capture = Lock()  # of the whole process, says torch


def told(call: Callable[..., Any]) -> Callable[..., Any]:
    """Turn torch's errors into BackendError."""
    @wraps(call)
    def checked(*arguments: Any) -> Any:
        try:
            return call(*arguments)
        except RuntimeError as error:  # torch.AcceleratorError, OutOfMemoryError and others are
            raise failure(error) from error
    return checked


class TorchMemory:
    """Memory of a torch device; work is queued on the calling thread's stream, call by call."""

    mode = 'eager'

    def __init__(self, torch: Any, device: Any) -> None:
        """Allocate nothing yet."""
        self._torch, self._device = torch, device
        self._blocks: Dict[int, Any] = {}  # uint8 tensors of both sides, by their address
        self._pieces: Dict[Tuple[int, int], Any] = {}
        self._kept: List[Any] = []

    def keep(self, needed: Any) -> None:
        """Hold on to what recorded work needs: a CUDA graph knows addresses, not tensors."""
        self._kept.append(needed)

    @told
    def host(self, size: int) -> np.ndarray:
        """Return pinned memory: see DeviceMemory.host."""
        block = self._torch.empty(size, dtype=self._torch.uint8,
                                  pin_memory=self._device.type == 'cuda')
        self._blocks[block.data_ptr()] = block
        return block.numpy()

    @told
    def device(self, size: int) -> int:
        """Return memory of the device; torch aligns it to 512 bytes on CUDA."""
        block = self._torch.empty(size, dtype=self._torch.uint8, device=self._device)
        self._blocks[block.data_ptr()] = block
        return block.data_ptr()

    def tensor(self, address: int, shape: Tuple[int, ...], dtype: Any) -> Any:
        """Return the tensor of a part of a block; it is that memory, not a copy."""
        size = int(np.prod(shape)) * dtype.itemsize
        return self._piece(address, size).view(dtype).view(shape)

    @told
    def upload(self, target: int, source: np.ndarray) -> None:
        """Queue a copy: see DeviceMemory.upload."""
        self.copy(target, _address(source), source.nbytes)

    @told
    def download(self, target: np.ndarray, source: int) -> None:
        """Queue a copy: see DeviceMemory.download."""
        self.copy(_address(target), source, target.nbytes)

    @told
    def copy(self, target: int, source: int, size: int) -> None:
        """Queue a copy, on the device or between it and pinned memory."""
        self._piece(target, size).copy_(self._piece(source, size), non_blocking=True)

    def record(self, work: Callable[[], None]) -> Callable[[], None]:
        """Do `work`, and give it back: nothing is recorded."""
        work()
        return work

    def enter(self) -> None:
        """Do nothing: every thread has a stream of torch."""

    @told
    def wait(self) -> None:
        """Wait for the calling thread's stream."""
        if self._device.type == 'cuda':
            self._torch.cuda.current_stream(self._device).synchronize()

    def close(self) -> None:
        """Return the memory back to torch, and what torch keeps for later to the device."""
        for held in (self._kept, self._pieces, self._blocks):
            held.clear()
        if self._device.type == 'cuda':
            with suppress(RuntimeError):  # of a device that is lost there is nothing to be had
                self._torch.cuda.empty_cache()

    def _piece(self, address: int, size: int) -> Any:
        if (address, size) not in self._pieces:
            start = max(begin for begin in self._blocks if begin <= address)
            offset = address - start
            self._pieces[address, size] = self._blocks[start][offset:offset + size]
        return self._pieces[address, size]


class GraphMemory(TorchMemory):
    """The same on a stream of its own, with the step recorded as one CUDA graph."""

    mode = 'CUDA graph'

    def __init__(self, torch: Any, device: Any) -> None:
        """Take one of the streams that torch keeps for the whole life of the process."""
        super().__init__(torch, device)
        self._stream = torch.cuda.Stream(device)
        self._graph: Any = None

    def record(self, work: Callable[[], None]) -> Callable[[], None]:
        """
        Capture `work` as a CUDA graph, or raise BackendError; once only.

        What it allocates meanwhile lies in a pool of torch's that belongs to the graph. Not by
        `torch.cuda.graph`, which first waits for the whole GPU and collects all garbage: another
        backend may be driving.
        """
        for _ in range(WARM_UPS):
            work()
        self.wait()
        try:
            with _one_capture:
                self._graph = self._capture(work)
        except BackendError as error:
            raise BackendError(f'no CUDA graph of the step can be made: {error.found}',
                               fix='set torch_mode to eager') from error
        replay = told(self._graph.replay)
        replay()  # the first launch also brings the graph to the GPU
        return replay

    @told
    def _capture(self, work: Callable[[], None]) -> Any:
        graph = self._torch.cuda.CUDAGraph()
        graph.capture_begin(capture_error_mode='thread_local')  # other threads may allocate
        try:
            work()
        except BackendError:
            with suppress(RuntimeError):  # it says only that there was an error before
                graph.capture_end()  # or the stream would stay in the state of being captured
            raise
        graph.capture_end()
        return graph

    @told
    def enter(self) -> None:
        """Make the stream this thread's, for the graph is launched on the thread's stream."""
        self._torch.cuda.set_stream(self._stream)

    def close(self) -> None:
        """Release the graph with its memory, and the rest."""
        graph, self._graph = self._graph, None
        if graph is not None:
            with suppress(RuntimeError):  # as above
                graph.reset()
        super().close()


def _address(array: np.ndarray) -> int:
    return int(array.__array_interface__['data'][0])
