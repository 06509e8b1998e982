"""Starts the demo's processes, watches them, and ends them however the demo ends."""

from contextlib import contextmanager
import os
from pathlib import Path
import signal
import subprocess
import sys
from typing import Any, Dict, Iterator, List, Sequence

from ..errors import VlaNavError

PATIENCE_S = 5.0  # from SIGINT, which lets a process stop the robot, to SIGKILL
LAST_LINES = 12
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)  # the last: its terminal goes


class Process:
    """A Python module that runs as a process of its own, its output in a file."""

    def __init__(self, module: str, arguments: Sequence[str], log: Path,
                 environment: Dict[str, str]) -> None:
        """Start it; Ctrl-C does not reach it by itself, `end` has to be called."""
        self.module, self.log = module, log
        with log.open('wb') as output:
            self._process = subprocess.Popen(
                [sys.executable, '-u', '-m', module, *arguments], env=environment,
                stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
                start_new_session=True)

    @property
    def pid(self) -> int:
        """Return its number."""
        return self._process.pid

    def check(self) -> None:
        """Raise VlaNavError, with the last lines of its output, if it has ended."""
        status = self._process.poll()
        if status is not None:
            raise VlaNavError(f'{self.module} ended by itself, with status {status}; '
                              + self.last_words())

    def last_words(self) -> str:
        """Return the end of its output."""
        lines = self.log.read_text(errors='replace').splitlines()
        return '\n'.join([f'the end of {self.log}:', *lines[-LAST_LINES:]])

    def interrupt(self) -> None:
        """Ask it to end, as Ctrl-C does."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGINT)

    def end(self) -> None:
        """Wait until it has ended, and make it so if it takes too long."""
        try:
            self._process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()


class Processes:
    """
    All processes of a demo, as a context: none is left when it is left.

    Ctrl-C, SIGTERM and a lost terminal leave it by KeyboardInterrupt. Where that is raised inside
    of a library it may get lost (Python ignores what is raised in a finaliser), so `check` raises
    it again.
    """

    def __init__(self, environment: Dict[str, str]) -> None:
        """Take the environment that each of them gets."""
        self._environment = environment
        self._running: List[Process] = []
        self._previous: Dict[int, Any] = {}
        self._interrupted = False
        self._starting = False

    def start(self, module: str, arguments: Sequence[str], log: Path) -> Process:
        """Start one more; a signal has to wait meanwhile, or nobody would know of the process."""
        self._starting = True
        try:
            self._running.append(Process(module, arguments, log, self._environment))
        finally:
            self._starting = False
        if self._interrupted:
            raise KeyboardInterrupt
        return self._running[-1]

    def check(self) -> None:
        """Raise VlaNavError if one has ended, KeyboardInterrupt if a signal has come."""
        if self._interrupted:
            raise KeyboardInterrupt
        for process in self._running:
            process.check()

    def last_words(self) -> str:
        """Return the end of the output of each."""
        return '\n'.join(process.last_words() for process in self._running)

    def __enter__(self) -> 'Processes':
        """Take the signals over."""
        taken = [number for number in SIGNALS
                 if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN]  # nohup
        self._previous = {number: signal.signal(number, self._interrupt) for number in taken}
        return self

    def __exit__(self, *_: object) -> None:
        """End all, all at once; a second Ctrl-C must not leave one behind."""
        for number in self._previous:
            signal.signal(number, signal.SIG_IGN)
        try:
            for process in self._running:
                process.interrupt()
            for process in self._running:
                process.end()
        finally:
            for taken, previous in self._previous.items():
                signal.signal(taken, previous)

    def _interrupt(self, *_: object) -> None:
        self._interrupted = True
        if not self._starting:
            raise KeyboardInterrupt


@contextmanager
def sigterm_as_interrupt() -> Iterator[None]:
    """Leave by the same way as on Ctrl-C when the process is told to end: children first."""
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt
    previous = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)
