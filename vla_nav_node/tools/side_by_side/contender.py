"""The parent's side of a contestant that runs in a process of its own."""

import multiprocessing
from pathlib import Path
import signal
import tempfile
import time
from typing import Any, Sequence

import numpy as np

from .contestant import Contestant
from .worker import Opened, serve, Span
from ...errors import BackendError

PATIENCE_S = 600.0  # for one answer: a large model on a slow machine


class Contender:
    """A contestant, opened; `start_s` is from the start of its process to its first action."""

    opened: Opened
    start_s: float

    def __init__(self, contestant: Contestant) -> None:
        """Start it (main thread only), and wait for its first action, or raise BackendError."""
        context = multiprocessing.get_context('spawn')  # nothing of this process's memory in it
        self.contestant = contestant
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=serve, args=(theirs,), daemon=True)
        begin_s = time.perf_counter()
        # The child inherits this: Ctrl-C is for us alone, and we end it.
        previous = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            self._process.start()
        finally:
            signal.signal(signal.SIGINT, previous)
        theirs.close()
        try:
            self.opened = self._ask('open', contestant)
        except BaseException:
            self.close()
            raise
        self.start_s = self.opened.first_action_s - begin_s

    @property
    def name(self) -> str:
        """Give what the user called it."""
        return self.contestant.name

    def show(self, frames: np.ndarray) -> None:
        """Hand it the frames to run on, uint8 [N, H, W, 3]; through a file, for they are many."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, 'frames.npy')
            np.save(path, frames)
            self._ask('load', str(path))

    def actions(self, starts: Sequence[bool]) -> np.ndarray:
        """Run all frames with the state carried from one to the next; see Worker.actions."""
        found: np.ndarray = self._ask('actions', list(starts))
        return found

    def run(self, count: int, settle: int, period_s: float = 0.0) -> Span:
        """Time steps; see Worker.run."""
        span: Span = self._ask('run', count, settle, period_s)
        return span

    def most_memory(self) -> float:
        """Give the most memory it had so far, in MB."""
        return float(self._ask('most_memory'))

    def close(self) -> None:
        """End the process."""
        self._connection.close()
        self._process.join(1.0)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()

    def _ask(self, name: str, *arguments: Any) -> Any:
        try:
            self._connection.send((name, arguments))
            if not self._connection.poll(PATIENCE_S):
                raise BackendError(f'{self.name} gave no answer within {PATIENCE_S:g} s')
            answer, error = self._connection.recv()
        except (EOFError, OSError):
            self._process.join(1.0)
            raise BackendError(
                f'the process of {self.name} ended ({_ended(self._process.exitcode)})', '',
                'look for what it printed; on -9 the machine was out of memory') from None
        if error:
            found, expected, fix = error
            named = found if self.name in found else f'{self.name}: {found}'
            raise BackendError(named, expected, fix)
        return answer


def _ended(code: Any) -> str:
    return 'still running' if code is None else f'exit status {code}'
