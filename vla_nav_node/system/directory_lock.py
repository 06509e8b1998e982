"""One writer at a time in a directory, of all threads and processes. A leaf."""

from contextlib import contextmanager
import errno
import fcntl
import os
from pathlib import Path
import time
from typing import Iterator

PATIENCE_S = 60.0  # a writer needs seconds; one that is stopped must not stop all others
LOOK_S = 0.02


@contextmanager
def locked(directory: Path, patience_s: float = PATIENCE_S) -> Iterator[None]:
    """
    Hold a directory alone; raise OSError if that cannot be had.

    The lock lies on the directory itself, so that no file is left, and the kernel takes it back
    from whoever dies. A directory that was replaced while we waited is another one: wait for that.
    """
    end = time.monotonic() + patience_s
    while True:
        handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            _wait(handle, end, directory)
            if os.path.samestat(os.fstat(handle), os.stat(directory)):
                yield
                return
        finally:
            os.close(handle)


def _wait(handle: int, end: float, directory: Path) -> None:
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() > end:
                raise TimeoutError(errno.ETIMEDOUT, 'another process is writing there',
                                   str(directory)) from None
            time.sleep(LOOK_S)
