"""Read the tensors of a checkpoint, whoever wrote it; nothing in it is ever run."""

from contextlib import nullcontext
from dataclasses import dataclass
import math
from pathlib import Path
from pickle import UnpicklingError
import re
import struct
from typing import Any, ContextManager, Dict, List, Mapping, Optional, Union
import warnings
from zipfile import BadZipFile, ZIP_STORED, ZipFile

import torch
from torch import Tensor

from ..errors import CheckpointError

Number = Union[int, float]
CONTAINERS = ('model_state_dict', 'state_dict', 'model')  # where the weights may lie in a dict
FIGURES = ('val_mae', 'epoch')  # what is worth telling of the training
WRAPPERS = ('module.', '_orig_mod.')  # put before every name by DataParallel, torch.compile
# What reading a damaged or hostile file may raise, from the unpickler down to the allocator.
BROKEN = (UnpicklingError, ArithmeticError, AssertionError, AttributeError, BadZipFile, EOFError,
          LookupError, MemoryError, NotImplementedError, OSError, RuntimeError, TypeError,
          ValueError, struct.error)
AS_SAVED = "torch.save({'model_state_dict': model.state_dict()}, FILE)"
# How torch names what it would not load, at the end of a long text.
REFUSED = re.compile(r"(?:GLOBAL|[Cc]lass|<class) '?([\w]+\.[\w.]+)")


@dataclass(frozen=True)
class Checkpoint:
    """The tensors of a checkpoint by name, and what its training noted beside them."""

    path: Path
    tensors: Dict[str, Tensor]
    figures: Dict[str, Optional[Number]]  # val_mae, epoch; None where it is not noted

    def renamed(self, rules: Mapping[str, str]) -> 'Checkpoint':
        """
        Give the checkpoint with prefixes of names put in place of others.

        `rules` maps whole parts of dotted names: `head` is that of `head.0.bias`, not of `head2`.
        """
        return Checkpoint(self.path, _renamed(self.tensors, rules), self.figures)


def read_checkpoint(path: Path) -> Checkpoint:
    """
    Read a torch file (zip or legacy) or safetensors, or raise CheckpointError.

    The weights are a state dict, or lie in one of CONTAINERS beside the training's figures.
    """
    try:
        document = _document(path)
        tensors = _without_wrappers(_state_dict(path, document))
        _refuse_unusable(path, tensors)
    except BROKEN as error:
        raise _explained(path, error) from None
    return Checkpoint(path, tensors, {name: _number(document.get(name)) for name in FIGURES})


def _document(path: Path) -> Dict[Any, Any]:
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
        raise _explained(path, error) from None
    return {CONTAINERS[0]: tensors, **{name: noted.get(name) for name in FIGURES}}


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


def _explained(path: Path, error: Exception) -> CheckpointError:
    reason = ' '.join(str(error).split()).rpartition('WeightsUnpickler error: ')[2]
    what = REFUSED.search(reason) if isinstance(error, UnpicklingError) else None
    if what:
        return CheckpointError(
            f'{path.name} holds the Python object {what[1]}, and loading it would run code',
            'tensors and plain values', f'save the weights where it was trained: {AS_SAVED}')
    return CheckpointError(
        f'{path.name} is broken or cut off: {reason[:160] or type(error).__name__}',
        'a whole checkpoint', 'copy or save it again')


def _state_dict(path: Path, document: Dict[Any, Any]) -> Dict[str, Tensor]:
    place = next((name for name in CONTAINERS if isinstance(document.get(name), dict)), '')
    found = document[place] if place else document
    if not found:
        raise CheckpointError(f'{path.name} holds no weights', 'a dict of tensors')
    others = [f'{key!r}: {type(value).__name__}' for key, value in found.items()
              if not isinstance(key, str) or not isinstance(value, Tensor)]
    if others:
        raise CheckpointError(
            f'{path.name} holds ' + (f'in {place} ' if place else '') + listed(others),
            'names and tensors only, or a dict with them in one of ' + ', '.join(CONTAINERS),
            f'save the weights with {AS_SAVED}')
    return dict(found)


def _without_wrappers(tensors: Dict[str, Tensor]) -> Dict[str, Tensor]:
    for wrapper in WRAPPERS * 2:
        if all(name.startswith(wrapper) for name in tensors):
            tensors = {name[len(wrapper):]: tensor for name, tensor in tensors.items()}
    return tensors


def _refuse_unusable(path: Path, tensors: Dict[str, Tensor]) -> None:
    problems = [f'{name} {problem}' for name, tensor in tensors.items()
                if (problem := _unusable(tensor))]
    if problems:
        raise CheckpointError(f'{path.name}: {listed(problems)}',
                              'plain tensors of finite numbers', 'save sound weights')


def _unusable(tensor: Tensor) -> str:
    if tensor.layout != torch.strided or tensor.is_quantized or tensor.device.type != 'cpu':
        return f'is {tensor.dtype}, {tensor.layout}, on {tensor.device}, not a plain tensor'
    if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
        return f'is {list(tensor.shape)}, more than its file has'  # strides of 0 cost no byte
    if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
        return 'has numbers that are not finite'
    return ''


def _renamed(tensors: Dict[str, Tensor], rules: Mapping[str, str]) -> Dict[str, Tensor]:
    renamed: Dict[str, Tensor] = {}
    unused = set(rules)
    for name, tensor in tensors.items():
        old = max((old for old in rules if f'{name}.'.startswith(f'{old}.')), key=len, default='')
        unused.discard(old)
        new = f'{rules[old]}{name[len(old):]}'.lstrip('.') if old else name
        if new in renamed:
            raise CheckpointError(f'two tensors would be called {new}', 'different names',
                                  'change --map')
        renamed[new] = tensor
    if unused:
        raise CheckpointError('no tensor is called ' + listed(sorted(unused)),
                              'one of ' + listed(_tops(tensors)), 'change --map')
    return renamed


def _tops(tensors: Mapping[str, Tensor]) -> List[str]:
    return list(dict.fromkeys(name.split('.')[0] for name in tensors))


def _number(value: Any) -> Optional[Number]:
    """Give a finite number, whatever it was kept as, or None."""
    if isinstance(value, Tensor) and value.numel() == 1 and not value.is_complex():
        value = value.item()
    if isinstance(value, str):  # safetensors notes texts only
        try:
            value = float(value) if not value.isdecimal() else int(value[:18])
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return value if math.isfinite(value) and abs(value) < 2 ** 63 else None


def listed(items: List[str], most: int = 40) -> str:
    """Join for a message, and say how many more there are where there are very many."""
    more = f' and {len(items) - most} more' if len(items) > most else ''
    return ', '.join(items[:most]) + more
