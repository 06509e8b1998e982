"""
Fold norms and masks, from which training computes a weight, into the weight for evaluation.

The operations are torch's own, so the numbers are those of its forward pass. A weight whose
computation is not certain is refused, with the names of its tensors.
"""

import re
from typing import Callable, Dict, FrozenSet, List, Mapping, Optional, Tuple

import torch
from torch import Tensor

from .paths import listed
from ...errors import CheckpointError

Tensors = Dict[str, Tensor]
Roles = Dict[str, str]  # the role of a tensor for a weight -> the tensor's name
# A weight's name may itself end as a part of a norm: such a part was pruned.
PART_OF = re.compile(r'((?:.*\.)?(?:weight|bias)(?:_(?:ih|hh)_l\d+(?:_reverse)?)?(?:_[gv]|_orig)?)'
                     r'_(orig|mask|g|v|u|raw)')
PARAMETRIZED = re.compile(r'((?:.*\.)?)parametrizations\.(\w+)\.(.+)')
RECURRENT = re.compile(r'(?:.*\.)?weight_(ih|hh)_l\d+(_reverse)?')
# Least cosine of a spectral norm's vectors, reached after a few steps of training. For vectors of
# another dimension 0.6 was seen.
LEAST_COSINE = 0.9
ROUNDS = 3  # a mask on a part of a norm comes before the norm


def folded(tensors: Tensors) -> Tuple[Tensors, List[str]]:
    """Return the tensors with plain weights, and notes; raise CheckpointError."""
    notes: List[str] = []
    for _ in range(ROUNDS):
        groups = _groups(tensors)
        masks = {name: roles for name, roles in groups.items() if 'mask' in roles}
        done: Dict[str, List[str]] = {}
        for name, roles in (masks or groups).items():
            what, tensors = _fold(name, roles, tensors)
            done.setdefault(what, []).append(name)
        notes += [f'{what} folded into {listed(names, 4)}' for what, names in done.items()]
    return tensors, notes


def _groups(tensors: Tensors) -> Dict[str, Roles]:
    """Return the tensors that a weight is computed from, by the weight's name."""
    groups: Dict[str, Roles] = {}
    for name in tensors:
        if found := PARAMETRIZED.fullmatch(name):
            groups.setdefault(found[1] + found[2], {})[found[3]] = name
        elif found := PART_OF.fullmatch(name):
            groups.setdefault(found[1], {})[found[2]] = name
    return groups


def _fold(name: str, roles: Roles, tensors: Tensors) -> Tuple[str, Tensors]:
    """Return the kind of norm or mask, and the tensors with the weight in its place."""
    what, compute = FORMS.get(frozenset(roles), ('', None))
    weight = compute(*(_wide(tensors[roles[role]]) for role in sorted(roles))) if compute else None
    # Dropout of weights leaves a dropped copy beside the raw ones, for recurrent layers only.
    certain = RECURRENT.fullmatch(name) if 'raw' in roles else name not in tensors
    if weight is None or not certain:
        members = [*roles.values(), *([name] if name in tensors else [])]
        raise CheckpointError(
            f'{name} is computed in training from {listed(members)}, in a way that is not certain',
            'plain weights, or weight_norm, spectral_norm or pruning as torch.nn.utils saves them',
            'take it off where it was trained (remove_parametrizations, prune.remove) and save '
            'again')
    kept = {other: tensor for other, tensor in tensors.items() if other not in roles.values()}
    return what, {**kept, name: weight}


def _wide(tensor: Tensor) -> Tensor:
    """Return a tensor of half precision in float32."""
    half = tensor.dtype in (torch.float16, torch.bfloat16)
    return tensor.float() if half else tensor


def _masked(mask: Tensor, original: Tensor) -> Optional[Tensor]:
    if mask.shape != original.shape or not bool(((mask == 0) | (mask == 1)).all()):
        return None
    return mask.to(original.dtype) * original


def _weight_normed(magnitude: Tensor, direction: Tensor) -> Optional[Tensor]:
    """Return g v / |v|, normed over all dimensions but the one that g has entries for."""
    sides = direction.shape
    fitting = [dim for dim in range(len(sides)) if list(magnitude.shape) == [
        side if place == dim else 1 for place, side in enumerate(sides)]]
    if len(sides) < 2 or magnitude.dtype != direction.dtype or not (
            fitting or not magnitude.dim()):
        return None
    return torch._weight_norm(direction, magnitude, fitting[0] if fitting else -1)


def _spectral_normed(original: Tensor, u: Tensor, v: Tensor) -> Optional[Tensor]:
    """Return W / (u W v), with W as a matrix whose rows are the dimension that fits u."""
    if not original.dtype == u.dtype == v.dtype or (u.dim(), v.dim()) != (1, 1) \
            or not _is_unit(u) or not _is_unit(v):
        return None
    matrices = [torch.movedim(original, dim, 0).reshape(len(u), -1)
                for dim, side in enumerate(original.shape)
                if side == len(u) and original.numel() == len(u) * len(v)]
    fitting = matrices if len(matrices) == 1 else [
        matrix for matrix in matrices if _belong(matrix, u, v)]
    sigmas = [torch.dot(u, torch.mv(matrix, v)) for matrix in fitting]
    if not sigmas or float(sigmas[0]) <= 0 or not all(
            torch.allclose(sigma, sigmas[0], rtol=1e-6) for sigma in sigmas):
        return None
    return original / sigmas[0]


def _is_unit(vector: Tensor) -> bool:
    return abs(float(vector.norm()) - 1) < 1e-2


def _belong(matrix: Tensor, u: Tensor, v: Tensor) -> bool:
    """Return whether the power iteration turns each vector into about the other."""
    return min(float(torch.cosine_similarity(matrix @ v, u, dim=0)),
               float(torch.cosine_similarity(u @ matrix, v, dim=0))) >= LEAST_COSINE


# Roles of a weight's tensors -> the kind of norm or mask, and the function that computes the
# weight from them in the order of their roles' names.
FORMS: Mapping[FrozenSet[str], Tuple[str, Callable[..., Optional[Tensor]]]] = {
    frozenset({'mask', 'orig'}): ('pruning', _masked),
    frozenset({'g', 'v'}): ('weight_norm', _weight_normed),
    frozenset({'original0', 'original1'}): ('weight_norm', _weight_normed),
    frozenset({'orig', 'u', 'v'}): ('spectral_norm', _spectral_normed),
    # Sorted: '0._u' and '0._v' come before 'original'.
    frozenset({'0._u', '0._v', 'original'}): (
        'spectral_norm', lambda u, v, original: _spectral_normed(original, u, v)),
    frozenset({'raw'}): ('dropout of weights', lambda raw: raw)}
