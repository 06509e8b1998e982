"""A bundle again with other files or facts in it: all of it at once, or nothing."""

from contextlib import contextmanager
from pathlib import Path
import tempfile
from typing import Any, Iterator, Mapping

from ..bundle import Bundle, refuse_strangers, write_bundle
from ..errors import BundleError


def rewrite_bundle(bundle: Bundle, directory: Path, files: Mapping[str, Path],
                   facts: Mapping[str, Any]) -> Bundle:
    """
    Write `bundle` to `directory` (its own, or another) with `files` and `facts` put in.

    What it has besides stays, verdicts included: those hold the hashes of the files that they
    are about, and do not count for others.
    """
    kept = {key: value for key, value in bundle.manifest.items() if key != 'files'}
    sources = {name: bundle.file(name) for name in bundle.manifest['files']}
    return write_bundle(directory, {**kept, **facts}, {**sources, **files})


@contextmanager
def folder_beside(directory: Path, bundle: Bundle) -> Iterator[Path]:
    """
    Give a folder for new files on the disk of `directory`; it is gone afterwards.

    Raise BundleError, before any long work, where `bundle` could not be written there.
    """
    refuse_strangers(directory, bundle.manifest['files'])
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        folder = tempfile.TemporaryDirectory(dir=directory.parent)
    except OSError as error:
        raise BundleError(f'nothing can be written beside {directory}: {error.strerror}',
                          'a place that is yours', 'name one with --out') from None
    with folder as name:
        yield Path(name)
