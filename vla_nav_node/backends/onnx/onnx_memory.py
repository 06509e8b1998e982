"""The buffers of a DeviceStep and a session of ONNX Runtime tied to them, in one thread."""

from concurrent.futures import ThreadPoolExecutor
import ctypes
from types import ModuleType
from typing import Any, Callable, Dict

import numpy as np

from .onnx_session import check_providers, explained, is_runtime_error, signature
from ..background_import import WaitForIdle
from ..cuda.cuda_errors import CudaError
from ..device_step import DeviceMemory

# Runs before a CUDA graph is asked for, so that everything is allocated; and all runs, in which
# ONNX Runtime may run the nodes some more (up to 8 times), capture them, and replay that.
WARM_UPS, RUNS = 2, 12
NO_GRAPH = ('gpu_graph_id', '-1')  # run option


class SessionMemory:
    """
    A DeviceMemory whose recorded work is done by a session.

    ONNX Runtime keeps its CUDA graph, and the handles of cuBLAS and cuDNN, for the thread that
    made them: another thread would start with two plain runs and a capture, in mid-drive. So this
    object's own thread does all runs. (Capturing a run from outside, as is done with TensorRT,
    ends the process: onnxruntime pull request 32081.)
    """

    def __init__(self, ort: ModuleType, memory: DeviceMemory, device: str,
                 open_session: Callable[[], Any], wait_for_idle: WaitForIdle = None) -> None:
        """
        Open a session in the thread that will run it; on success, `close` closes `memory` too.

        `device` is the device of `memory` as ONNX Runtime calls it.
        """
        self.host, self.device, self.copy = memory.host, memory.device, memory.copy
        self.upload, self.download = memory.upload, memory.download
        self.enter, self.wait, self.mode = memory.enter, memory.wait, memory.mode
        self._memory, self._device, self._wait_for_idle = memory, device, wait_for_idle
        self._binding: Any = None
        self._lost = False  # the GPU, after an error of CUDA
        self._run_options: Any = ort.RunOptions()
        self._run_options.add_run_config_entry(*NO_GRAPH)
        self._thread = ThreadPoolExecutor(1, 'onnxruntime')
        try:
            self.session: Any = self._thread.submit(open_session).result()
        except BaseException:
            self._thread.shutdown()
            raise
        self._providers = self.session.get_providers()

    def bind(self, addresses: Dict[str, int]) -> Callable[[], None]:
        """Tie the session's inputs and outputs to addresses; return what runs it once."""
        self._binding = self.session.io_binding()
        for nodes, tie in ((self.session.get_inputs(), self._binding.bind_input),
                           (self.session.get_outputs(), self._binding.bind_output)):
            for name, (dtype, shape) in signature(nodes).items():
                tie(name, self._device, 0, np.dtype(dtype).type, list(shape), addresses[name])
        return lambda: self._thread.submit(self._run).result()

    def record(self, work: Callable[[], None]) -> Callable[[], None]:
        """
        Run until ONNX Runtime has captured its CUDA graph, and replayed it.

        The capture fails with error 900 if another thread waits for the GPU or allocates there
        meanwhile, so `wait_for_idle` comes right before it.
        """
        for number in range(RUNS):
            if number == WARM_UPS:
                self._run_options = None
                if self._wait_for_idle:
                    self._wait_for_idle()
            work()
            self.wait()
        return work

    def close(self) -> None:
        """Release the session, and then its memory."""
        if self._lost:
            # Destroying its CUDA graph would throw in a destructor, which ends the process.
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(self.session))
        self.session = self._binding = None
        self._thread.shutdown()
        self._memory.close()

    def _run(self) -> None:
        try:
            self.session.run_with_iobinding(self._binding, self._run_options)
        except Exception as error:
            if not is_runtime_error(error):
                raise
            problem = explained(error)
            self._lost = isinstance(problem, CudaError)
            raise problem from error
        check_providers(self.session, self._providers)
