"""Find the tensors in a checkpoint, whoever wrote it, and give them names that we know."""

from dataclasses import dataclass, field
import math
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence

import torch
from torch import Tensor

from .containers import Choice, entries_of, PARTS
from .folding import folded
from .paths import listed
from .reading.inert import Inert
from .reading.stored import Number
from .selecting import select
from .weights_file import read_document
from ...errors import CheckpointError

__all__ = ['Checkpoint', 'Choice', 'drop_hint', 'listed', 'read_checkpoint']
FIGURES = ('val_mae', 'epoch')  # what is worth telling of the training
COUNTER = 'num_batches_tracked'  # of batch normalisation; driving has no use for it
TYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


@dataclass(frozen=True)
class Checkpoint:
    """The tensors of a checkpoint by name, and what its training noted beside them."""

    path: Path
    tensors: Dict[str, Tensor]
    figures: Dict[str, Optional[Number]]  # val_mae, epoch; None where it is not noted
    notes: List[str] = field(default_factory=list)  # what is worth telling of the reading
    dropped: Dict[str, List[str]] = field(default_factory=dict)  # names by --drop's prefixes


def read_checkpoint(path: Path, choice: Choice = Choice()) -> Checkpoint:  # noqa: B008
    """
    Read a torch file (zip or legacy) or safetensors, or raise CheckpointError.

    What is read are the tensors of one policy, under our names, with weight and spectral norms
    and pruning masks folded in; `choice` says what the file leaves open.
    """
    document = read_document(path)
    try:
        selected = select(entries_of(document.tree), choice)
        _refuse_unusable(selected.tensors)
        tensors, notes = folded(_with_counters(selected.tensors))
        _refuse_unusable(tensors)
    except CheckpointError as error:
        raise CheckpointError(f'{path.name}: {error.found}', error.expected, error.fix) from None
    top = document.tree.items if isinstance(document.tree, Inert) else document.tree
    noted = {**(top if isinstance(top, dict) else {}), **document.noted}
    return Checkpoint(path, tensors, {name: _number(noted.get(name)) for name in FIGURES},
                      [*document.notes, *selected.notes, *notes], selected.dropped)


def _with_counters(tensors: Mapping[str, Tensor]) -> Dict[str, Tensor]:
    """Return each batch normalisation its counter, which old files lack, and nothing else one."""
    kept: Dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        if name.rpartition('.')[2] == COUNTER:
            continue
        kept[name] = tensor
        if name.endswith('.running_var'):
            counter = f'{name.rpartition(".")[0]}.{COUNTER}'
            found = tensors.get(counter)
            sound = found is not None and found.dtype == torch.int64 and not found.dim()
            kept[counter] = found if found is not None and sound else torch.tensor(0)
    return kept


def _refuse_unusable(tensors: Mapping[str, Tensor]) -> None:
    problems = [f'{name} {problem}' for name, tensor in tensors.items()
                if (problem := _unusable(tensor))]
    if problems:
        raise CheckpointError(listed(problems), 'plain tensors of finite numbers',
                              'save sound weights')


def _unusable(tensor: Tensor) -> str:
    if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
        return f'is {list(tensor.shape)}, more than its file has'  # strides of 0 cost no byte
    if tensor.is_floating_point() and tensor.dtype not in TYPES:
        return f'is {tensor.dtype}, which needs scales that only its own library knows'
    if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
        return 'has numbers that are not finite'
    return ''


def drop_hint(checkpoint: Checkpoint, problems: Sequence[str]) -> str:
    """Return what to say of `--drop` where tensors are missing or have no use, or nothing."""
    missing = [problem.split()[0] for problem in problems if problem.endswith('is missing')]
    taken = [prefix for prefix, names in checkpoint.dropped.items()
             if any(lost in name for name in names for lost in missing)]
    spare = {problem.split('.')[0].split()[0]: None for problem in problems
             if problem.endswith('is unexpected')}
    useless = [top for top in spare if top not in PARTS]
    return (f'; --drop {" ".join(taken)} takes what the policy needs' if taken else '') + (
        f'; --drop {" ".join(useless[:6])} leaves them out, if the policy does without them'
        if useless else '')


def _number(value: Any) -> Optional[Number]:
    """Return a finite number, whatever it was kept as, or None."""
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
