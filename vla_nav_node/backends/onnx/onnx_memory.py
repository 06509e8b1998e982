"""The buffers of a DeviceStep and a session of ONNX Runtime tied to them, in one thread."""

from concurrent.futures import ThreadPoolExecutor
import ctypes
from types import ModuleType
from typing import Any, Callable, Dict, Optional

import numpy as np

from .onnx_session import described, is_of_runtime, problem_of_run
from ..cuda.gpu_problem import CudaError
from ..device_step import DeviceMemory
from ...errors import BackendError

# Runs before a CUDA graph is asked for, so that all is allocated; then those in which ONNX Runtime
# may run the nodes some more (up to 8 times), capture them, and replay that.
WARM_UPS, RUNS = 2, 12
NO_GRAPH = ('gpu_graph_id', '-1')  # of a run


class SessionMemory:
    """
    A DeviceMemory whose recorded work is done by a session.

    ONNX Runtime keeps its CUDA graph, and the handles of cuBLAS and cuDNN, for the thread that
    made them: another one would begin anew, in mid-drive, with two plain runs and a capture. So
    all runs are this object's own thread's, whoever drives. (A capture of our own around a run,
    as TensorRT gets it, ends the process: onnxruntime pull request 32081.)
    """

    def __init__(self, ort: ModuleType, memory: DeviceMemory, place: str,
                 opening: Callable[[], Any], quiet: Optional[Callable[[], None]] = None) -> None:
        """
        Open a session, in the thread that will run it; the memory is ours to close if that works.

        `place` is the device of `memory` as ONNX Runtime calls it; for `quiet`, see record.
        """
        self.host, self.device, self.copy = memory.host, memory.device, memory.copy
        self.upload, self.download = memory.upload, memory.download
        self.enter, self.wait, self.mode = memory.enter, memory.wait, memory.mode
        self._memory, self._place, self._quiet = memory, place, quiet
        self._binding: Any = None
        self._lost = False  # the GPU, after an error of CUDA
        self._how: Any = ort.RunOptions()
        self._how.add_run_config_entry(*NO_GRAPH)
        self._thread = ThreadPoolExecutor(1, 'onnxruntime')
        try:
            self.session: Any = self._thread.submit(opening).result()
        except BaseException:
            self._thread.shutdown()
            raise
        self._providers = self.session.get_providers()

    def bind(self, addresses: Dict[str, int]) -> Callable[[], None]:
        """Tie the session's inputs and outputs to addresses; give what runs it once."""
        self._binding = self.session.io_binding()
        for nodes, tie in ((self.session.get_inputs(), self._binding.bind_input),
                           (self.session.get_outputs(), self._binding.bind_output)):
            for name, (dtype, shape) in described(nodes).items():
                tie(name, self._place, 0, np.dtype(dtype).type, list(shape), addresses[name])
        return lambda: self._thread.submit(self._run).result()

    def record(self, work: Callable[[], None]) -> Callable[[], None]:
        """
        Run until ONNX Runtime has captured its CUDA graph, and replayed it.

        While it captures, no other thread may wait for the GPU or allocate there, or that fails
        with error 900: `quiet` waits for the moment when a backend that drives has just done so.
        """
        for number in range(RUNS):
            if number == WARM_UPS:
                self._how = None
                if self._quiet:
                    self._quiet()
            work()
            self.wait()
        return work

    def close(self) -> None:
        """Release the session, and then the memory that it works on."""
        if self._lost:
            # To destroy its CUDA graph is an exception in a destructor then: the process ends.
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(self.session))
        self.session = self._binding = None
        self._thread.shutdown()
        self._memory.close()

    def _run(self) -> None:
        try:
            self.session.run_with_iobinding(self._binding, self._how)
        except Exception as error:
            if not is_of_runtime(error):
                raise
            problem = problem_of_run(error)
            self._lost = isinstance(problem, CudaError)
            raise problem from error
        check_providers(self.session, self._providers)


def check_providers(session: Any, opened: Any) -> None:
    """Raise BackendError if a session no longer has the providers that it was opened with."""
    if session.get_providers() != opened:
        raise BackendError(
            'ONNX Runtime has moved to ' + ', '.join(session.get_providers()) + ' in mid-drive',
            ', '.join(opened), 'open the backend again')
