"""Whether the bundle on disk is still the one that drives."""

from typing import Any, Dict

from .bundle import Bundle, load_bundle
from .bundle_files import stamps_of
from ..errors import BundleError


class BundleChanges:
    """
    Detect files of a bundle that were altered or replaced after they were loaded.

    The running policy is in memory and unaffected; the next start or swap would read another one.
    New verdicts are no change: verify may run while the node drives.
    """

    def __init__(self, bundle: Bundle) -> None:
        """Compare with the files as they were before `bundle` was read."""
        self.bundle = bundle  # with the verdicts of the last check

    def changed(self) -> str:
        """Return which files have changed, '' if none; fast, since it reads no file."""
        before = self.bundle.stamps
        now = stamps_of(self.bundle.directory, before)
        names = ', '.join(name for name, stamp in now.items() if stamp != before[name])
        return names and f'{names} changed on disk since the node loaded it'

    def check(self) -> Bundle:
        """Return the bundle with its newest verdicts; raise BundleError if the rest changed."""
        directory = self.bundle.directory
        now = load_bundle(directory)
        if _but_verdicts(now) != _but_verdicts(self.bundle):
            raise BundleError(f'{directory} was replaced since this node loaded it',
                              'the bundle that drives', 'restart the node to load the new one')
        self.bundle = now
        return now

    def confirm(self) -> None:
        """Raise BundleError if files opened since the last check are not the checked ones."""
        if self.changed():
            self.check()


def _but_verdicts(bundle: Bundle) -> Dict[str, Any]:
    return {key: value for key, value in bundle.manifest.items() if key != 'verification'}
