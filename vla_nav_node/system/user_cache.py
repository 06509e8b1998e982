"""The user's cache: engines, compiled code, verdicts for GPUs. A leaf."""

import os
from pathlib import Path
import stat

from ..errors import BackendError

OTHERS_MAY_WRITE = stat.S_IWGRP | stat.S_IWOTH


def cache_root() -> Path:
    """Return the cache's directory, in $XDG_CACHE_HOME or in ~/.cache."""
    base = os.environ.get('XDG_CACHE_HOME', '')
    # The XDG specification says to ignore a relative path.
    root = Path(base) if os.path.isabs(base) else Path.home() / '.cache'
    return root / 'vla_nav_node'


def own_directory(directory: Path, what: str = 'engine') -> Path:
    """Create and return a directory for trusted files; raise BackendError if others may write."""
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        found = directory.stat()
    except OSError as error:
        raise cannot_write(directory, error, what) from None
    if not is_own(found):
        raise BackendError(
            f'the directory {directory} can be written by others',
            'a directory that only you can write: its files are trusted',
            f'chmod 700 {directory}, or set XDG_CACHE_HOME')
    return directory


def is_own(found: os.stat_result) -> bool:
    """Return whether a file belongs to this user and no other user may write it."""
    return found.st_uid == os.getuid() and not found.st_mode & OTHERS_MAY_WRITE


def cannot_write(directory: Path, error: OSError, what: str = 'engine',
                 size: int = 0) -> BackendError:
    """Return the error for a file that could not be written to the cache."""
    wanted = f' and {size / 1e6:.0f} MB' if size else ''
    return BackendError(f'no {what} can be kept in {directory}: {error.strerror or error}',
                        f'a directory that can be written{wanted}',
                        'free some space there, or set XDG_CACHE_HOME to another place')
