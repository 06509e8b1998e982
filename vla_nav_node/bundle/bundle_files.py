"""The files in a bundle's directory: their hashes, and whether they match its manifest."""

import hashlib
import os
from pathlib import Path
from typing import Any, Dict, Iterable, List, Mapping, Tuple

from .onnx_external import external_files, NotOnnx

Files = Mapping[str, Mapping[str, Any]]  # as a manifest lists them
Stamp = Tuple[int, int, int]  # inode, bytes, modification time in ns


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
    found = (file_problem(root / name, listed) or _external(root / name)
             for name, listed in files.items())
    return [problem for problem in found if problem]


def file_problem(path: Path, listed: Mapping[str, Any]) -> str:
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
