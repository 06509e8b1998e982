"""A bundle again with other files or facts in it: all of it at once, or nothing."""

from contextlib import contextmanager
import copy
from pathlib import Path
import tempfile
from typing import Any, Callable, Dict, Iterator, Mapping, Optional

from ...bundle.bundle import Bundle, Content, load_bundle, replace_bundle
from ...bundle.bundle_files import replaceable
from ...errors import BundleError

Change = Callable[[Dict[str, Any]], None]


def rewrite_bundle(bundle: Bundle, directory: Path, files: Mapping[str, Path],
                   change: Optional[Change] = None) -> Bundle:
    """
    Write `bundle` to `directory` (its own, or another) with `files` and a `change` put in.

    What it has besides stays, as it is by then: verdicts included, which hold the hashes of the
    files that they are about, and do not count for others.
    """
    def compose() -> Content:
        now = _same(bundle, files)
        manifest = copy.deepcopy(now.manifest)
        sources = {name: now.file(name) for name in manifest.pop('files')}
        if change:
            change(manifest)
        return manifest, {**sources, **files}
    return replace_bundle(directory, compose)


def _same(bundle: Bundle, files: Mapping[str, Path]) -> Bundle:
    """Read it anew, after long work; raise BundleError if what was worked on was replaced."""
    now = load_bundle(bundle.directory)
    replaced = [name for name, facts in bundle.manifest['files'].items()
                if name not in files and now.manifest['files'].get(name) != facts]
    if replaced:
        raise BundleError(f'{replaced[0]} of {bundle.directory} was replaced meanwhile',
                          'the one that this was made from', 'run the command again')
    return now


@contextmanager
def folder_beside(directory: Path) -> Iterator[Path]:
    """
    Give a folder for new files on the disk of `directory`; it is gone afterwards.

    Raise BundleError, before any long work, where no bundle could be written there.
    """
    replaceable(directory)
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        folder = tempfile.TemporaryDirectory(prefix=f'.{directory.name}.', dir=directory.parent)
    except OSError as error:
        raise BundleError(f'nothing can be written beside {directory}: {error.strerror}',
                          'a place that is yours', 'name one with --out') from None
    with folder as name:
        yield Path(name)


def refuse_inside(directory: Path, source: Path) -> None:
    """Raise BundleError where a bundle at `directory` would take the place of what it is of."""
    target, path = directory.expanduser().resolve(), source.expanduser().resolve()
    if target == path or target in path.parents:
        raise BundleError(f'{source} lies in {directory}, which would be replaced',
                          'another directory', 'name another one with --out')
