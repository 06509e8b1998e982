"""Whether the bundle on disk is still the one that drives."""

import os
from typing import Any, Dict, Tuple

from .bundle import Bundle, load_bundle, MANIFEST
from .errors import BundleError

Stamp = Tuple[int, int, int]  # inode, bytes, modification time in ns


class BundleWatch:
    """
    Notice that files of a bundle were altered or replaced after they were loaded.

    What drives is in memory and goes on; the next start or swap would read something else. New
    verdicts do not alter it: verify may run while the node drives.
    """

    def __init__(self, bundle: Bundle) -> None:
        """Note how the files are now."""
        self.bundle = bundle  # with the verdicts of the last check
        self._stamps = self._look()

    def changed(self) -> str:
        """Name what has changed, '' if nothing has; quick, it reads no file."""
        names = ', '.join(name for name, stamp in self._look().items()
                          if stamp != self._stamps[name])
        return names and f'{names} changed on disk since the node loaded it'

    def check(self) -> Bundle:
        """Give the bundle with its newest verdicts; BundleError unless the rest is what it was."""
        directory, stamps = self.bundle.directory, self._look()
        now = load_bundle(directory)
        if _but_verdicts(now) != _but_verdicts(self.bundle):
            raise BundleError(f'{directory} was replaced since this node loaded it',
                              'the bundle that drives',
                              'start the node anew to drive by the new one')
        self.bundle, self._stamps = now, stamps
        return now

    def _look(self) -> Dict[str, Stamp]:
        directory = self.bundle.directory
        return {name: _stamp(str(directory / name))
                for name in (MANIFEST, *self.bundle.manifest['files'])}


def _but_verdicts(bundle: Bundle) -> Dict[str, Any]:
    return {key: value for key, value in bundle.manifest.items() if key != 'verification'}


def _stamp(path: str) -> Stamp:
    try:
        found = os.stat(path)
    except OSError:
        return (0, 0, 0)
    return (found.st_ino, found.st_size, found.st_mtime_ns)
