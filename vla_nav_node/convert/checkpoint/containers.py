"""
Find the places in a file where the policy's weights may lie.

A place is a dotted path of keys, and goes on into the names of the tensors: `state_dict.ema` is
what begins with `ema.` in the dict `state_dict`.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Dict, List, Mapping, Sequence, Set, Tuple

import torch
from torch import Tensor

from .paths import join, Renames
from .reading.kinds import AS_SAVED
from .reading.pickles import OpaqueObject
from .reading.stored import array_of
from ...errors import CheckpointError

PARTS = ('vision_encoder', 'rnn', 'actions')
# Keys and wrappers that say nothing of whose weights these are; the user must name others.
USUAL = {'model_state_dict', 'state_dict', 'model_state', 'model', 'module', '_orig_mod', 'net',
         'nets', 'network', 'policy', 'policy_state_dict', 'agent', 'actor', 'actor_state_dict',
         'weights', 'params'}
# Together they bound the memory that paths take.
MOST_NODES, MOST_DEEP, MOST_LETTERS = 500_000, 64, 1000
NESTING = (Tensor, OpaqueObject, dict, list, tuple)


@dataclass(frozen=True)
class Selection:
    """What the user selects of a file: a place, without some tensors, under new names."""

    weights: str = ''
    drop: Sequence[str] = ()
    renames: Renames = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Entry:
    """One value in a file: the path of the dict that holds it, its key, and the value."""

    holder: str
    name: str
    value: Any
    hidden: str = ''  # the class of the object that it is part of

    @property
    def path(self) -> str:
        """Return the whole path."""
        return join(self.holder, self.name)

    @property
    def is_weight(self) -> bool:
        """Return whether it is a tensor of a network, not a single figure of the training."""
        return isinstance(self.value, Tensor) and self.value.dim() > 0 \
            and self.value.is_floating_point()


def entries_of(tree: Any) -> List[Entry]:
    """Return the tensors and the objects in a file, in its order, without plain values."""
    found: List[Entry] = []
    pending: List[Tuple[Entry, Tuple[int, ...]]] = [(Entry('', '', tree), ())]
    for _ in range(MOST_NODES):
        if not pending:
            return found
        entry, ancestors = pending.pop()
        if isinstance(entry.value, (Tensor, OpaqueObject)):
            found.append(entry)
        shallow = len(ancestors) < MOST_DEEP and len(entry.path) < MOST_LETTERS
        if shallow and id(entry.value) not in ancestors:  # a list may hold itself
            within = (*ancestors, id(entry.value))
            pending.extend((child, within) for child in reversed(_children(entry)))
    raise CheckpointError(f'it holds more than {MOST_NODES} values', 'the weights of a policy',
                          AS_SAVED)


def _children(entry: Entry) -> List[Entry]:
    value, hidden = entry.value, entry.hidden
    if isinstance(value, OpaqueObject):
        filled = isinstance(value.items, (dict, list))
        hidden = hidden if filled else hidden or value.kind
        value = value.items if filled else [value.arguments, value.state]
    if not isinstance(value, (dict, list, tuple)):
        return []
    pairs = value.items() if isinstance(value, dict) else enumerate(value)
    return [Entry(entry.path, _key_text(key),
                  array_of(inner) if isinstance(inner, OpaqueObject) else inner, hidden)
            for key, inner in pairs if isinstance(inner, NESTING)]


def _key_text(key: Any) -> str:
    plain = isinstance(key, str) and len(key) < MOST_LETTERS \
        or type(key) is int and abs(key) < 2 ** 63
    return str(key) if plain else f'({type(key).__name__})'


def places_that_fit(entries: Sequence[Entry], renames: Renames) -> List[str]:
    """Return the places below which every part of a policy lies, by its name or a new one."""
    tops: Dict[str, Set[str]] = {}
    for entry in entries:
        parts = entry.path.split('.')
        for depth in range(len(parts)):
            tops.setdefault('.'.join(parts[:depth]), set()).add(parts[depth])
    return [place for place in tops if _fits(place, tops, renames)]


def _fits(place: str, tops: Mapping[str, Set[str]], renames: Renames) -> bool:
    names = set(tops[place])
    for old, new in renames.items():
        holder, _, last = join(place, old).rpartition('.')
        if last not in tops.get(holder, ()):
            return False
        names |= {new.split('.')[0]} if new else tops.get(join(place, old), set())
    return set(PARTS) <= names


def holders_of(entries: Sequence[Entry]) -> Dict[str, List[Entry]]:
    """Return the weights by the dict that holds them, without those of an optimizer."""
    holders: Dict[str, List[Entry]] = {}
    for entry in entries:
        if entry.is_weight and not entry.hidden and 'optim' not in entry.path.lower():
            holders.setdefault(entry.holder, []).append(entry)
    return holders


def twins_of(chosen: Mapping[str, Tensor], others: Sequence[Entry],
             holders: Set[str]) -> Dict[str, List[Entry]]:
    """
    Return other weights that have all shapes of the chosen ones, by place, whatever their names.

    An average is often kept as a list without names, within an object, or in the same dict with
    the dots taken out of its names.
    """
    wanted = Counter(tuple(tensor.shape) for name, tensor in chosen.items()
                     if tensor.dim() and '.running_' not in name)
    known = {storage_of(tensor) for tensor in chosen.values()}
    groups: Dict[str, List[Entry]] = {}
    for entry in others:
        if entry.is_weight and 'optim' not in entry.path.lower() \
                and storage_of(entry.value) not in known:
            group = entry.path.split('.')[0] if entry.hidden else entry.holder
            if group in holders:
                group = join(group, entry.name.split('.')[0])
            groups.setdefault(group, []).append(entry)
    return {place: group for place, group in groups.items()
            if not wanted - Counter(tuple(entry.value.shape) for entry in group)}


def storage_of(tensor: Tensor) -> Tuple[object, ...]:
    """Return what is equal for two names of the same numbers in memory."""
    return tensor.data_ptr(), tensor.dtype, tuple(tensor.shape), tensor.stride()


def same_weights(first: Mapping[str, Tensor], second: Mapping[str, Tensor]) -> bool:
    """Return whether two state dicts are equal in every name and number."""
    return first.keys() == second.keys() and all(
        tensor.dtype == second[name].dtype and torch.equal(tensor, second[name])
        for name, tensor in first.items())
