"""DeviceMemory of torch: its allocator, its current stream, and its CUDA graph."""

from contextlib import suppress
from threading import Lock
from typing import Any, Callable, Dict, List, Tuple

import numpy as np

from .torch_device import explain_errors
from ...errors import BackendError

# cuBLAS, cuDNN and TorchScript choose and load their kernels in the first runs, which no capture
# allows; TorchScript optimises after two runs.
WARM_UPS = 4
_capture_lock = Lock()  # torch allows one capture at a time in a process


class TorchMemory:
    """Memory of a torch device; work is queued on the calling thread's stream, call by call."""

    mode = 'eager'

    def __init__(self, torch: Any, device: Any) -> None:
        self._torch, self._device = torch, device
        self._blocks: Dict[int, Any] = {}  # uint8 tensors of both sides, by their address
        self._pieces: Dict[Tuple[int, int], Any] = {}
        self._kept: List[Any] = []

    def keep(self, needed: Any) -> None:
        """Keep alive what recorded work needs: a CUDA graph knows addresses, not tensors."""
        self._kept.append(needed)

    @explain_errors
    def host(self, size: int) -> np.ndarray:
        block = self._torch.empty(size, dtype=self._torch.uint8,
                                  pin_memory=self._device.type == 'cuda')
        self._blocks[block.data_ptr()] = block
        return block.numpy()

    @explain_errors
    def device(self, size: int) -> int:
        # On CUDA torch aligns it to 512 bytes.
        block = self._torch.empty(size, dtype=self._torch.uint8, device=self._device)
        self._blocks[block.data_ptr()] = block
        return block.data_ptr()

    def tensor(self, address: int, shape: Tuple[int, ...], dtype: Any) -> Any:
        """Return a tensor on a part of a block, which it shares."""
        size = int(np.prod(shape)) * dtype.itemsize
        return self._piece(address, size).view(dtype).view(shape)

    def upload(self, target: int, source: np.ndarray) -> None:
        self.copy(target, source.ctypes.data, source.nbytes)

    def download(self, target: np.ndarray, source: int) -> None:
        self.copy(target.ctypes.data, source, target.nbytes)

    @explain_errors
    def copy(self, target: int, source: int, size: int) -> None:
        """Queue a copy, on the device or between it and pinned memory."""
        self._piece(target, size).copy_(self._piece(source, size), non_blocking=True)

    def record(self, work: Callable[[], None]) -> Callable[[], None]:
        """Run `work` and return it: nothing is recorded."""
        work()
        return work

    def enter(self) -> None:
        """Do nothing: torch has a stream for every thread."""

    @explain_errors
    def wait(self) -> None:
        if self._device.type == 'cuda':
            self._torch.cuda.current_stream(self._device).synchronize()

    def close(self) -> None:
        """Return the memory to torch, and torch's unused memory to the device."""
        for held in (self._kept, self._pieces, self._blocks):
            held.clear()
        if self._device.type == 'cuda':
            with suppress(RuntimeError):  # the device is lost
                self._torch.cuda.empty_cache()

    def _piece(self, address: int, size: int) -> Any:
        if (address, size) not in self._pieces:
            start = max(begin for begin in self._blocks if begin <= address)
            offset = address - start
            self._pieces[address, size] = self._blocks[start][offset:offset + size]
        return self._pieces[address, size]


class GraphMemory(TorchMemory):
    """A TorchMemory with a stream of its own and the step recorded as one CUDA graph."""

    mode = 'CUDA graph'

    def __init__(self, torch: Any, device: Any) -> None:
        super().__init__(torch, device)
        self._stream = torch.cuda.Stream(device)  # of a pool that lives as long as the process
        self._graph: Any = None

    def record(self, work: Callable[[], None]) -> Callable[[], None]:
        """
        Capture `work` as a CUDA graph, or raise BackendError; once only.

        What `work` allocates is in a pool of torch's that belongs to the graph. Not by
        `torch.cuda.graph`, which first waits for the whole GPU and collects all garbage: another
        backend may be driving.
        """
        for _ in range(WARM_UPS):
            work()
        self.wait()
        try:
            with _capture_lock:
                self._graph = self._capture(work)
        except BackendError as error:
            raise BackendError(f'no CUDA graph of the step can be made: {error.found}',
                               fix='set torch_mode to eager') from error
        replay = explain_errors(self._graph.replay)
        replay()  # the first launch also uploads the graph to the GPU
        return replay

    @explain_errors
    def _capture(self, work: Callable[[], None]) -> Any:
        graph = self._torch.cuda.CUDAGraph()
        graph.capture_begin(capture_error_mode='thread_local')  # other threads may allocate
        try:
            work()
        except BackendError:
            with suppress(RuntimeError):  # it says only that there was an error before
                graph.capture_end()  # or the stream would stay in capture mode
            raise
        graph.capture_end()
        return graph

    @explain_errors
    def enter(self) -> None:
        """Make the stream the calling thread's: the graph is launched on the current stream."""
        self._torch.cuda.set_stream(self._stream)

    def close(self) -> None:
        """Release the graph with its memory, and the rest."""
        graph, self._graph = self._graph, None
        if graph is not None:
            with suppress(RuntimeError):  # the device is lost
                graph.reset()
        super().close()
