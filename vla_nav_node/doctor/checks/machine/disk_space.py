"""Free space where engines, verdicts, profiles and logs are written."""

import os
from pathlib import Path
import tempfile
from typing import Dict, Iterator

from ..check import Check, failed, Finding, ok, warning
from ..place import nearest, Place
from ....system.user_cache import cache_root

LEAST, ENOUGH = 64e6, 1e9  # bytes: a bundle's files; an engine with its build
BLOCK = bytes(1 << 20)
VARIABLES = {'the cache': 'XDG_CACHE_HOME', 'temporary files': 'TMPDIR',
             'the logs of ROS': 'ROS_LOG_DIR'}


def run(place: Place) -> Iterator[Finding]:
    """Ask each file system, and write a megabyte to it."""
    sizes = []
    for name, folder in folders(place).items():
        free = os.statvfs(folder).f_bavail * os.statvfs(folder).f_frsize
        problem = write_problem(folder)
        sizes.append(f'{name} {free / 1e9:.1f} GB')
        if problem or free < LEAST:
            yield failed(f'{name}: {folder} has {free / 1e6:.0f} MB free'
                         + (f', and a file of 1 MB fails: {problem}' if problem else ''),
                         f'{LEAST / 1e6:.0f} MB and leave to write', remedy(name, folder))
        elif free < ENOUGH:
            yield warning(f'{name}: {folder} has {free / 1e6:.0f} MB free', '1 GB, the room that '
                          'an engine of TensorRT or a log of some days takes',
                          remedy(name, folder))
    yield ok('free: ' + ', '.join(sizes))


def folders(place: Place) -> Dict[str, Path]:
    """Return where what is written."""
    home = Path(place.environment.get('ROS_HOME', '') or Path.home() / '.ros')
    logs = Path(place.environment.get('ROS_LOG_DIR', '') or home / 'log')
    return {'the cache': nearest(cache_root()), 'temporary files': Path(tempfile.gettempdir()),
            'the logs of ROS': nearest(logs)}


def write_problem(folder: Path) -> str:
    """Return why a megabyte cannot be written; '' if it can."""
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(BLOCK)
            file.flush()
    except OSError as error:
        return error.strerror or str(error)
    return ''


def remedy(name: str, folder: Path) -> str:
    """Return how to make room in a folder."""
    variable = VARIABLES[name]
    return f'see what is large (du -xsh {folder}/*) and free it, or set {variable} elsewhere'


CHECK = Check('disk', 'everywhere', "the free space of the user's cache, of temporary files and "
              'of the logs of ROS, and one written megabyte', run)
