"""Select the tensors of the one policy in a file; ask the user if more than one choice is open."""

from dataclasses import dataclass
import re
import shlex
from typing import Dict, List, Mapping, NoReturn, Sequence, Set, Tuple

from torch import Tensor

from .containers import (
    Entry, holders_of, PARTS, places_that_fit, same_weights, Selection, storage_of, twins_of,
    USUAL)
from .paths import below, counted, listed, new_name, renamed, Renames, rest_of, tops_of
from .reading.kinds import AS_SAVED
from ...errors import CheckpointError

WRAPPERS = ('module', '_orig_mod', 'model', 'policy')  # removed from the front of all names
# Names of the tensors of a bundle's policy; any other name for the same storage is a copy.
POLICY_NAME = re.compile(r'(vision_encoder|actions)\.\d+\.(\w+|parametrizations\..+)'
                         r'|rnn\.(\w+|parametrizations\..+)')
Tensors = Dict[str, Tensor]


@dataclass(frozen=True)
class Selected:
    """The policy's tensors, notes for the user, and the names that `--drop` removed."""

    tensors: Tensors
    notes: List[str]
    dropped: Dict[str, List[str]]  # by prefix


def select(entries: Sequence[Entry], selection: Selection) -> Selected:
    """
    Return the one policy that the entries hold.

    Raise CheckpointError if there is none, or if the selection leaves more than one open.
    """
    entries = _below_weights(entries, selection)
    dropped: Dict[str, List[str]] = {prefix: [] for prefix in selection.drop}
    entries = [entry for entry in entries if not _drop(entry, selection, dropped)]
    tensors, notes = _from_one_place(entries, selection)
    for prefix in selection.drop:  # by the names in messages
        taken = [name for name in tensors if below(name, prefix)]
        dropped[prefix] += taken
        tensors = {name: tensors[name] for name in tensors if name not in taken}
    idle = [prefix for prefix, names in dropped.items() if not names]
    if idle:
        raise CheckpointError(f'no tensor is called {listed(idle)}',
                              'one of ' + listed(tops_of(tensors)), 'change --drop')
    notes += [f'dropped by --drop {prefix}: {counted(names)}'
              for prefix, names in dropped.items()]
    known = {storage_of(tensor) for name, tensor in tensors.items() if POLICY_NAME.fullmatch(name)}
    copies = [name for name, tensor in tensors.items()
              if tensor.numel() and not POLICY_NAME.fullmatch(name)
              and storage_of(tensor) in known]
    if copies:
        notes.append(f'left out as copies of weights under another name: {counted(copies)}')
    tensors = {name: tensors[name] for name in tensors if name not in set(copies)}
    return Selected(tensors, notes, dropped)


def _below_weights(entries: Sequence[Entry], selection: Selection) -> List[Entry]:
    """Return the entries below `--weights`."""
    found = [entry for entry in entries if below(entry.path, selection.weights)]
    if selection.weights and not any(entry.is_weight and not entry.hidden for entry in found):
        places = [place or 'the file itself' for place in holders_of(entries)]
        raise CheckpointError(f'no weights lie at {selection.weights}',
                              'one of ' + listed(places), 'change --weights')
    return found


def _drop(entry: Entry, selection: Selection, dropped: Dict[str, List[str]]) -> bool:
    """Return whether `--drop` names an entry, with or without usual keys before it; record it."""
    parts = rest_of(entry.path, selection.weights).split('.')
    for depth in range(len(parts)):
        name = '.'.join(parts[depth:])
        prefix = next((prefix for prefix in selection.drop if below(name, prefix)), None)
        if prefix is not None:
            dropped[prefix].append(name)
            return True
        if parts[depth] not in USUAL:
            break
    return False


def _from_one_place(entries: Sequence[Entry], selection: Selection) -> Tuple[Tensors, List[str]]:
    renames = selection.renames
    named = [entry for entry in entries if isinstance(entry.value, Tensor) and not entry.hidden]
    fitting = {place: _parts_at(place, named, renames)
               for place in places_that_fit(named, renames)}
    if not fitting:
        return renamed(_only_dict(entries, named, selection), renames), []
    place, *others = sorted(fitting, key=lambda place: not _is_usual(place))
    same = [other for other in others if same_weights(fitting[place], fitting[other])]
    if len(others) > len(same):
        _ask_which([one for one in fitting if one not in same])
    _refuse_objects(entries, place, renames)
    if not selection.weights:
        if not _is_usual(place):
            raise CheckpointError(
                f'the weights that fit lie at {place}, which may mean an average or another '
                'network', 'a place that is chosen', f'add --weights {shlex.quote(place)}')
        beside = [entry for entry in entries if not any(below(entry.path, one) for one in same)]
        _ask_about_twins(place, twins_of(fitting[place], beside,
                                         _holders_at(place, named, renames)))
    notes = [f'the weights at {selection.weights}'] if selection.weights else []
    return _dicts_at(place, named, renames), notes + [
        f'{other} holds the same weights again' for other in same]


