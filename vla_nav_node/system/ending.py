"""What the main thread waits for: a signal, or a reason of our own, that ends the process."""

from functools import partial
import os
import signal
import sys
import threading
from typing import Callable, FrozenSet, List

# Always taken, though a shell's background jobs inherit them ignored: launch files and service
# managers end a node by these.
ASKED: FrozenSet[int] = frozenset({signal.SIGINT, signal.SIGTERM})
# They stop the process until SIGCONT: Ctrl-Z, and a terminal that a background job touches.
STOPS: FrozenSet[int] = frozenset({signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU})
# The processor raises them at the instruction that failed. Python's handler would only return
# there, for ever: these end the process as they do by default, and nobody can send a zero.
FAULTS: FrozenSet[int] = frozenset({
    signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGTRAP, signal.SIGSYS})
# Neither ends nor stops a process that does not catch them.
HARMLESS: FrozenSet[int] = frozenset({
    signal.SIGCHLD, signal.SIGCONT, signal.SIGURG, signal.SIGWINCH})
UNCATCHABLE: FrozenSet[int] = frozenset({signal.SIGKILL, signal.SIGSTOP})
PIPE_BYTES = 65536  # all that a pipe holds


class Start:
    """
    Let SIGINT and SIGTERM end the start; nothing has driven yet.

    At first they end the process at once, with status 0: raised inside an import, an interrupt
    would become an error of some library, or a traceback.
    """

    def __init__(self) -> None:
        """Take the signals until `Ending.catch_signals`; main thread only."""
        self.interrupted = False
        self._raises = False
        for number in ASKED:
            signal.signal(number, self._interrupt)

    def raise_interrupts(self) -> None:
        """From now on raise KeyboardInterrupt instead: something has to be cleaned up."""
        self._raises = True
        sys.unraisablehook = _unraisable

    def check(self) -> None:
        """Raise KeyboardInterrupt if one came, though a library may have swallowed the first."""
        if self.interrupted:
            raise KeyboardInterrupt

    def _interrupt(self, number: int, frame: object) -> None:
        if not self._raises or self.interrupted:  # asked twice: cleaning up is left out
            os._exit(0)
        self.interrupted = True
        raise KeyboardInterrupt


def _unraisable(unraisable: 'sys.UnraisableHookArgs') -> None:
    """Report what cannot be raised, except an interrupt: `Start.check` raises that again."""
    if not issubclass(unraisable.exc_type, KeyboardInterrupt):
        sys.__unraisablehook__(unraisable)


class Ending:
    """
    Wait for a signal or for a reason of our own, whichever comes first.

    A pipe, because the main thread is then woken at once (in a lock it would only look at signals
    when the lock is given), and because nothing a signal handler does here can deadlock.
    """

    def __init__(self) -> None:
        """Make the pipe."""
        self._read, self._write = os.pipe()
        os.set_blocking(self._write, False)
        self._reasons: List[str] = []
        self._ends = b''  # of what came last: what ends the wait, in its order

    def catch_signals(self) -> None:
        """Let `wait` see every signal that would end or stop the process; main thread only."""
        for number in caught():
            signal.signal(number, _ignore)
        signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)

    def because(self, reason: str) -> None:
        """End `wait` for a reason of our own."""
        self._reasons.append(reason)
        os.write(self._write, b'\0')

    def wait(self, pause: Callable[[str, Callable[[], None]], None]) -> str:
        """
        Wait for the end, and give the reason.

        Where the process is to be stopped, `pause(name, stop)` is called; `stop` returns when the
        process goes on.
        """
        while True:
            came = os.read(self._read, PIPE_BYTES)
            self._ends = _without_stops(came)
            if not self._ends:
                pause(name(came[0]), partial(self._stop_process, came[0]))
            if self._ends:
                return name(self._ends[0]) if self._ends[0] else self._reasons[0]

    def _stop_process(self, number: int) -> None:
        """Stop the process as the signal does by default, and return when it goes on."""
        handler = signal.signal(number, signal.SIG_DFL)
        # To this thread: it is then stopped before the call returns.
        signal.pthread_kill(threading.get_ident(), number)
        # A thread that writes to a terminal from the background asks again and again: what has
        # come up to here is answered. From here on the signal stops the process by itself.
        self._ends = _without_stops(self._waiting())
        signal.signal(number, handler)

    def _waiting(self) -> bytes:
        """Take what has come, without waiting for it."""
        os.set_blocking(self._read, False)
        try:
            return os.read(self._read, PIPE_BYTES)
        except BlockingIOError:
            return b''
        finally:
            os.set_blocking(self._read, True)


def _without_stops(came: bytes) -> bytes:
    return bytes(number for number in came if number not in STOPS)


def caught() -> List[int]:
    """
    Give the signals to catch: all that end or stop a process, can be caught, and mean nothing yet.

    One that is ignored, as nohup has SIGHUP ignored and Python SIGPIPE, stays so; one that a
    library handles is left to it.
    """
    ours = signal.valid_signals() - FAULTS - HARMLESS - UNCATCHABLE
    return [number for number in ours
            if number in ASKED or signal.getsignal(number) is signal.SIG_DFL]


def name(number: int) -> str:
    """Return a signal's name; the real-time ones have none."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f'signal {number}'


def _ignore(number: int, frame: object) -> None:
    """Leave the signal to the pipe, into which Python has already written it."""
