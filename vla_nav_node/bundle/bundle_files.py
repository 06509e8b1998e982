"""The files in a bundle's directory: whether they match its manifest, and which are foreign."""

import hashlib
import os
from pathlib import Path
from typing import Any, Dict, Iterable, List, Mapping, Tuple

from .manifest import MANIFEST, parse_manifest, read_manifest
from .onnx_external import external_files, NotOnnx
from ..errors import BundleError

Files = Mapping[str, Mapping[str, Any]]  # as a manifest lists them
Stamp = Tuple[int, int, int]  # inode, bytes, modification time in ns
MOST_NAMED = 5  # files in one message


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with open(path, 'rb') as file:
        for block in iter(lambda: file.read(1 << 20), b''):
            digest.update(block)
    return digest.hexdigest()


def stamps_of(root: Path, names: Iterable[str]) -> Dict[str, Stamp]:
    """Return a stamp of each file that changes when it is altered or replaced; read no file."""
    return {name: _stamp(root / name) for name in names}


def _stamp(path: Path) -> Stamp:
    try:
        found = os.stat(path)
    except OSError:
        return (0, 0, 0)
    return (found.st_ino, found.st_size, found.st_mtime_ns)


def file_problems(root: Path, files: Files) -> List[str]:
    """Return a problem for each file that differs from the manifest or reads unlisted files."""
    found = (_problem(root / name, listed) or _external(root / name)
             for name, listed in files.items())
    return [problem for problem in found if problem]


def _problem(path: Path, listed: Mapping[str, Any]) -> str:
    if not path.is_file():
        return f'{path.name} is missing'
    try:
        size = path.stat().st_size
        if size != listed['bytes']:
            return f'{path.name} has {size} bytes instead of {listed["bytes"]}'
        if sha256_of(path) != listed['sha256']:
            return f'{path.name} is altered (its SHA-256 differs)'
    except OSError as error:
        return f'{path.name} cannot be read ({error.strerror})'
    return ''


def _external(path: Path) -> str:
    """Report weights outside of a graph: no hash in a verdict would cover them."""
    if path.suffix != '.onnx':
        return ''
    try:
        found = external_files(path)
    except (NotOnnx, OSError):
        return ''  # no runtime opens it either; opening it reports the reason
    return f'{path.name} reads weights from other files ({found[0][:100]})' if found else ''


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
               and (problem := _problem(directory / name, listed))]
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
