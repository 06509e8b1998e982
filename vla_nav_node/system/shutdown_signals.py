"""What the main thread waits for: a signal, or a request by this process, to shut down."""

from functools import partial
import os
import signal
import threading
from typing import Callable, FrozenSet, List

# Always caught, though a shell's background jobs inherit them as ignored: launch files and service
# managers stop a node with these.
REQUESTS: FrozenSet[int] = frozenset({signal.SIGINT, signal.SIGTERM})
# They stop the process until SIGCONT: Ctrl-Z, and a terminal that a background job touches.
STOPS: FrozenSet[int] = frozenset({signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU})
# The processor raises them at the failed instruction, and Python's handler would return there for
# ever. So these end the process as they do by default, without a zero command.
FAULTS: FrozenSet[int] = frozenset({
    signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGTRAP, signal.SIGSYS})
# Neither ends nor stops a process that does not catch them.
HARMLESS: FrozenSet[int] = frozenset({
    signal.SIGCHLD, signal.SIGCONT, signal.SIGURG, signal.SIGWINCH})
UNCATCHABLE: FrozenSet[int] = frozenset({signal.SIGKILL, signal.SIGSTOP})
PIPE_BYTES = 65536  # a full pipe


class StartupSignals:
    """SIGINT and SIGTERM interrupt the start; the robot has not moved yet."""

    def __init__(self) -> None:
        """Catch the signals until `ShutdownSignals.catch_signals`; main thread only."""
        self.interrupted = False
        for number in REQUESTS:
            signal.signal(number, self._interrupt)

    def check(self) -> None:
        """Raise KeyboardInterrupt if a signal came: a library may have swallowed the first one."""
        if self.interrupted:
            raise KeyboardInterrupt

    def _interrupt(self, number: int, frame: object) -> None:
        self.interrupted = True
        raise KeyboardInterrupt


class ShutdownSignals:
    """
    Wait for a signal or for a request by this process, whichever comes first.

    Both write into a pipe: it wakes the main thread at once (in a lock, Python handles signals
    only after the lock is acquired), and no signal handler can deadlock.
    """

    def __init__(self) -> None:
        """Open the pipe."""
        self._read, self._write = os.pipe()
        os.set_blocking(self._write, False)
        self._reasons: List[str] = []
        self._ends = b''  # of the bytes read last, those that end the wait, in order

    def catch_signals(self) -> None:
        """Pass every signal that would end or stop the process to `wait`; main thread only."""
        for number in catchable():
            signal.signal(number, _ignore)
        signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)

    def request(self, reason: str) -> None:
        """End `wait` with this reason."""
        self._reasons.append(reason)
        os.write(self._write, b'\0')

    def wait(self, pause: Callable[[str, Callable[[], None]], None]) -> str:
        """
        Wait for a signal or request to shut down, and return its name or reason.

        If a signal is to stop the process, call `pause(name, stop)`; `stop` returns when the
        process continues.
        """
        while True:
            received = os.read(self._read, PIPE_BYTES)
            self._ends = _without_stops(received)
            if not self._ends:
                pause(signal_name(received[0]), partial(self._stop_process, received[0]))
            if self._ends:
                return signal_name(self._ends[0]) if self._ends[0] else self._reasons[0]

    def _stop_process(self, number: int) -> None:
        """Stop the process as the signal does by default, and return when it continues."""
        handler = signal.signal(number, signal.SIG_DFL)
        # Sent to this thread, so that it is stopped before the call returns.
        signal.pthread_kill(threading.get_ident(), number)
        # A thread that writes to a terminal from the background raises the signal again and again:
        # those up to here are dealt with, and later ones stop the process by default.
        self._ends = _without_stops(self._pending())
        signal.signal(number, handler)

    def _pending(self) -> bytes:
        """Return what is in the pipe, without waiting."""
        os.set_blocking(self._read, False)
        try:
            return os.read(self._read, PIPE_BYTES)
        except BlockingIOError:
            return b''
        finally:
            os.set_blocking(self._read, True)


def _without_stops(received: bytes) -> bytes:
    return bytes(number for number in received if number not in STOPS)


def catchable() -> List[int]:
    """
    Return the signals to catch: all that end or stop a process and that nobody handles yet.

    A signal that is ignored (SIGHUP under nohup, SIGPIPE by Python) stays ignored, and one that a
    library handles stays with it.
    """
    candidates = signal.valid_signals() - FAULTS - HARMLESS - UNCATCHABLE
    return [number for number in candidates
            if number in REQUESTS or signal.getsignal(number) is signal.SIG_DFL]


def signal_name(number: int) -> str:
    """Return a signal's name; real-time signals have only a number."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f'signal {number}'


def _ignore(number: int, frame: object) -> None:
    """Do nothing: Python has already written the signal into the pipe."""
