"""Build what a pickle may hold beside plain values: tensors, dicts and NumPy's numbers."""

from dataclasses import dataclass
from math import prod
import struct
from typing import Any, Callable, Dict, Optional, Sequence, Union

import torch
from torch import Tensor

from .pickles import GlobalName, hashable, OpaqueObject

MOST_NUMBERS = 2 ** 48  # in a tensor; with more, sizes would overflow further on
DTYPES = {str(value): value for value in vars(torch).values() if isinstance(value, torch.dtype)}
STORAGES = {f'torch.{name}Storage': DTYPES[f'torch.{dtype}'] for name, dtype in {
    'Double': 'float64', 'Float': 'float32', 'Half': 'float16', 'BFloat16': 'bfloat16',
    'Long': 'int64', 'Int': 'int32', 'Short': 'int16', 'Char': 'int8', 'Byte': 'uint8',
    'Bool': 'bool', 'ComplexFloat': 'complex64', 'ComplexDouble': 'complex128',
    'QInt8': 'int8', 'QUInt8': 'uint8', 'QInt32': 'int32', 'QUInt4x2': 'uint8',
    'QUInt2x4': 'uint8'}.items()}
STORAGES['torch.storage.UntypedStorage'] = torch.uint8
# NumPy's type codes as struct's, and as torch's types.
CODES = {'f8': 'd', 'f4': 'f', 'f2': 'e', 'i8': 'q', 'i4': 'i', 'i2': 'h', 'i1': 'b',
         'u8': 'Q', 'u4': 'I', 'u2': 'H', 'u1': 'B', 'b1': '?'}
ARRAYS = {'f8': torch.float64, 'f4': torch.float32, 'f2': torch.float16, 'i8': torch.int64,
          'i4': torch.int32, 'i2': torch.int16, 'i1': torch.int8, 'u1': torch.uint8,
          'b1': torch.bool}
Number = Union[int, float]


@dataclass(frozen=True)
class Storage:
    """The bytes of tensors, and the type that they were saved with."""

    content: Tensor  # uint8 [N]
    dtype: torch.dtype


def bytes_at(content: Any, start: int, count: int) -> Tensor:
    """Return `count` bytes of a buffer as a tensor, without a copy if they are aligned."""
    if not count:
        return torch.empty(0, dtype=torch.uint8)
    found = torch.frombuffer(content, dtype=torch.uint8, count=count, offset=start)
    return found.clone() if found.data_ptr() % 16 else found


def swapped_bytes(content: Tensor, item: int) -> Tensor:
    """Return uint8 [N] with the bytes of each number of `item` bytes reversed."""
    return content.view(-1, item).flip(1).flatten()


def _tensor(storage: Any, offset: int, size: Sequence[int], stride: Sequence[int],
            dtype: Optional[torch.dtype] = None) -> Any:
    """Return a view of a storage; torch refuses one that reaches beyond its end."""
    if not isinstance(storage, Storage):
        return NotImplemented
    places = (offset, *size, *stride)
    if not all(type(number) is int and number >= 0 for number in places) \
            or prod(size) > MOST_NUMBERS:
        raise ValueError('a tensor of an impossible shape')
    return storage.content.view(dtype or storage.dtype).as_strided(
        tuple(size), tuple(stride), offset)


def _of_type(rebuild: GlobalName, kind: GlobalName, arguments: Any, _: Any) -> Any:
    """Return a tensor that had attributes; one of another class may mean anything."""
    plain = kind.name in ('torch.Tensor', 'torch.nn.parameter.Parameter')
    return MAKERS[rebuild.name](*arguments) if plain and rebuild.name in REBUILD \
        else NotImplemented


def _dict(*arguments: Any) -> Any:
    """
    Return an empty dict, to be filled later, or one of the pairs that Python 2 passed at once.

    The pairs are moved: copies of one list, made over and over, would fill the memory.
    """
    if arguments and isinstance(arguments[0], list):
        pairs, arguments[0][:] = list(arguments[0]), []
        return {hashable(name): value for name, value in pairs}
    return {} if not arguments or isinstance(arguments[0], (GlobalName, type(None))) \
        else NotImplemented


