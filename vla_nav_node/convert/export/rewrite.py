"""Rewrite a bundle with other files or facts in it: all at once, or not at all."""

from contextlib import contextmanager
import copy
from pathlib import Path
import tempfile
from typing import Any, Callable, Dict, Iterator, Mapping, Optional

from ...bundle.bundle import Bundle, Content, load_bundle, replace_bundle
from ...bundle.replaceable_files import replaceable
from ...errors import BundleError

Change = Callable[[Dict[str, Any]], None]


def rewrite_bundle(bundle: Bundle, directory: Path, files: Mapping[str, Path],
                   change: Optional[Change] = None) -> Bundle:
    """
    Write `bundle` to `directory` (its own, or another) with `files` and a `change` put in.

    The rest stays as it is on disk by then. That includes verdicts: they hold the hashes of the
    files that they are about, and do not count for others. Raise BundleError if another file
    of `bundle` was replaced since it was loaded.
    """
    def compose() -> Content:
        now = load_bundle(bundle.directory)
        replaced = [name for name, facts in bundle.manifest['files'].items()
                    if name not in files and now.manifest['files'].get(name) != facts]
        if replaced:
            raise BundleError(f'{replaced[0]} of {bundle.directory} was replaced meanwhile',
                              'the file that this was made from', 'run the command again')
        manifest = copy.deepcopy(now.manifest)
        sources = {name: now.file(name) for name in manifest.pop('files')}
        if change:
            change(manifest)
        return manifest, {**sources, **files}
    return replace_bundle(directory, compose)


@contextmanager
def folder_beside(directory: Path) -> Iterator[Path]:
    """
    Yield a temporary folder for new files, on the disk of `directory`.

    Raise BundleError, before any long work, if no bundle can be written to `directory`.
    """
    replaceable(directory)
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        folder = tempfile.TemporaryDirectory(prefix=f'.{directory.name}.', dir=directory.parent)
    except OSError as error:
        raise BundleError(f'nothing can be written beside {directory}: {error.strerror}',
                          'a writable directory', 'name one with --out') from None
    with folder as name:
        yield Path(name)


def refuse_inside(directory: Path, source: Path) -> None:
    """Raise BundleError if a bundle at `directory` would replace the `source` it is made from."""
    target, path = directory.expanduser().resolve(), source.expanduser().resolve()
    if target == path or target in path.parents:
        raise BundleError(f'{source} lies in {directory}, which would be replaced',
                          'another directory', 'name another one with --out')
