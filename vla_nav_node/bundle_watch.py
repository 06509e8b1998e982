"""Whether the bundle on disk is still the one that drives."""

import os
from typing import Dict, Tuple

from .bundle import Bundle, load_bundle, MANIFEST
from .errors import BundleError

Stamp = Tuple[int, int, int]  # inode, bytes, modification time in ns


class BundleWatch:
    """
    Notice that files of a bundle were altered or replaced after they were loaded.

    What drives is in memory and goes on; the next start or swap would read something else.
    """

    def __init__(self, bundle: Bundle) -> None:
        """Note how the files are now."""
        self._bundle = bundle
        self._stamps = self._look()

    def changed(self) -> str:
        """Name what has changed, '' if nothing has; quick, it reads no file."""
        names = ', '.join(name for name, stamp in self._look().items()
                          if stamp != self._stamps[name])
        return names and f'{names} changed on disk since the node loaded it'

    def check(self) -> None:
        """Raise BundleError unless every byte is what it was; reads all files."""
        directory = self._bundle.directory
        if load_bundle(directory).manifest != self._bundle.manifest:
            raise BundleError(f'{directory} was replaced since this node loaded it',
                              'the bundle that drives',
                              'start the node anew to drive by the new one')

    def _look(self) -> Dict[str, Stamp]:
        directory = self._bundle.directory
        return {name: _stamp(str(directory / name))
                for name in (MANIFEST, *self._bundle.manifest['files'])}


def _stamp(path: str) -> Stamp:
    try:
        found = os.stat(path)
    except OSError:
        return (0, 0, 0)
    return (found.st_ino, found.st_size, found.st_mtime_ns)
