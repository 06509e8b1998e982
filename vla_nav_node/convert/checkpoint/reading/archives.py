"""The forms of torch.save: a zip with a record for each storage, and the older one of pickles."""

from io import BytesIO
import struct
from typing import Any, BinaryIO, Callable, Dict, List, NamedTuple, Tuple
from zipfile import BadZipFile, ZIP_STORED, ZipFile, ZipInfo

import torch

from .inert import Inert, Malformed, Named, Refused
from .kinds import refuse_zip
from .pickles import read_pickle
from .stored import bytes_at, MAKERS, Storage, STORAGES

MAGIC, PROTOCOL = 0x1950a86a20f9469cfc6c, 1001  # how the older form begins
LOCAL_HEADER = struct.Struct('<4s22xHH')  # signature, lengths of the name and of what is extra
Persistent = Callable[[Any], Any]
NESTED = 'policy.pth'  # of a Stable-Baselines3 archive


class Found(NamedTuple):
    """What a file holds, and what is worth telling of it."""

    tree: Any
    notes: List[str]
    noted: Dict[str, Any] = {}  # beside the tree, as safetensors has texts


def read_zip(stream: BinaryIO, content: Any) -> Found:
    """Read torch.save's zip, or policy.pth of a Stable-Baselines3 archive. Raise as pickles do."""
    try:
        with ZipFile(stream) as archive:
            records = {record.filename: record for record in archive.infolist()}
            folder = next((name[:-8] for name in records if name.endswith('/data.pkl')
                           and name.count('/') == 1), '')
            nested = not folder and {NESTED, 'data'} <= records.keys()
            if not (nested or folder) or f'{folder}constants.pkl' in records:
                refuse_zip(list(records))
            notes = _check_records(archive)
            if not nested:
                return Found(_tree_of(archive, folder, records, content), notes)
            inner = bytearray(archive.read(NESTED))
    except Malformed:
        raise
    except (BadZipFile, EOFError, LookupError, OverflowError, RuntimeError, ValueError,
            struct.error) as error:  # what zipfile raises at damage
        raise Malformed(f'as a zip archive: {error or type(error).__name__}') from None
    tree = read_zip(BytesIO(inner), inner).tree if inner[:2] == b'PK' else read_legacy(inner)
    return Found(tree, [f'a Stable-Baselines3 archive: {NESTED} was read, and nothing else in it',
                        *notes])


def _check_records(archive: ZipFile) -> List[str]:
    """Hold all content against its checksums, as torch.load does not; return what to tell."""
    records = archive.infolist()
    if any(record.compress_type != ZIP_STORED or record.flag_bits & 1 for record in records):
        raise Refused('is a compressed archive, which torch.save does not write')
    without = not any(record.CRC for record in records)  # set_crc32_options(False) writes zeros
    for record in records if without else []:
        del record.CRC
    damaged = archive.testzip()
    if damaged:
        raise Malformed(f'the checksum of {damaged} is wrong')
    return ['it was saved without checksums: only its lengths were held against it'] \
        if without else []


def _tree_of(archive: ZipFile, folder: str, records: Dict[str, ZipInfo], content: Any) -> Any:
    order = records.get(f'{folder}byteorder')
    is_big = order is not None and archive.read(order) == b'big'
    known: Dict[str, torch.Tensor] = {}

    def bytes_of(key: str, count: int, item: int) -> torch.Tensor:
        record = records.get(f'{folder}data/{key}')
        if record is None or record.file_size < count:
            raise Malformed(f'storage {key} of {count} bytes is not whole')
        if key not in known:
            known[key] = bytes_at(content, _start_of(record, content), record.file_size)
        return _turned(known[key][:count], item) if is_big else known[key][:count]

    pickled = BytesIO(archive.read(records[f'{folder}data.pkl']))
    return read_pickle(pickled, MAKERS, _persistent(bytes_of))


def _start_of(record: ZipInfo, content: Any) -> int:
    start = record.header_offset
    _, name, extra = LOCAL_HEADER.unpack(content[start:start + LOCAL_HEADER.size])
    return int(start + LOCAL_HEADER.size + name + extra)


def _turned(content: torch.Tensor, item: int) -> torch.Tensor:
    return content.view(-1, item).flip(1).flatten()


def _persistent(bytes_of: Callable[[str, int, int], torch.Tensor]) -> Persistent:
    """Return what gives a storage for a pickle's reference to it."""
    def storage(reference: Any) -> Any:
        what, *parts = reference if isinstance(reference, tuple) else ('',)
        if what == 'module' and parts:
            return parts[0]
        if what != 'storage' or not isinstance(parts[0], Named):
            raise ValueError('a reference to something that is no storage')
        kind, key, _, count, *view = parts
        if kind.name not in STORAGES or any(view):
            return Inert(kind.name, (), None, None)
        dtype = STORAGES[kind.name]
        if type(count) is not int or count < 0:
            raise ValueError('a storage of no size')
        return Storage(bytes_of(str(key), count * dtype.itemsize, dtype.itemsize), dtype)
    return storage


def read_legacy(content: Any) -> Any:
    """Read the older form of torch.save from a buffer. Raise as pickles do."""
    stream = BytesIO(content) if isinstance(content, bytearray) else content
    stream.seek(0)
    begins = [read_pickle(stream, {}, _nothing)]
    if begins != [MAGIC]:
        raise Refused('is a Python pickle that torch.save did not write')
    begins += [read_pickle(stream, {}, _nothing) for _ in range(2)]
    if begins[1] != PROTOCOL or not isinstance(begins[2], dict):
        raise Refused('is of a protocol of torch.save that is not known')
    start = stream.tell()
    places = _places(stream, content)
    is_big = begins[2].get('little_endian') is False

    def bytes_of(key: str, count: int, item: int) -> torch.Tensor:
        place, length = places[key]
        if length < count:
            raise Malformed(f'storage {key} of {count} bytes is not whole')
        found = bytes_at(content, place, count)
        return _turned(found, item) if is_big else found

    stream.seek(start)
    return read_pickle(stream, MAKERS, _persistent(_remembering(bytes_of)))


def _remembering(bytes_of: Callable[[str, int, int], torch.Tensor]) \
        -> Callable[[str, int, int], torch.Tensor]:
    """Return the same tensor for the same storage, so that copies are known as such."""
    known: Dict[Tuple[str, int, int], torch.Tensor] = {}

    def remembered(key: str, count: int, item: int) -> torch.Tensor:
        if (key, count, item) not in known:
            known[key, count, item] = bytes_of(key, count, item)
        return known[key, count, item]
    return remembered


def _places(stream: Any, content: Any) -> Dict[str, Tuple[int, int]]:
    """Return start and length of each storage; they stand behind the pickle with the tensors."""
    items: Dict[str, int] = {}

    def noted(reference: Any) -> None:
        what, *parts = reference if isinstance(reference, tuple) else ('',)
        if what == 'storage' and isinstance(parts[0], Named):
            kind = STORAGES.get(parts[0].name, torch.uint8)
            items.setdefault(str(parts[1]), kind.itemsize)

    read_pickle(stream, {}, noted)
    keys = read_pickle(stream, {}, _nothing)
    if not isinstance(keys, list):
        raise Malformed('its list of storages is none')
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


def _nothing(_: Any) -> None:
    return None
