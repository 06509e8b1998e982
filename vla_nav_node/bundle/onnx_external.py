"""
The other files that an ONNX file reads weights from. A leaf.

A robot has no package `onnx`, and ONNX Runtime opens such files silently; so this walks the few
messages of onnx.proto that may hold a tensor. Field numbers never change their meaning.
"""

import mmap
from pathlib import Path
from typing import Any, Dict, Iterator, List, Tuple, Union

VARINT, EIGHT, LENGTH, GROUP, END, FOUR = range(6)  # protobuf's wire types
SIZES = {EIGHT: 8, FOUR: 4}
TENSOR = 'tensor'
# message -> field number -> message
FIELDS: Dict[str, Dict[int, str]] = {
    'model': {7: 'graph', 20: 'training', 25: 'function'},
    'training': {1: 'graph', 2: 'graph'},
    'function': {7: 'node', 11: 'attribute'},
    'graph': {1: 'node', 5: TENSOR, 15: 'sparse'},
    'node': {5: 'attribute'},
    'attribute': {5: TENSOR, 6: 'graph', 10: TENSOR, 11: 'graph', 22: 'sparse', 23: 'sparse'},
    'sparse': {1: TENSOR, 2: TENSOR},
    TENSOR: {13: 'entry'}}
KEY, VALUE, LOCATION = 1, 2, b'location'  # of an entry of external_data
DEEPEST = 200  # nested messages: protobuf stops at 100
Bytes = Union[memoryview, bytes]


class NotOnnx(ValueError):
    """The bytes are not a protobuf message; no runtime opens them either."""


def external_files(path: Path) -> List[str]:
    """Return the file names in an ONNX file's tensors, each once; raise NotOnnx or OSError."""
    with open(path, 'rb') as file:
        if not path.stat().st_size:
            return []
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped, \
                memoryview(mapped) as content:
            found = list(_locations(content, 0, len(content), 'model', 0))
    return list(dict.fromkeys(found))


def _locations(data: Any, at: int, end: int, message: str, depth: int) -> Iterator[str]:
    if depth > DEEPEST:
        raise NotOnnx('endlessly nested messages')
    for number, start, stop in _fields(data, at, end):
        inner = FIELDS[message].get(number)
        if inner == 'entry':
            yield from _location(data, start, stop)
        elif inner:
            yield from _locations(data, start, stop, inner, depth + 1)


def _location(data: Any, at: int, end: int) -> Iterator[str]:
    entry = {number: bytes(data[start:stop]) for number, start, stop in _fields(data, at, end)}
    if entry.get(KEY) == LOCATION:
        yield entry.get(VALUE, b'').decode(errors='replace')


def _fields(data: Any, at: int, end: int) -> Iterator[Tuple[int, int, int]]:
    """Yield number, start and end of each field that has a length; skip the others."""
    groups = 0
    while at < end:
        tag, at = _varint(data, at, end)
        number, kind = tag >> 3, tag & 7
        start, at = _end_of(data, at, end, kind)
        groups += (kind == GROUP) - (kind == END)
        if at > end or groups < 0 or not number:
            raise NotOnnx('a message that ends too early')
        if kind == LENGTH and not groups:
            yield number, start, at
    if groups:
        raise NotOnnx('a group without an end')


def _end_of(data: Any, at: int, end: int, kind: int) -> Tuple[int, int]:
    """Return the start and the end of a value."""
    if kind == LENGTH:
        length, at = _varint(data, at, end)
        return at, at + length
    if kind == VARINT:
        return at, _varint(data, at, end)[1]
    if kind in (GROUP, END):
        return at, at
    if kind not in SIZES:
        raise NotOnnx(f'wire type {kind}')
    return at, at + SIZES[kind]


def _varint(data: Any, at: int, end: int) -> Tuple[int, int]:
    value = 0
    for number in range(10):
        if at + number >= end:
            raise NotOnnx('a number that ends too early')
        byte = data[at + number]
        value |= (byte & 0x7f) << 7 * number
        if byte < 0x80:
            return value, at + number + 1
    raise NotOnnx('a number of more than ten bytes')
