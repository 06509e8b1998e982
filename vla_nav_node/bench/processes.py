"""Start processes, check that they run, and end them in every case."""

from contextlib import contextmanager
import os
from pathlib import Path
import signal
import subprocess
import sys
from typing import Any, Dict, Iterator, List, Sequence

from ..errors import VlaNavError

PATIENCE_S = 5.0  # from SIGINT, after which a process stops the robot, to SIGKILL
LAST_LINES = 12
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)  # the last: its terminal is closed


class Process:
    """A Python module in a process of its own, with its output in a file."""

    def __init__(self, module: str, arguments: Sequence[str], log: Path,
                 environment: Dict[str, str]) -> None:
        """Start it in a session of its own, so that Ctrl-C does not reach it; call `end`."""
        self.module, self.log = module, log
        with log.open('wb') as output:
            self._process = subprocess.Popen(
                [sys.executable, '-u', '-m', module, *arguments], env=environment,
                stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
                start_new_session=True)

    @property
    def pid(self) -> int:
        """Return its process id."""
        return self._process.pid

    def check(self) -> None:
        """Raise VlaNavError with the last lines of its output if it has ended."""
        status = self._process.poll()
        if status is not None:
            raise VlaNavError(f'{self.module} ended by itself, with status {status}; '
                              + self.last_words())

    def last_words(self) -> str:
        """Return the end of its output."""
        lines = self.log.read_text(errors='replace').splitlines()
        return '\n'.join([f'the end of {self.log}:', *lines[-LAST_LINES:]])

    def interrupt(self) -> None:
        """Interrupt it, as Ctrl-C does."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGINT)

    def end(self) -> None:
        """Wait until it has ended, and kill it after PATIENCE_S."""
        try:
            self._process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()


class Processes:
    """
    Processes that end with this context.

    Ctrl-C, SIGTERM and a lost terminal raise KeyboardInterrupt in it. A library may swallow that
    (Python ignores what is raised in a finaliser), so `check` raises it again.
    """

    def __init__(self, environment: Dict[str, str]) -> None:
        """Take the environment of each process."""
        self._environment = environment
        self._running: List[Process] = []
        self._previous: Dict[int, Any] = {}
        self._interrupted = False
        self._starting = False

    def start(self, module: str, arguments: Sequence[str], log: Path) -> Process:
        """Start one more; delay signals meanwhile, so that the process is not lost."""
        self._starting = True
        try:
            self._running.append(Process(module, arguments, log, self._environment))
        finally:
            self._starting = False
        if self._interrupted:
            raise KeyboardInterrupt
        return self._running[-1]

    def check(self) -> None:
        """Raise VlaNavError if one has ended, KeyboardInterrupt after a signal."""
        if self._interrupted:
            raise KeyboardInterrupt
        for process in self._running:
            process.check()

    def last_words(self) -> str:
        """Return the end of the output of each."""
        return '\n'.join(process.last_words() for process in self._running)

    def __enter__(self) -> 'Processes':
        """Install the signal handlers."""
        taken = [number for number in SIGNALS
                 if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN]  # nohup
        self._previous = {number: signal.signal(number, self._interrupt) for number in taken}
        return self

    def __exit__(self, *_: object) -> None:
        """End all of them together; ignore a second Ctrl-C, so that none is left."""
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
    """Treat SIGTERM as Ctrl-C, so that children are ended first."""
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt
    previous = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)