def _parts_at(place: str, entries: Sequence[Entry], renames: Renames) -> Tensors:
    """Return the parts of the policy below a place, without what else its dicts hold."""
    return {new_name(name, renames)[1]: entry.value for entry in entries
            if below(entry.path, place) and _is_part(name := rest_of(entry.path, place), renames)}


def _dicts_at(place: str, entries: Sequence[Entry], renames: Renames) -> Tensors:
    """Return the whole dicts of which a part of the policy lies below the place."""
    holders = _holders_at(place, entries, renames)
    found: Tensors = {}
    for entry in entries:
        if entry.holder in holders:
            inside = below(entry.path, place)
            name = rest_of(entry.path, place) if inside else entry.name
            if name in found:
                raise CheckpointError(f'two tensors are called {name}', 'different names',
                                      f'--weights {place}' if place else AS_SAVED)
            found[name] = entry.value
    return renamed(found, renames)


def _holders_at(place: str, entries: Sequence[Entry], renames: Renames) -> Set[str]:
    return {entry.holder for entry in entries if below(entry.path, place)
            and _is_part(rest_of(entry.path, place), renames)}


def _is_part(name: str, renames: Renames) -> bool:
    return new_name(name, renames)[1].split('.')[0] in PARTS


def _is_usual(place: str) -> bool:
    return not place or set(place.split('.')) <= USUAL


def _refuse_objects(entries: Sequence[Entry], place: str, renames: Renames) -> None:
    """Raise CheckpointError if an object, such as a quantised tensor, stands for a tensor."""
    objects = [f'{name} is a {entry.value.kind}' for entry in entries
               if not isinstance(entry.value, Tensor) and not entry.hidden
               and entry.value.items is None and below(entry.path, place)
               and _is_part(name := rest_of(entry.path, place), renames)]
    if objects:
        raise CheckpointError(f'{listed(objects)}, not a plain tensor', 'plain tensors', AS_SAVED)


def _ask_which(places: Sequence[str]) -> NoReturn:
    """Raise CheckpointError with the options that choose each of the places."""
    lines = []
    for place in places:
        nested = [rest_of(other, place) for other in places if other != place
                  and below(other, place)]
        options = [f'--weights {shlex.quote(place)}'] if place else []
        lines.append(' '.join([*options, *(f'--drop {shlex.quote(name)}' for name in nested)]))
    names = [place or 'the file itself' for place in places]
    raise CheckpointError(f'weights that fit lie at {len(places)} places: {listed(names)}',
                          'one of them chosen', 'add ' + ', or '.join(lines))


def _ask_about_twins(place: str, twins: Mapping[str, Sequence[Entry]]) -> None:
    if not twins:
        return
    names = [f'{twin or "the top"} ({len(group)} tensors'
             + (f' in an object of {group[0].hidden})' if group[0].hidden else ')')
             for twin, group in twins.items()]
    option = f'--weights {shlex.quote(place)}' if place else \
        ' '.join(['--drop', *map(shlex.quote, twins)])
    raise CheckpointError(
        f'beside the weights at {place or "the top"} lie others of the same shapes, perhaps '
        f'their average: {listed(names)}', 'one of them chosen',
        f'add {option} for those with names; to take the others, save them under these names')


def _only_dict(entries: Sequence[Entry], named: Sequence[Entry], selection: Selection) -> Tensors:
    """Return the only dict of weights, though not of a policy, so that errors can name them."""
    holders = holders_of(named)
    if not holders:
        objects = list(dict.fromkeys(entry.value.kind for entry in entries
                                     if not isinstance(entry.value, Tensor) and not entry.hidden))
        raise CheckpointError('it holds no weights by name' + (
            f', but objects of the class {listed(objects, 6)}' if objects else ''),
            'a dict of tensors', AS_SAVED)
    if len(holders) > 1:
        places = [f'{place or "the file itself"} ({counted([entry.name for entry in group])})'
                  for place, group in holders.items()]
        raise CheckpointError(
            f'weights lie at {len(holders)} places, and none has {", ".join(PARTS)}'
            + (' and every name of --map: ' if selection.renames else ': ')
            + listed(places, 8), 'the place and the names of the policy', '--weights PLACE, or '
            '--map NAME=vision_encoder for each of the parts')
    holder, = holders
    tensors = {rest_of(entry.path, holder): entry.value for entry in named
               if entry.holder == holder}
    mapped = {old.split('.')[0] for old in selection.renames}
    while tops := set(tops_of(tensors)):
        top = tops.pop()
        if tops or top not in WRAPPERS or top in mapped or top in tensors:
            break
        tensors = {name[len(top) + 1:]: tensor for name, tensor in tensors.items()}
    return tensors
