"""Read the two forms of torch.save: a zip with records, and the older row of pickles."""

from io import BytesIO
import struct
from typing import Any, BinaryIO, Callable, Dict, List, NamedTuple, Tuple
from zipfile import BadZipFile, ZIP_STORED, ZipFile, ZipInfo

import torch

from .kinds import refuse_zip
from .pickles import GlobalName, Malformed, OpaqueObject, read_pickle, Refused
from .stored import bytes_at, MAKERS, Storage, STORAGES, swapped_bytes

MAGIC, PROTOCOL = 0x1950a86a20f9469cfc6c, 1001  # at the beginning of the older form
LOCAL_HEADER = struct.Struct('<4s22xHH')  # signature, lengths of the name and of the extra field
BytesOf = Callable[[str, int, int], torch.Tensor]  # (key, bytes, bytes of a number) -> uint8 [N]
NESTED = 'policy.pth'  # in a Stable-Baselines3 archive


class Document(NamedTuple):
    """The content of a file, and notes for the user."""

    tree: Any
    notes: List[str]
    metadata: Dict[str, Any] = {}  # texts beside the tree, in safetensors


def read_zip(file: str, stream: BinaryIO, content: Any) -> Document:
    """
    Read torch.save's zip called `file`, or policy.pth of a Stable-Baselines3 archive.

    Raise Malformed, Refused, or CheckpointError for a zip of another kind.
    """
    try:
        with ZipFile(stream) as archive:
            records = {record.filename: record for record in archive.infolist()}
            folder = next((name[:-8] for name in records if name.endswith('/data.pkl')
                           and name.count('/') == 1), '')
            nested = not folder and {NESTED, 'data'} <= records.keys()
            if not (nested or folder) or f'{folder}constants.pkl' in records:
                refuse_zip(file, list(records))
            notes = _check_records(archive)
            if not nested:
                return Document(_read_tree(archive, folder, records, content), notes)
            inner = bytearray(archive.read(NESTED))
    except Malformed:
        raise
    except (BadZipFile, EOFError, LookupError, OverflowError, RuntimeError, ValueError,
            struct.error) as error:  # zipfile raises these for damaged archives
        raise Malformed(f'as a zip archive: {error or type(error).__name__}') from None
    tree = read_zip(file, BytesIO(inner), inner).tree if inner[:2] == b'PK' \
        else read_legacy(inner)
    return Document(tree, [f'a Stable-Baselines3 archive: {NESTED} was read, and nothing else in '
                           'it', *notes])


def _check_records(archive: ZipFile) -> List[str]:
    """Check all content against its checksums, which torch.load does not; return notes."""
    records = archive.infolist()
    if any(record.compress_type != ZIP_STORED or record.flag_bits & 1 for record in records):
        raise Refused('is a compressed archive, which torch.save does not write')
    unchecked = not any(record.CRC for record in records)  # set_crc32_options(False) writes zeros
    for record in records if unchecked else []:
        del record.CRC
    damaged = archive.testzip()
    if damaged:
        raise Malformed(f'the checksum of {damaged} is wrong')
    return ['it was saved without checksums: only its lengths were checked'] \
        if unchecked else []


def _read_tree(archive: ZipFile, folder: str, records: Dict[str, ZipInfo], content: Any) -> Any:
    order = records.get(f'{folder}byteorder')
    is_big = order is not None and archive.read(order) == b'big'
    known: Dict[str, torch.Tensor] = {}

    def bytes_of(key: str, count: int, item: int) -> torch.Tensor:
        record = records.get(f'{folder}data/{key}')
        if record is None or record.file_size < count:
            raise Malformed(f'storage {key} of {count} bytes is not whole')
        if key not in known:
            header = record.header_offset
            _, name, extra = LOCAL_HEADER.unpack(content[header:header + LOCAL_HEADER.size])
            start = header + LOCAL_HEADER.size + name + extra
            known[key] = bytes_at(content, start, record.file_size)
        found = known[key][:count]
        return swapped_bytes(found, item) if is_big else found

    pickled = BytesIO(archive.read(records[f'{folder}data.pkl']))
    return read_pickle(pickled, MAKERS, _storage_reader(bytes_of))


def _storage_reader(bytes_of: BytesOf) -> Callable[[Any], Any]:
    """Return a function that returns the storage that a pickle refers to."""
    def read(reference: Any) -> Any:
        what, *parts = reference if isinstance(reference, tuple) else ('',)
        if what == 'module' and parts:
            return parts[0]
        if what != 'storage' or not isinstance(parts[0], GlobalName):
            raise ValueError('a reference to something else than a storage')
        kind, key, _, count, *view = parts
        if kind.name not in STORAGES or any(view):
            return OpaqueObject(kind.name, (), None, None)
        dtype = STORAGES[kind.name]
        if type(count) is not int or count < 0:
            raise ValueError('a storage without a size')
        return Storage(bytes_of(str(key), count * dtype.itemsize, dtype.itemsize), dtype)
    return read


def read_legacy(content: Any) -> Any:
    """Read the older form of torch.save from a buffer; raise Malformed or Refused."""
    stream = BytesIO(content) if isinstance(content, bytearray) else content
    stream.seek(0)
    if read_pickle(stream, {}, _ignore) != MAGIC:
        raise Refused('is a Python pickle that torch.save did not write')
    protocol, system = (read_pickle(stream, {}, _ignore) for _ in range(2))
    if protocol != PROTOCOL or not isinstance(system, dict):
        raise Refused('is of a protocol of torch.save that is not known')
    start = stream.tell()
    places = _storage_places(stream, content)
    is_big = system.get('little_endian') is False
    known: Dict[Tuple[str, int, int], torch.Tensor] = {}  # so that copies are recognised as such

    def bytes_of(key: str, count: int, item: int) -> torch.Tensor:
        place, length = places[key]
        if length < count:
            raise Malformed(f'storage {key} of {count} bytes is not whole')
        if (key, count, item) not in known:
            found = bytes_at(content, place, count)
            known[key, count, item] = swapped_bytes(found, item) if is_big else found
        return known[key, count, item]

    stream.seek(start)
    return read_pickle(stream, MAKERS, _storage_reader(bytes_of))


def _storage_places(stream: Any, content: Any) -> Dict[str, Tuple[int, int]]:
    """Return start and length of each storage; they follow the pickle with the tensors."""
    items: Dict[str, int] = {}

    def record_item(reference: Any) -> None:
        what, *parts = reference if isinstance(reference, tuple) else ('',)
        if what == 'storage' and isinstance(parts[0], GlobalName):
            kind = STORAGES.get(parts[0].name, torch.uint8)
            items.setdefault(str(parts[1]), kind.itemsize)

    read_pickle(stream, {}, record_item)
    keys = read_pickle(stream, {}, _ignore)
    if not isinstance(keys, list):
        raise Malformed('its list of storages is not a list')
    places: Dict[str, Tuple[int, int]] = {}
    for key in keys:
        if not isinstance(key, str) or key not in items:
            raise Malformed('its list of storages is not that of its tensors')
        start = stream.tell() + 8
        count = int.from_bytes(stream.read(8), 'little') * items[key]
        if start + count > len(content):
            raise Malformed(f'storage {key} needs {count} bytes, and '
                            f'{max(len(content) - start, 0)} are left')
        places[key] = (start, count)
        stream.seek(start + count)
    return places


def _ignore(_: Any) -> None:
    return None
