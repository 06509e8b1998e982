"""Figures into the manifest of a bundle whose files stay as they are."""

import copy
from typing import Any, Callable, Dict

from .bundle import Bundle, load_bundle
from .manifest_text import dump_manifest, MANIFEST, parse_manifest
from ..errors import BundleError
from ..system.atomic_files import write_file
from ..system.directory_lock import locked


def amend(bundle: Bundle, change: Callable[[Dict[str, Any]], None]) -> Bundle:
    """
    Have `change` alter the manifest on disk, all at once; the files stay as they are.

    It is read anew for that, and nobody else writes meanwhile: what others have put in stays.
    Raise BundleError when the files are no longer those of `bundle`.
    """
    try:
        with locked(bundle.directory):
            return _amend(bundle, change)
    except OSError as error:
        raise BundleError(f'{bundle.directory / MANIFEST} cannot be written: {error.strerror}',
                          'a directory that is ours, and space', 'copy the bundle first') from None


def _amend(bundle: Bundle, change: Callable[[Dict[str, Any]], None]) -> Bundle:
    now = load_bundle(bundle.directory)
    if now.manifest['files'] != bundle.manifest['files']:
        raise BundleError(f'the files of {bundle.directory} were replaced meanwhile',
                          'the ones that the figures are about', 'run the command again')
    manifest = copy.deepcopy(now.manifest)
    change(manifest)
    text = dump_manifest(manifest)
    parse_manifest(text, str(bundle.directory / MANIFEST))
    write_file(bundle.directory / MANIFEST, text.encode())
    return load_bundle(bundle.directory)
