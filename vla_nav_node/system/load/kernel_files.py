"""Reading /proc and /sys: small files, which may be missing. A leaf."""

from glob import glob
import os
from typing import Iterable, List, NamedTuple, Optional

MOST_BYTES = 1 << 16  # of a file; /proc/stat begins with what is needed of it


class Roots(NamedTuple):
    """Where the kernel's files are; tests plant their own."""

    proc: str = '/proc'
    sys: str = '/sys'


LINUX = Roots()


def read_text(path: str) -> str:
    """Return the beginning of a file; '' if it cannot be read."""
    try:
        file = os.open(path, os.O_RDONLY)
    except OSError:
        return ''
    try:  # without Python's buffers this takes a third of the time
        return os.read(file, MOST_BYTES).decode(errors='replace').strip()
    except OSError:
        return ''
    finally:
        os.close(file)


def read_number(path: str) -> Optional[int]:
    """Return the number in a file; None if there is none."""
    text = read_text(path)
    return int(text) if text.lstrip('-').isdigit() else None


def read_numbers(paths: Iterable[str]) -> List[int]:
    """Return the numbers in those of the files that have one."""
    return [number for number in map(read_number, paths) if number is not None]


def matching(*pattern: str) -> List[str]:
    """Return the paths that match a pattern, sorted; brackets in the first part are literal."""
    root, *parts = pattern
    return sorted(os.path.join(root, path) for path in glob(os.path.join(*parts), root_dir=root))
