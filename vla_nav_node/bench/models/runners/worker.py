"""The process of one candidate: open it, run it on request, and report what it costs."""

from dataclasses import dataclass
import gc
from multiprocessing.connection import Connection
import time
from typing import Any, Dict, NamedTuple, Sequence, Type

import numpy as np

from .runners import BundleRunner, open_runner, Runner
from ..candidate import Candidate, Size
from ...process_memory import own_memory
from ....convert.verify.open_loop import compare, Record
from ....errors import VlaNavError
from ....policy.rehearsal import rehearses
from ....system.threads import describe

FIRST_STEPS = 5  # after which a runtime has allocated what it needs


@dataclass(frozen=True)
class Opened:
    """What an opened candidate really is; memory in MB (10^6 bytes)."""

    info: Dict[str, str]
    size: Size
    carries_state: bool
    first_action_s: float  # time.perf_counter, one clock for all processes
    memory_before: float  # with Python, NumPy and this package
    memory_after: float  # with the runtime and the model, after FIRST_STEPS


class Span(NamedTuple):
    """The timed steps of one turn."""

    ms: np.ndarray  # float64 [count], the time of each step
    cpu_ms: float  # processor time of all steps together, all threads


class Worker:
    """Each public method answers one request of the parent."""

    _runner: Runner

    def open(self, candidate: Candidate) -> Opened:  # noqa: A003, RUF100
        """Open a candidate, and run its first steps on a grey picture."""
        before = own_memory()
        self._runner = open_runner(candidate)
        self._frames = np.full((1, 1, *self._runner.size, 3), 128, np.uint8)
        self._next, self._frames_mb = 0, 0.0
        self._step()
        first_action_s = time.perf_counter()
        for _ in range(FIRST_STEPS - 1):
            self._step()
        after = own_memory()
        self._most = after.most
        return Opened(self._runner.info, self._runner.size, self._runner.carries_state,
                      first_action_s, before.now, after.now)

    def load(self, path: str) -> None:
        """Load the frames, uint8 [N, H, W, 3], and begin at the first from the zero state."""
        self._frames = np.load(path, allow_pickle=False)[:, None]
        self._frames_mb = self._frames.nbytes / 1e6
        self._next = 0
        self._runner.reset()

    def actions(self, starts: Sequence[bool]) -> np.ndarray:
        """Run all frames, from the zero state at each start -> float32 [N, actions]."""
        actions = []
        for frame, start in zip(self._frames, starts):
            if start:
                self._runner.reset()
            actions.append(self._runner.step(self._runner.prepare(frame)))
        return np.array(actions)

    def run(self, count: int, settle: int, period_s: float = 0.0) -> Span:
        """
        Run `settle` steps, then time `count`; one every `period_s`, 0 for back to back.

        Rehearsals are not in the times of the steps, but in the processor time.
        """
        gc.collect()
        gc.disable()
        ms, cpu_ms, due = np.empty(count), 0.0, time.perf_counter()
        for number in range(-settle, count):
            prepared, cpu_ns = self._prepare(), 0
            if period_s:
                due = max(due + period_s, time.perf_counter())
                cpu_ns = self._wait(due, period_s, prepared)
            cpu_ns -= time.process_time_ns()
            begin_ns = time.perf_counter_ns()
            self._runner.step(prepared)
            end_ns = time.perf_counter_ns()
            if number >= 0:
                ms[number] = (end_ns - begin_ns) / 1e6
                cpu_ms += (cpu_ns + time.process_time_ns()) / 1e6
        gc.enable()
        return Span(ms, cpu_ms)

    def _wait(self, due_s: float, period_s: float, prepared: Any) -> int:
        """Wait until a step is due; return the processor time of the rehearsal before it, ns."""
        lead_s, spent_ns = self._runner.lead_s, 0
        if rehearses(period_s * 1e9, lead_s * 1e9):
            time.sleep(max(due_s - lead_s - time.perf_counter(), 0.0))
            before_ns = time.process_time_ns()
            self._runner.rehearse(prepared)
            spent_ns = time.process_time_ns() - before_ns
        time.sleep(max(due_s - time.perf_counter(), 0.0))
        return spent_ns

    def compare(self, record: Record) -> Dict[str, Any]:
        """Compare a bundle's backend with the reference on the frames; see open_loop."""
        assert isinstance(self._runner, BundleRunner)
        return compare(self._runner.backend, self._frames[:, 0], record)

    def most_memory(self) -> float:
        """Return the peak memory of this process in MB, without the frames."""
        return max(self._most, own_memory().most - self._frames_mb)

    def _prepare(self) -> Any:
        frame = self._frames[self._next % len(self._frames)]
        self._next += 1
        return self._runner.prepare(frame)

    def _step(self) -> None:
        self._runner.step(self._prepare())


def serve(connection: Connection, kind: Type[Any] = Worker) -> None:
    """Answer (method, arguments) with (answer, None) or (None, error) until the parent closes."""
    worker = kind()
    while True:
        try:
            name, arguments = connection.recv()
            connection.send(_answer(worker, name, arguments))
        except (EOFError, OSError):  # the parent has closed it, maybe in the middle of a step
            return


def _answer(worker: Any, name: str, arguments: Sequence[Any]) -> Any:
    try:
        return getattr(worker, name)(*arguments), None
    except VlaNavError as error:
        return None, (error.found, error.expected, error.fix)
    except ModuleNotFoundError as error:
        return None, (f'the Python package {error.name} is missing', '',
                      'install it, or choose another backend')
    except Exception as error:  # noqa: BLE001  # the parent reports it
        return None, (describe(error), '', '')
