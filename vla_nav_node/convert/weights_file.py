"""Read a file of weights as plain data, whatever else may have been put into it."""

from contextlib import nullcontext
from pathlib import Path
from pickle import UnpicklingError
import re
import struct
from typing import Any, ContextManager, Dict, Union
import warnings
from zipfile import BadZipFile, ZIP_STORED, ZipFile

import torch

from ..errors import CheckpointError

Number = Union[int, float]
# What reading a damaged or hostile file may raise, from the unpickler down to the allocator.
BROKEN = (UnpicklingError, ArithmeticError, AssertionError, AttributeError, BadZipFile, EOFError,
          LookupError, MemoryError, NotImplementedError, OSError, RuntimeError, TypeError,
          ValueError, struct.error)
AS_SAVED = "torch.save({'model_state_dict': model.state_dict()}, FILE)"
# How torch names what it would not load, at the end of a long text.
REFUSED = re.compile(r"(?:GLOBAL|[Cc]lass|<class) '?([\w]+\.[\w.]+)")


def read_document(path: Path) -> Dict[Any, Any]:
    """
    Give the dict of a torch file (zip or legacy) or of safetensors; nothing in it is ever run.

    Raise CheckpointError for what is no such file, or one of BROKEN for `explained`.
    """
    if not path.is_file():
        raise CheckpointError(f'no checkpoint at {path}' if not path.exists() else
                              f'{path} is no file', 'a file of weights (.pth, .pt, .safetensors)')
    with open(path, 'rb') as file:
        start = file.read(9)
    if not start:
        raise CheckpointError(f'{path.name} is empty', 'a file of weights', 'copy it again')
    if start.startswith(b'PK'):
        _check_archive(path)
        return _load(path, mmap=True)
    if start.startswith(b'\x80'):
        return _load(path)
    if start[8:] == b'{':
        return _load_safetensors(path)
    raise CheckpointError(f'{path.name} begins with {start[:8]!r}, which is neither a torch file '
                          'nor safetensors', 'a checkpoint', f'save the weights with {AS_SAVED}')


def _check_archive(path: Path) -> None:
    """Refuse what torch.load would not notice: TorchScript, compression (bombs), flipped bits."""
    with ZipFile(path) as archive:
        records = archive.infolist()
        if any('/code/' in record.filename for record in records):
            raise CheckpointError(f'{path.name} is a TorchScript program', 'weights only',
                                  f'save them with {AS_SAVED}')
        if any(record.compress_type != ZIP_STORED for record in records):
            raise CheckpointError(f'{path.name} is a compressed archive',
                                  'a file as torch.save writes it', f'use {AS_SAVED}')
        damaged = archive.testzip()
    if damaged:
        raise CheckpointError(f'{path.name} is damaged: the checksum of {damaged} is wrong',
                              'a whole checkpoint', 'copy it again')


def _load(path: Path, mmap: bool = False) -> Dict[Any, Any]:
    with _numpy_numbers(), warnings.catch_warnings():
        warnings.simplefilter('ignore')  # what is wrong is told once, by us
        found = torch.load(path, map_location='cpu', weights_only=True, mmap=mmap)
    if not isinstance(found, dict):
        raise CheckpointError(f'{path.name} holds a {type(found).__name__}', 'a dict of tensors',
                              f'save the weights with {AS_SAVED}')
    return found


def _load_safetensors(path: Path) -> Dict[Any, Any]:
    from safetensors import safe_open, SafetensorError
    try:
        with safe_open(path, framework='pt') as file:
            noted = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise explained(path, error) from None
    return {**noted, 'model_state_dict': tensors}  # noted are texts


class _Dtype:
    """Stands in for numpy.dtype while a checkpoint is read: it remembers its code, no more."""

    def __init__(self, code: str, *_: Any) -> None:
        self.code, self.order = str(code), '<'

    def __setstate__(self, state: Any) -> None:
        self.order = '>' if state[1] == '>' else '<'


def _scalar(dtype: _Dtype, content: bytes) -> Number:
    codes = {'f8': 'd', 'f4': 'f', 'f2': 'e', 'i8': 'q', 'i4': 'i', 'u8': 'Q', 'u4': 'I'}
    number: Number = struct.unpack(dtype.order + codes[dtype.code], content)[0]
    return number


def _numpy_numbers() -> ContextManager[Any]:
    """
    Read NumPy's numbers without NumPy: a `val_mae` often is one, and torch alone refuses it.

    Only our stand-ins are let through, since NumPy's own constructors trust what they are given.
    """
    if tuple(map(int, torch.__version__.split('.')[:2])) < (2, 7):
        return nullcontext()
    context: ContextManager[Any] = torch.serialization.safe_globals([
        (_scalar, 'numpy.core.multiarray.scalar'), (_scalar, 'numpy._core.multiarray.scalar'),
        (_Dtype, 'numpy.dtype')])
    return context


def explained(path: Path, error: Exception) -> CheckpointError:
    """Say in one line what reading a file ran into."""
    reason = ' '.join(str(error).split()).rpartition('WeightsUnpickler error: ')[2]
    what = REFUSED.search(reason) if isinstance(error, UnpicklingError) else None
    if what:
        return CheckpointError(
            f'{path.name} holds the Python object {what[1]}, and loading it would run code',
            'tensors and plain values', f'save the weights where it was trained: {AS_SAVED}')
    return CheckpointError(
        f'{path.name} is broken or cut off: {reason[:160] or type(error).__name__}',
        'a whole checkpoint', 'copy or save it again')
