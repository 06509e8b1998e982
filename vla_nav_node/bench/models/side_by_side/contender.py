"""The parent's side of a contestant that runs in a process of its own."""

import multiprocessing
from pathlib import Path
import signal
import tempfile
import time
from typing import Any, Sequence

import numpy as np

from .worker import Opened, serve, Span
from ..runners.contestant import Contestant
from ....errors import BackendError

PATIENCE_S = 600.0  # for one answer: a large model on a slow machine


class Contender:
    """A contestant, opened; `start_s` is from the start of its process to its first action."""

    opened: Opened
    start_s: float

    def __init__(self, contestant: Contestant, wait: bool = True) -> None:
        """
        Start it (main thread only), and wait for its first action, or raise BackendError.

        Without `wait`, several may open at the same time; call `wait` then.
        """
        context = multiprocessing.get_context('spawn')  # nothing of this process's memory in it
        self.contestant = contestant
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=serve, args=(theirs,), daemon=True)
        self._begin_s = time.perf_counter()
        # The child inherits this: Ctrl-C is for us alone, and we end it.
        previous = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            self._process.start()
        finally:
            signal.signal(signal.SIGINT, previous)
        theirs.close()
        self.ask('open', contestant)
        if wait:
            self.wait()

    def wait(self, patience_s: float = PATIENCE_S) -> None:
        """Wait until it is open, or raise BackendError; it is closed then."""
        try:
            self.opened = self.answer(patience_s)
        except BaseException:
            self.close()
            raise
        self.start_s = self.opened.first_action_s - self._begin_s

    @property
    def name(self) -> str:
        """Return what the user called it."""
        return self.contestant.name

    def show(self, frames: np.ndarray) -> None:
        """Hand it the frames to run on, uint8 [N, H, W, 3]; through a file, for they are many."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, 'frames.npy')
            np.save(path, frames)
            self._call('load', str(path))

    def actions(self, starts: Sequence[bool]) -> np.ndarray:
        """Run all frames with the state carried from one to the next; see Worker.actions."""
        found: np.ndarray = self._call('actions', list(starts))
        return found

    def run(self, count: int, settle: int, period_s: float = 0.0) -> Span:
        """Time steps; see Worker.run."""
        span: Span = self._call('run', count, settle, period_s)
        return span

    def most_memory(self) -> float:
        """Return the most memory it had so far, in MB."""
        return float(self._call('most_memory'))

    def close(self) -> None:
        """End the process."""
        self._connection.close()
        self._process.join(1.0)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()

    def _call(self, name: str, *arguments: Any) -> Any:
        self.ask(name, *arguments)
        return self.answer()

    def ask(self, name: str, *arguments: Any) -> None:
        """Have a method of Worker run; its `answer` is to be fetched before the next one."""
        try:
            self._connection.send((name, arguments))
        except OSError:
            raise self._gone() from None

    def answer(self, patience_s: float = PATIENCE_S) -> Any:
        """Return what the method that was asked for gave, or raise BackendError."""
        try:
            if not self._connection.poll(patience_s):
                raise BackendError(f'{self.name} gave no answer within {patience_s:.0f} s')
            answer, error = self._connection.recv()
        except (EOFError, OSError):
            raise self._gone() from None
        if error:
            found, expected, fix = error
            named = found if self.name in found else f'{self.name}: {found}'
            raise BackendError(named, expected, fix)
        return answer

    def _gone(self) -> BackendError:
        self._process.join(1.0)
        return BackendError(
            f'the process of {self.name} ended ({_ended(self._process.exitcode)})', '',
            'look for what it printed; on -9 the machine was out of memory')


def _ended(code: Any) -> str:
    return 'still running' if code is None else f'exit status {code}'
