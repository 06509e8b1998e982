"""Find the tensors in a checkpoint, whoever wrote it, and give them names that we know."""

from dataclasses import dataclass
import math
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional

import torch
from torch import Tensor

from .weights_file import AS_SAVED, BROKEN, explained, Number, read_document
from ..errors import CheckpointError

CONTAINERS = ('model_state_dict', 'state_dict', 'model')  # where the weights may lie in a dict
FIGURES = ('val_mae', 'epoch')  # what is worth telling of the training
WRAPPERS = ('module.', '_orig_mod.')  # put before every name by DataParallel, torch.compile


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
        document = read_document(path)
        tensors = _without_wrappers(_state_dict(path, document))
        _refuse_unusable(path, tensors)
    except BROKEN as error:
        raise explained(path, error) from None
    return Checkpoint(path, tensors, {name: _number(document.get(name)) for name in FIGURES})


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
