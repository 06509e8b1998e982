"""Put a finished directory or file in place of another one in a single step. A leaf."""

import ctypes
import errno
import os
from pathlib import Path
import tempfile
from typing import Container

AT_FDCWD = -100
RENAME_EXCHANGE = 2  # linux/fs.h


def flush(path: Path) -> None:
    """Have a file or a directory on the disk before going on."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_file(target: Path, content: bytes) -> None:
    """Write a file whole: a reader, or a crash, meets the old content or the new."""
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
    Make `staging` be `target`; what `target` was before, if anything, is `staging` afterwards.

    Both lie in the same directory. A reader, or a crash, meets the old content or the new.
    """
    if not target.exists():
        os.rename(staging, target)
    else:
        _exchange(staging, target)
    flush(target.parent)


def remove(directory: Path, names: Container[str]) -> None:
    """Delete a directory that holds nothing but these files; else keep the rest, and raise."""
    if not directory.exists():
        return
    for path in directory.iterdir():
        if path.name in names and (path.is_symlink() or not path.is_dir()):
            path.unlink()
    directory.rmdir()


def _exchange(one: Path, other: Path) -> None:
    """Swap two names in one step (renameat2), or in two where the file system cannot."""
    renameat2 = getattr(ctypes.CDLL(None, use_errno=True), 'renameat2', None)
    if renameat2 is None:
        _exchange_in_steps(one, other)
    elif renameat2(AT_FDCWD, os.fsencode(one), AT_FDCWD, os.fsencode(other), RENAME_EXCHANGE):
        code = ctypes.get_errno()
        if code not in (errno.EINVAL, errno.ENOSYS):
            raise OSError(code, os.strerror(code), str(other))
        _exchange_in_steps(one, other)


def _exchange_in_steps(one: Path, other: Path) -> None:
    """Swap by renaming; for a moment `other` does not exist, and never is it a mixture."""
    aside = one.with_name(one.name + '.old')
    os.rename(other, aside)
    try:
        os.rename(one, other)
    except OSError:
        os.rename(aside, other)
        raise
    os.rename(aside, one)