def _raw(content: Any) -> bytes:
    """Return bytes; old pickles hold them as text."""
    if isinstance(content, OpaqueObject) and content.kind == '_codecs.encode':
        content = content.arguments[0]
    return content.encode('latin-1') if isinstance(content, str) else bytes(memoryview(content))


def _code(dtype: Any) -> str:
    arguments = dtype.arguments \
        if isinstance(dtype, OpaqueObject) and dtype.kind == 'numpy.dtype' else ()
    return arguments[0] if isinstance(arguments, tuple) and arguments \
        and isinstance(arguments[0], str) else ''


def _is_big(dtype: OpaqueObject) -> bool:
    return isinstance(dtype.state, tuple) and len(dtype.state) > 1 and dtype.state[1] == '>'


def _scalar(dtype: Any, content: Any = b'') -> Any:
    code = CODES.get(_code(dtype))
    if not code:
        return NotImplemented
    number: Number = struct.unpack(f'{">" if _is_big(dtype) else "<"}{code}', _raw(content))[0]
    return number


def array_of(found: OpaqueObject) -> Any:
    """Return a NumPy array of numbers as a tensor, and any other object unchanged."""
    try:
        if found.kind.endswith('.numeric._frombuffer'):
            content, dtype, shape, order = found.arguments
            return _array(content, dtype, shape, order == 'F')
        if found.kind in ARRAY_KINDS:
            _, shape, dtype, by_columns, content = found.state
            return _array(content, dtype, shape, by_columns)
    except (KeyError, RuntimeError, TypeError, ValueError):  # not numbers, or not their bytes
        pass
    return found


def _array(content: Any, dtype: Any, shape: Any, by_columns: bool) -> Tensor:
    kind = ARRAYS[_code(dtype)]
    raw = _raw(content)
    values = bytes_at(bytearray(raw), 0, len(raw))
    if _is_big(dtype):
        values = swapped_bytes(values, kind.itemsize)
    if not by_columns:
        return values.view(kind).reshape(shape)
    return values.view(kind).reshape(shape[::-1]).permute(*reversed(range(len(shape))))


NUMPY = ('numpy.core', 'numpy._core')
ARRAY_KINDS = [f'{name}.multiarray._reconstruct' for name in NUMPY]
REBUILD: Dict[str, Callable[..., Any]] = {
    **dict.fromkeys(('torch._utils._rebuild_tensor', 'torch._utils._rebuild_tensor_v2'),
                    lambda storage, offset, size, stride, *_: _tensor(
                        storage, offset, size, stride)),
    'torch._utils._rebuild_tensor_v3':
        lambda storage, offset, size, stride, grad, hooks, dtype, *_: _tensor(
            storage, offset, size, stride, DTYPES[dtype.name])}
# By the name of the class or function in the pickle.
MAKERS: Dict[str, Callable[..., Any]] = {
    **REBUILD,
    **dict.fromkeys(('torch._utils._rebuild_parameter',
                     'torch._utils._rebuild_parameter_with_state', 'torch.nn.parameter.Parameter'),
                    lambda tensor, *_: tensor if isinstance(tensor, Tensor) else NotImplemented),
    'torch._tensor._rebuild_from_type_v2': _of_type,
    'torch.Size': lambda sides: sides if isinstance(sides, tuple) else NotImplemented,
    **dict.fromkeys(('collections.OrderedDict', 'collections.defaultdict',
                     'collections.Counter', 'builtins.dict'), _dict),
    'copyreg._reconstructor': lambda kind, *arguments: OpaqueObject(
        kind.name, arguments, None, None) if isinstance(kind, GlobalName) else NotImplemented,
    **{f'{name}.multiarray.scalar': _scalar for name in NUMPY}}
