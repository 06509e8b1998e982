"""Read a file of weights as plain data, whatever else may have been put into it."""

import json
import mmap
from pathlib import Path
import struct
from typing import Any

from .archives import Document, read_legacy, read_zip
from .kinds import AS_SAVED, refuse_foreign_file, WEIGHTS
from .pickles import Malformed, Refused
from ....errors import CheckpointError

MOST_HEADER = 100_000_000  # bytes, as safetensors has it
SUFFIXES = ('.pth', '.pt', '.ckpt', '.bin', '.safetensors', '.zip')


def read_document(path: Path) -> Document:
    """
    Return the content of a torch file (zip or legacy) or safetensors; no code in it is run.

    Raise CheckpointError that says what the file is instead. "Broken" is said only of a wrong
    length or checksum, never of another form.
    """
    if not path.is_file():
        raise CheckpointError(_absent(path), WEIGHTS)
    try:
        return _read(path)
    except Malformed as error:
        reason = ' '.join(str(error).split())[:160]
        raise CheckpointError(f'{path.name} is broken or cut off: {reason}', 'a whole checkpoint',
                              'copy or save it again') from None
    except Refused as error:
        raise CheckpointError(f'{path.name} {error}', 'tensors and plain values',
                              AS_SAVED) from None
    except (MemoryError, OSError) as error:
        raise CheckpointError(f'{path.name} cannot be read: {error or type(error).__name__}',
                              WEIGHTS) from None


def _absent(path: Path) -> str:
    if not path.exists():
        return f'no checkpoint at {path}'
    held = sorted(str(file.relative_to(path)) for file in path.glob('*')
                  if file.suffix in SUFFIXES)[:4] if path.is_dir() else []
    return f'{path} is no file' + (f', but a folder with {", ".join(held)}' if held else '')


def _read(path: Path) -> Document:
    if not path.stat().st_size:
        raise CheckpointError(f'{path.name} is empty', WEIGHTS, 'copy it again')
    with open(path, 'rb') as stream:
        content = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_COPY)
        start = content[:512]
        if start.startswith(b'PK'):
            return read_zip(path.name, stream, content)
        if start.startswith(b'\x80'):
            return Document(read_legacy(content), [])
        if start[4:9] == b'\0\0\0\0{':
            _check_lengths(content)
            return _read_safetensors(path)
        refuse_foreign_file(path, start, content[-8:])
    raise CheckpointError(f'{path.name} begins with {start[:8]!r}, which is neither a torch file '
                          'nor safetensors', WEIGHTS, AS_SAVED)


def _check_lengths(content: Any) -> None:
    """Raise Malformed unless a safetensors file is as long as its header says."""
    length, = struct.unpack('<Q', content[:8])
    if 8 + length > len(content) or length > MOST_HEADER:
        raise Malformed(f'a header of {length} bytes in a file of {len(content)}')
    try:
        header = json.loads(content[8:8 + length])
        end = max((entry['data_offsets'][1] for name, entry in header.items()
                   if name != '__metadata__'), default=0)
        expected = 8 + length + end
    except (AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
        raise Malformed(f'its header: {error}') from None
    if expected != len(content):
        raise Malformed(f'{len(content)} bytes instead of {expected}')


def _read_safetensors(path: Path) -> Document:
    from safetensors import safe_open, SafetensorError
    try:
        with safe_open(path, framework='pt') as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            return Document(tensors, [], file.metadata() or {})
    except SafetensorError as error:
        raise Refused(f'cannot be read by safetensors: {error}') from None
