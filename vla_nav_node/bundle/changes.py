"""Whether the bundle on disk is still the one that drives."""

from typing import Any, Dict

from .bundle import Bundle, load_bundle
from .bundle_files import stamps_of
from ..errors import BundleError


class BundleChanges:
    """
    Notice that files of a bundle were altered or replaced after they were loaded.

    What drives is in memory and goes on; the next start or swap would read something else. New
    verdicts do not alter it: verify may run while the node drives.
    """

    def __init__(self, bundle: Bundle) -> None:
        """Watch the files as they were before they were read."""
        self.bundle = bundle  # with the verdicts of the last check

    def changed(self) -> str:
        """Name what has changed, '' if nothing has; quick, it reads no file."""
        before = self.bundle.stamps
        now = stamps_of(self.bundle.directory, before)
        names = ', '.join(name for name, stamp in now.items() if stamp != before[name])
        return names and f'{names} changed on disk since the node loaded it'

    def check(self) -> Bundle:
        """Return the bundle with its newest verdicts; BundleError unless the rest is what it was."""
        directory = self.bundle.directory
        now = load_bundle(directory)
        if _but_verdicts(now) != _but_verdicts(self.bundle):
            raise BundleError(f'{directory} was replaced since this node loaded it',
                              'the bundle that drives',
                              'start the node anew to drive by the new one')
        self.bundle = now
        return now

    def confirm(self) -> None:
        """Raise BundleError unless what was opened since the last check is what was checked."""
        if self.changed():
            self.check()


def _but_verdicts(bundle: Bundle) -> Dict[str, Any]:
    return {key: value for key, value in bundle.manifest.items() if key != 'verification'}
