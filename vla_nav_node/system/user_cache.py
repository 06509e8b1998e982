"""The user's own cache: engines, compiled code, verdicts on kinds of GPU. A leaf."""

import os
from pathlib import Path
import stat

from ..errors import BackendError

OTHERS_MAY_WRITE = stat.S_IWGRP | stat.S_IWOTH


def cache_root() -> Path:
    """Return the directory of all of it: in $XDG_CACHE_HOME, or in ~/.cache."""
    base = os.environ.get('XDG_CACHE_HOME', '')
    # The specification has a relative path ignored.
    root = Path(base) if os.path.isabs(base) else Path.home() / '.cache'
    return root / 'vla_nav_node'


def own_directory(directory: Path, what: str = 'engine') -> Path:
    """Make a directory for what is trusted, or raise BackendError if it cannot be, or be made."""
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        found = directory.stat()
    except OSError as error:
        raise cannot_write(directory, error, what) from None
    if not is_own(found):
        raise BackendError(
            f'the directory {directory} can be written by others', 'a directory of your own: what '
            'lies in it is trusted, and is taken from nobody else',
            f'chmod 700 {directory}, or set XDG_CACHE_HOME')
    return directory


def is_own(found: os.stat_result) -> bool:
    """Tell whether something belongs to this user, and nobody else may write it."""
    return found.st_uid == os.getuid() and not found.st_mode & OTHERS_MAY_WRITE


def cannot_write(directory: Path, error: OSError, what: str = 'engine',
                 size: int = 0) -> BackendError:
    """Return the error for what could not be kept."""
    wanted = f' and {size / 1e6:.0f} MB' if size else ''
    return BackendError(f'no {what} can be kept in {directory}: {error.strerror or error}',
                        f'a directory that can be written{wanted}',
                        'free some space there, or set XDG_CACHE_HOME to another place')
