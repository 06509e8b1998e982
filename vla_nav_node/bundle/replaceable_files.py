"""Which files in a directory a new bundle may replace: those of an old bundle, and no others."""

import os
from pathlib import Path
from typing import List

from .bundle_files import file_problem
from .manifest import MANIFEST, parse_manifest, read_manifest
from ..errors import BundleError

MOST_NAMED = 5  # files in one message


def replaceable(directory: Path) -> List[str]:
    """
    Return the names in a directory that a new bundle may replace; raise BundleError for others.

    Those are an old bundle's manifest and its listed, unaltered files. No file counts as part of
    a bundle by its name alone.
    """
    present = _names(directory)
    if not present:
        return []
    try:
        files = parse_manifest(read_manifest(directory), str(directory / MANIFEST))['files']
    except BundleError as error:
        raise _in_the_way(directory, present, error.found) from None
    foreign = [name for name in present if name not in files and name != MANIFEST]
    altered = [problem for name, listed in files.items() if name in present
               and (problem := file_problem(directory / name, listed))]
    if foreign or altered:
        raise _in_the_way(directory, [*foreign, *altered], f'its {MANIFEST} lists no such file')
    return present


def _names(directory: Path) -> List[str]:
    if not os.path.lexists(directory):
        return []
    if not directory.is_dir():
        raise BundleError(f'{directory} is a file', 'a directory for the bundle',
                          'name another one')
    try:
        return sorted(os.listdir(directory))
    except OSError as error:
        raise BundleError(f'{directory} cannot be read: {error.strerror}',
                          'a directory of your own', 'name another one') from None


def _in_the_way(directory: Path, names: List[str], why: str) -> BundleError:
    more = f' and {len(names) - MOST_NAMED} more' if names[MOST_NAMED:] else ''
    return BundleError(
        f'{directory} has other files, such as {", ".join(names[:MOST_NAMED])}{more}, which would '
        f'be lost ({why})',
        f'a new directory, or a bundle with nothing but the files in its {MANIFEST}',
        'move your own files away, or name another directory')
