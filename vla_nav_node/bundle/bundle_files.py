"""The files in a bundle's directory: the ones that its manifest lists, others, and changes."""

import hashlib
import os
from pathlib import Path
from typing import Any, Dict, Iterable, List, Mapping, Tuple

from .manifest_text import MANIFEST, parse_manifest, read_manifest
from .onnx_external import external_files, NotOnnx
from ..errors import BundleError

Files = Mapping[str, Mapping[str, Any]]  # as a manifest lists them
Stamp = Tuple[int, int, int]  # inode, bytes, modification time in ns
MOST_TOLD = 5  # names in one message


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with open(path, 'rb') as file:
        for block in iter(lambda: file.read(1 << 20), b''):
            digest.update(block)
    return digest.hexdigest()


def stamps_of(root: Path, names: Iterable[str]) -> Dict[str, Stamp]:
    """Return what tells a file from one that was altered or replaced, without reading it."""
    return {name: _stamp(root / name) for name in names}


def _stamp(path: Path) -> Stamp:
    try:
        found = os.stat(path)
    except OSError:
        return (0, 0, 0)
    return (found.st_ino, found.st_size, found.st_mtime_ns)


def file_problems(root: Path, files: Files) -> List[str]:
    """Tell which files are not what the manifest says, or read more than it lists."""
    found = (_problem(root / name, wanted) or _external(root / name)
             for name, wanted in files.items())
    return [problem for problem in found if problem]


def _problem(path: Path, wanted: Mapping[str, Any]) -> str:
    if not path.is_file():
        return f'{path.name} is missing'
    try:
        size = path.stat().st_size
        if size != wanted['bytes']:
            return f'{path.name} has {size} bytes instead of {wanted["bytes"]}'
        if sha256_of(path) != wanted['sha256']:
            return f'{path.name} is altered (its SHA-256 differs)'
    except OSError as error:
        return f'{path.name} cannot be read ({error.strerror})'
    return ''


def _external(path: Path) -> str:
    """Tell of weights outside of a graph: no hash of a verdict would be about them."""
    if path.suffix != '.onnx':
        return ''
    try:
        found = external_files(path)
    except (NotOnnx, OSError):
        return ''  # no runtime opens it either, and whoever tries says why
    return f'{path.name} reads weights from other files ({found[0][:100]})' if found else ''


def replaceable(directory: Path) -> List[str]:
    """
    Give the names in a directory that a new bundle may replace; raise BundleError for all others.

    That is an old bundle's manifest and what it lists, as long as it is what it lists. Nothing
    counts as ours by its name alone.
    """
    there = _names(directory)
    if not there:
        return []
    try:
        files = parse_manifest(read_manifest(directory), str(directory / MANIFEST))['files']
    except BundleError as error:
        raise _in_the_way(directory, there, error.found) from None
    strangers = [name for name in there if name not in files and name != MANIFEST]
    altered = [problem for name, wanted in files.items() if name in there
               and (problem := _problem(directory / name, wanted))]
    if strangers or altered:
        raise _in_the_way(directory, [*strangers, *altered], f'its {MANIFEST} lists no such file')
    return there


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
                          'a directory that is yours', 'name another one') from None


def _in_the_way(directory: Path, what: List[str], why: str) -> BundleError:
    more = f' and {len(what) - MOST_TOLD} more' if what[MOST_TOLD:] else ''
    return BundleError(
        f'{directory} has other files, such as {", ".join(what[:MOST_TOLD])}{more}, which would '
        f'be lost ({why})',
        f'a new directory, or a bundle with nothing but what its {MANIFEST} lists',
        'move what is yours away, or name another directory')
