"""Replace files and directories in one step, by one writer at a time. A leaf."""

from contextlib import contextmanager
import ctypes
import errno
import fcntl
import os
from pathlib import Path
import tempfile
import time
from typing import Container, Iterator

AT_FDCWD = -100
RENAME_EXCHANGE = 2  # linux/fs.h
LOCK_TIMEOUT_S = 60.0  # a writer needs seconds; one that is stopped must not block all others
LOCK_POLL_S = 0.02


def flush(path: Path) -> None:
    """Wait until a file or directory is on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_file(target: Path, content: bytes) -> None:
    """Write a file in one step: a reader, or a crash, finds the old content or the new."""
    handle, name = tempfile.mkstemp(prefix=f'{target.name}.', dir=target.parent)
    staging = Path(name)
    try:
        with open(handle, 'wb') as file:
            file.write(content)
        staging.chmod(target.stat().st_mode & 0o777 if target.exists() else 0o644)
        flush(staging)
        os.replace(staging, target)
    except BaseException:
        staging.unlink()
        raise
    flush(target.parent)


def put_in_place(staging: Path, target: Path) -> None:
    """
    Rename `staging` to `target` in one step; an existing `target` becomes `staging`.

    Both are in the same directory. A reader, or a crash, finds the old content or the new.
    """
    if not target.exists():
        os.rename(staging, target)
    else:
        _exchange(staging, target)
    flush(target.parent)


def remove(directory: Path, names: Container[str]) -> None:
    """Delete these files and then the directory; raise OSError if it has any others."""
    if not directory.exists():
        return
    for path in directory.iterdir():
        if path.name in names and (path.is_symlink() or not path.is_dir()):
            path.unlink()
    directory.rmdir()


@contextmanager
def locked(directory: Path, timeout_s: float = LOCK_TIMEOUT_S) -> Iterator[None]:
    """
    Lock a directory against all other threads and processes; raise OSError on failure.

    The lock is on the directory itself: it leaves no file behind, and the kernel releases it when
    a process dies. If the directory was replaced while waiting, wait for the new one.
    """
    end = time.monotonic() + timeout_s
    while True:
        handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            _wait_for_lock(handle, end, directory)
            if os.path.samestat(os.fstat(handle), os.stat(directory)):
                yield
                return
        finally:
            os.close(handle)


def _wait_for_lock(handle: int, end: float, directory: Path) -> None:
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() > end:
                raise TimeoutError(errno.ETIMEDOUT, 'another process is writing there',
                                   str(directory)) from None
            time.sleep(LOCK_POLL_S)


def _exchange(first: Path, second: Path) -> None:
    """Swap two names in one step (renameat2), or by renaming where the file system cannot."""
    renameat2 = getattr(ctypes.CDLL(None, use_errno=True), 'renameat2', None)
    if renameat2 is None:
        _exchange_in_steps(first, second)
    elif renameat2(AT_FDCWD, os.fsencode(first), AT_FDCWD, os.fsencode(second), RENAME_EXCHANGE):
        code = ctypes.get_errno()
        if code not in (errno.EINVAL, errno.ENOSYS):
            raise OSError(code, os.strerror(code), str(second))
        _exchange_in_steps(first, second)


def _exchange_in_steps(first: Path, second: Path) -> None:
    """Swap by renaming; for a moment `second` does not exist, but it is never a mixture."""
    aside = first.with_name(first.name + '.old')
    os.rename(second, aside)
    try:
        os.rename(first, second)
    except OSError:
        os.rename(aside, second)
        raise
    os.rename(aside, first)
