"""The parent's side of a candidate that runs in a process of its own."""

import math
import multiprocessing
from pathlib import Path
import signal
import tempfile
import time
from typing import Any, Iterable, Iterator, Type

import numpy as np

from .worker import Opened, serve, Worker
from ..candidate import Candidate
from ....errors import BackendError, VlaNavError

PATIENCE_S = 600.0  # for one answer: a large model on a slow machine


class LimitError(VlaNavError):
    """The time limit is over."""


class Budget:
    """The time that is left of a limit, or any time without one."""

    def __init__(self, limit_s: float = math.inf) -> None:
        """Start now."""
        self.limit_s = limit_s
        self._end_s = time.monotonic() + limit_s

    @property
    def limited(self) -> bool:
        """Return whether there is a limit."""
        return math.isfinite(self.limit_s)

    @property
    def left_s(self) -> float:
        """Return the time that is left, 0 when it is over."""
        return max(self._end_s - time.monotonic(), 0.0)

    def patience_s(self, least_s: float = 0.1) -> float:
        """Return how long to wait for an answer."""
        return max(self.left_s, least_s) if self.limited else PATIENCE_S

    def share(self, count: int, reserve_s: float = 0.0) -> 'Budget':
        """Return one of `count` equal parts of the time that is left, less `reserve_s`."""
        return Budget(max(self.left_s / count - reserve_s, 0.0))

    def limit(self, items: Iterable[int]) -> Iterator[int]:
        """Yield the items as long as there is time, then raise LimitError."""
        for item in items:
            if not self.left_s:
                raise LimitError(f'the limit of {self.limit_s:.0f} s is over')
            yield item


class RowProcess:
    """A candidate in its process; `start_s` is from the process's start to its first action."""

    opened: Opened
    start_s: float
    worker: Type[Any] = Worker  # whose methods answer there

    def __init__(self, candidate: Candidate, wait: bool = True) -> None:
        """
        Start the process (main thread only), and wait for its first action.

        Without `wait`, several may open at the same time; call `wait` then. Raise BackendError if
        the candidate cannot be opened.
        """
        context = multiprocessing.get_context('spawn')  # inherits none of this process's memory
        self.candidate = candidate
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=serve, args=(theirs, self.worker),
                                        daemon=True)
        self._begin_s = time.perf_counter()
        # Inherited by the child: Ctrl-C ends this process, which then ends the child.
        previous = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            self._process.start()
        finally:
            signal.signal(signal.SIGINT, previous)
        theirs.close()
        self.ask('open', candidate)
        if wait:
            self.wait()

    def wait(self, patience_s: float = PATIENCE_S) -> None:
        """Wait until the candidate is open; on BackendError, end the process and raise it."""
        try:
            self.opened = self.answer(patience_s)
        except BaseException:
            self.close()
            raise
        self.start_s = self.opened.first_action_s - self._begin_s

    def load(self, frames: np.ndarray) -> None:
        """Hand over the frames, uint8 [N, H, W, 3]; through a file, for they are large."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, 'frames.npy')
            np.save(path, frames)
            self.call('load', str(path))

    def call(self, method: str, *arguments: Any) -> Any:
        """Return the answer of a method of Worker, or raise BackendError."""
        self.ask(method, *arguments)
        return self.answer()

    def ask(self, method: str, *arguments: Any) -> None:
        """Request a method of Worker; fetch its `answer` before the next request."""
        try:
            self._connection.send((method, arguments))
        except OSError:
            raise self._ended() from None

    def answer(self, patience_s: float = PATIENCE_S) -> Any:
        """Return the answer to the last request, or raise BackendError."""
        name = self.candidate.name
        try:
            if not self._connection.poll(patience_s):
                raise BackendError(f'{name} gave no answer within {patience_s:.0f} s')
            answer, error = self._connection.recv()
        except (EOFError, OSError):
            raise self._ended() from None
        if error:
            found, expected, fix = error
            raise BackendError(found if name in found else f'{name}: {found}', expected, fix)
        return answer

    def close(self) -> None:
        """End the process."""
        self._connection.close()
        self._process.join(1.0)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()

    def _ended(self) -> BackendError:
        self._process.join(1.0)
        code = self._process.exitcode
        status = 'still running' if code is None else f'exit status {code}'
        return BackendError(f'the process of {self.candidate.name} ended ({status})', '',
                            'read what it printed; -9 means that the machine ran out of memory')
