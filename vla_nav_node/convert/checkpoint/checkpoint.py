"""Read a checkpoint's tensors under the names of a bundle; refuse what is no CNN + RNN policy."""

from dataclasses import dataclass, field
import math
from pathlib import Path
import re
from typing import Any, Dict, List, Mapping, Optional, Sequence

import torch
from torch import Tensor

from .containers import entries_of, PARTS, Selection
from .folding import folded
from .paths import listed
from .reading.pickles import OpaqueObject
from .reading.stored import Number
from .reading.weights_file import read_document
from .selecting import select
from ...errors import CheckpointError

FIGURES = ('val_mae', 'epoch')  # of the training, for the report
COUNTER = 'num_batches_tracked'  # of batch normalisation; driving has no use for it
TYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
# Patterns of names that show foreign parts, the surest first; a tensor counts for the first that
# matches.
SIGNS = (
    ('a Kosmos-2 backbone', r'kosmos|image_to_text_projection'),
    ('a PaliGemma backbone', r'paligemma|multi_modal_projector'),
    ('a SigLIP backbone', r'siglip'),
    ('a DINO backbone', r'dino'),
    ('a CLIP backbone', r'(^|[._])clip|logit_scale|visual_projection|visual\.transformer'
                        r'|vision_model\.embeddings\.class_embedding'),
    ('a text embedding', r'embed_tokens|token_embedding|word_embeddings'
                         r'|(^|[._])(text|language|instruction|lm_head)'),
    ('a transformer', r'attn|attention|transformer|(encoder|decoder)\.layers?\.\d|resblocks'
                      r'|blocks\.\d+\.(attn|mlp|norm)|pos_embed|position_embedding|cls_token'),
    ('a residual network (ResNet)', r'layer\d\.\d+\.(conv\d|bn\d|downsample)'),
    ('a MobileNet or an EfficientNet', r'features\.\d+\.(conv|block)\.'),
)


@dataclass(frozen=True)
class Checkpoint:
    """The tensors of a policy by name, and what the file says of its training."""

    path: Path
    tensors: Dict[str, Tensor]
    figures: Dict[str, Optional[Number]]  # val_mae, epoch; None if the file does not say
    notes: List[str] = field(default_factory=list)  # for the user
    dropped: Dict[str, List[str]] = field(default_factory=dict)  # names by --drop's prefixes


def read_checkpoint(path: Path, selection: Selection = Selection()) -> Checkpoint:  # noqa: B008
    """
    Read the tensors of one policy from a torch file (zip or legacy) or safetensors.

    Weight and spectral norms and pruning masks are folded in; `selection` settles what the file
    leaves open. Raise CheckpointError.
    """
    document = read_document(path)
    try:
        selected = select(entries_of(document.tree), selection)
        _refuse_unusable(selected.tensors)
        tensors, notes = folded(_with_counters(selected.tensors))
        _refuse_unusable(tensors)
    except CheckpointError as error:
        raise CheckpointError(f'{path.name}: {error.found}', error.expected, error.fix) from None
    top = document.tree.items if isinstance(document.tree, OpaqueObject) else document.tree
    facts = {**(top if isinstance(top, dict) else {}), **document.metadata}
    return Checkpoint(path, tensors, {name: _number(facts.get(name)) for name in FIGURES},
                      [*document.notes, *selected.notes, *notes], selected.dropped)


def _with_counters(tensors: Mapping[str, Tensor]) -> Dict[str, Tensor]:
    """Return the tensors with one counter per batch normalisation; old files lack it."""
    kept: Dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        if name.rpartition('.')[2] == COUNTER:
            continue
        kept[name] = tensor
        if name.endswith('.running_var'):
            counter = f'{name.rpartition(".")[0]}.{COUNTER}'
            found = tensors.get(counter)
            valid = found is not None and found.dtype == torch.int64 and not found.dim()
            kept[counter] = found if found is not None and valid else torch.tensor(0)
    return kept


def _refuse_unusable(tensors: Mapping[str, Tensor]) -> None:
    problems = [f'{name} {problem}' for name, tensor in tensors.items()
                if (problem := _problem(tensor))]
    if problems:
        raise CheckpointError(listed(problems), 'plain tensors of finite numbers',
                              'save finite weights of these types')


def _problem(tensor: Tensor) -> str:
    if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
        return f'is {list(tensor.shape)}, more than its file has'  # strides of 0 cost no byte
    if tensor.is_floating_point() and tensor.dtype not in TYPES:
        return f'is {tensor.dtype}, which needs scales that only its own library knows'
    if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
        return 'has numbers that are not finite'
    return ''


def _number(value: Any) -> Optional[Number]:
    """Return a finite number, whatever type it was saved as, or None."""
    if isinstance(value, Tensor) and value.numel() == 1 and not value.is_complex():
        value = value.item()
    if isinstance(value, str):  # safetensors has only texts
        try:
            value = float(value) if not value.isdecimal() else int(value[:18])
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return value if math.isfinite(value) and abs(value) < 2 ** 63 else None


def drop_hint(checkpoint: Checkpoint, problems: Sequence[str]) -> str:
    """Return advice on `--drop` for tensors that are missing or unexpected, or ''."""
    missing = [problem.split()[0] for problem in problems if problem.endswith('is missing')]
    harmful = [prefix for prefix, names in checkpoint.dropped.items()
               if any(lost in name for name in names for lost in missing)]
    unexpected = {problem.split('.')[0].split()[0]: None for problem in problems
                  if problem.endswith('is unexpected')}
    useless = [top for top in unexpected if top not in PARTS]
    return (f'; --drop {" ".join(harmful)} takes what the policy needs' if harmful else '') + (
        f'; --drop {" ".join(useless[:6])} leaves them out, if the policy does without them'
        if useless else '')


def refuse_foreign(checkpoint: Checkpoint) -> None:
    """Raise CheckpointError unless the names are those of a CNN + recurrent policy."""
    groups: Dict[str, List[str]] = {what: [] for what, _ in SIGNS}
    for name in checkpoint.tensors:
        sign = next((what for what, pattern in SIGNS if re.search(pattern, name.lower())), '')
        groups.setdefault(sign or name.split('.')[0], []).append(name)
    found = {what: names for what, names in groups.items() if names}  # backbones first
    backbones = [what for what in found if what.startswith('a ')]
    missing = [part for part in PARTS if part not in found]
    if not backbones and not missing:
        return
    held = [f'{what} ({names[0]}, {len(names)} tensor{"s" * (len(names) > 1)})'
            for what, names in found.items()]
    without = f' and no {", no ".join(missing)}' if missing else ''
    fix = ('train a policy of that form, for instance with the large one as its teacher; this '
           'one cannot be driven') if backbones else \
        f'if they have other names here, --map NAME={missing[0]}'
    raise CheckpointError(
        f'{checkpoint.path.name} has {listed(held, 12)}{without}',
        'a convolutional encoder, one recurrent layer and an action head, named '
        + ', '.join(f'{part}.*' for part in PARTS),
        fix + drop_hint(checkpoint, [f'{part}. is missing' for part in missing]))
