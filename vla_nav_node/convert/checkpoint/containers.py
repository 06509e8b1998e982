"""
Find the place in a file where the policy's weights lie, or ask where two fit.

A place is a dotted path of keys, and goes on into the names of the tensors: `state_dict.ema` is
what begins with `ema.` in the dict `state_dict`.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Dict, List, Mapping, Sequence, Set, Tuple

import torch
from torch import Tensor

from .paths import join, Rules
from .reading.inert import Inert
from .reading.kinds import AS_SAVED
from .reading.stored import array_of
from ...errors import CheckpointError

PARTS = ('vision_encoder', 'rnn', 'actions')
# Wrappers and keys that say nothing of which weights these are; others have to be named.
USUAL = {'model_state_dict', 'state_dict', 'model_state', 'model', 'module', '_orig_mod', 'net',
         'nets', 'network', 'policy', 'policy_state_dict', 'agent', 'actor', 'actor_state_dict',
         'weights', 'params'}
# Together they bound the memory that paths take.
MOST_NODES, MOST_DEEP, MOST_LETTERS = 500_000, 64, 1000
NESTING = (Tensor, Inert, dict, list, tuple)


@dataclass(frozen=True)
class Choice:
    """What the user says of a file: where, without what, and under which names."""

    weights: str = ''
    drop: Sequence[str] = ()
    rules: Rules = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Entry:
    """One value in a file: the path of the dict that holds it, its key, and itself."""

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
        """Tell whether it is numbers that a network may have, not a figure of the training."""
        return isinstance(self.value, Tensor) and self.value.dim() > 0 \
            and self.value.is_floating_point()


def entries_of(tree: Any) -> List[Entry]:
    """List the tensors and the objects in a file, in its order; plain values are left out."""
    found: List[Entry] = []
    waiting: List[Tuple[Entry, Tuple[int, ...]]] = [(Entry('', '', tree), ())]
    for _ in range(MOST_NODES):
        if not waiting:
            return found
        entry, around = waiting.pop()
        if isinstance(entry.value, (Tensor, Inert)):
            found.append(entry)
        shallow = len(around) < MOST_DEEP and len(entry.path) < MOST_LETTERS
        if shallow and id(entry.value) not in around:  # a list may hold itself
            within = (*around, id(entry.value))
            waiting.extend((child, within) for child in reversed(_children(entry)))
    raise CheckpointError(f'it holds more than {MOST_NODES} values', 'the weights of a policy',
                          AS_SAVED)


def _children(entry: Entry) -> List[Entry]:
    value, hidden = entry.value, entry.hidden
    if isinstance(value, Inert):
        filled = isinstance(value.items, (dict, list))
        hidden = hidden if filled else hidden or value.kind
        value = value.items if filled else [value.arguments, value.state]
    if not isinstance(value, (dict, list, tuple)):
        return []
    pairs = value.items() if isinstance(value, dict) else enumerate(value)
    return [Entry(entry.path, _text(key), array_of(inner) if isinstance(inner, Inert) else inner,
                  hidden) for key, inner in pairs if isinstance(inner, NESTING)]


def _text(key: Any) -> str:
    plain = isinstance(key, str) and len(key) < MOST_LETTERS \
        or type(key) is int and abs(key) < 2 ** 63
    return str(key) if plain else f'({type(key).__name__})'


def places_that_fit(entries: Sequence[Entry], rules: Rules) -> List[str]:
    """List the places below which every part of a policy lies, by its name or by a rule."""
    tops: Dict[str, Set[str]] = {}
    for entry in entries:
        parts = entry.path.split('.')
        for depth in range(len(parts)):
            tops.setdefault('.'.join(parts[:depth]), set()).add(parts[depth])
    return [place for place, found in tops.items() if _fits(place, found, tops, rules)]


def _fits(place: str, tops: Set[str], places: Mapping[str, Any], rules: Rules) -> bool:
    if not all(_has(join(place, old), places) for old in rules):
        return False
    named = {*tops, *(new.split('.')[0] for new in rules.values())}
    named |= {top for old, new in rules.items() if not new
              for top in places.get(join(place, old), ())}
    return set(PARTS) <= named


def _has(path: str, places: Mapping[str, Any]) -> bool:
    holder, _, last = path.rpartition('.')
    return last in places.get(holder, ())


def holders_of(entries: Sequence[Entry]) -> Dict[str, List[Entry]]:
    """Sort the weights by the dict that holds them, without those of an optimizer."""
    holders: Dict[str, List[Entry]] = {}
    for entry in entries:
        if entry.is_weight and not entry.hidden and 'optim' not in entry.path.lower():
            holders.setdefault(entry.holder, []).append(entry)
    return holders


def twins_of(chosen: Mapping[str, Tensor], others: Sequence[Entry],
             holders: Set[str]) -> Dict[str, List[Entry]]:
    """
    Return the other weights that have all shapes of the chosen ones, under whatever names.

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
    """Return what two names of the same numbers share."""
    return tensor.data_ptr(), tensor.dtype, tuple(tensor.shape), tensor.stride()


def same_weights(first: Mapping[str, Tensor], second: Mapping[str, Tensor]) -> bool:
    """Tell whether two state dicts are equal in every name and number."""
    return first.keys() == second.keys() and all(
        tensor.dtype == second[name].dtype and torch.equal(tensor, second[name])
        for name, tensor in first.items())
