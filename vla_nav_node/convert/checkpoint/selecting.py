"""Entries of a file + what the user says of it -> the tensors of the policy, by our names."""

from dataclasses import dataclass
import re
import shlex
from typing import Dict, List, Mapping, NoReturn, Sequence, Set, Tuple

from torch import Tensor

from .containers import (
    Choice, Entry, holders_of, PARTS, places_that_fit, same_weights, storage_of, twins_of, USUAL)
from .paths import below, counted, listed, new_name, renamed_by, rest_of, Rules, tops_of
from .reading.kinds import AS_SAVED
from ...errors import CheckpointError

WRAPPERS = ('module', '_orig_mod', 'model', 'policy')  # before all names, taken off by themselves
# Names that a layer of a policy may have; any other name of the same storage is a copy.
OURS = re.compile(r'(vision_encoder|actions)\.\d+\.(\w+|parametrizations\..+)'
                  r'|rnn\.(\w+|parametrizations\..+)')
Tensors = Dict[str, Tensor]


@dataclass(frozen=True)
class Selected:
    """The tensors, what is worth telling, and what `--drop` took by its prefixes."""

    tensors: Tensors
    notes: List[str]
    dropped: Dict[str, List[str]]


def select(entries: Sequence[Entry], choice: Choice) -> Selected:
    """
    Return the one policy that the entries hold.

    Raise CheckpointError where there is none, or more than one that the choice leaves open.
    """
    entries = _chosen_place(entries, choice)
    dropped: Dict[str, List[str]] = {prefix: [] for prefix in choice.drop}
    entries = [entry for entry in entries if not _is_dropped(entry, choice, dropped)]
    tensors, notes = _from_one_place(entries, choice)
    for prefix in choice.drop:  # names as messages have them
        taken = [name for name in tensors if below(name, prefix)]
        dropped[prefix] += taken
        tensors = {name: tensors[name] for name in tensors if name not in taken}
    _refuse_idle_drops(dropped, tensors)
    copies = _copies(tensors)
    notes += [f'dropped by --drop {prefix}: {counted(names)}'
              for prefix, names in dropped.items()]
    if copies:
        notes.append(f'left out as copies of weights under another name: {counted(copies)}')
    tensors = {name: tensors[name] for name in tensors if name not in set(copies)}
    return Selected(tensors, notes, dropped)


def _chosen_place(entries: Sequence[Entry], choice: Choice) -> List[Entry]:
    found = [entry for entry in entries if below(entry.path, choice.weights)]
    if choice.weights and not any(entry.is_weight and not entry.hidden for entry in found):
        places = [place or 'the file itself' for place in holders_of(entries)]
        raise CheckpointError(f'no weights lie at {choice.weights}', 'one of ' + listed(places),
                              'change --weights')
    return found


def _is_dropped(entry: Entry, choice: Choice, dropped: Dict[str, List[str]]) -> bool:
    """Tell whether `--drop` names an entry, with the usual keys before it or without them."""
    parts = rest_of(entry.path, choice.weights).split('.')
    for depth in range(len(parts)):
        name = '.'.join(parts[depth:])
        taken = next((prefix for prefix in choice.drop if below(name, prefix)), None)
        if taken is not None:
            dropped[taken].append(name)
            return True
        if parts[depth] not in USUAL:
            break
    return False


def _from_one_place(entries: Sequence[Entry], choice: Choice) -> Tuple[Tensors, List[str]]:
    named = [entry for entry in entries if isinstance(entry.value, Tensor) and not entry.hidden]
    fitting = {place: _parts_at(place, named, choice.rules)
               for place in places_that_fit(named, choice.rules)}
    if not fitting:
        return renamed_by(_only(entries, named, choice), choice.rules), []
    first, *others = sorted(fitting, key=lambda place: not _is_usual(place))
    same = [place for place in others if same_weights(fitting[first], fitting[place])]
    if len(others) > len(same):
        _ask([place for place in fitting if place not in same])
    _refuse_objects(entries, first, choice.rules)
    if not choice.weights:
        _ask_about_name(first)
        beside = [entry for entry in entries
                  if not any(below(entry.path, place) for place in same)]
        _ask_about_twins(first, twins_of(fitting[first], beside,
                                         _holders_at(first, named, choice.rules)))
    notes = [f'the weights at {choice.weights}'] if choice.weights else []
    return _at(first, named, choice.rules), notes + [
        f'{place} holds the same weights again' for place in same]


def _parts_at(place: str, entries: Sequence[Entry], rules: Rules) -> Tensors:
    """Return the parts of the policy below a place, without what else its dicts hold."""
    return {new_name(name, rules)[1]: entry.value for entry in entries
            if below(entry.path, place) and _is_part(name := rest_of(entry.path, place), rules)}


def _at(place: str, entries: Sequence[Entry], rules: Rules) -> Tensors:
    """Take whole dicts: those of which a part of the policy lies below the place."""
    holders = _holders_at(place, entries, rules)
    found: Tensors = {}
    for entry in entries:
        if entry.holder in holders:
            inside = below(entry.path, place)
            name = rest_of(entry.path, place) if inside else entry.name
            if name in found:
                raise CheckpointError(f'two tensors are called {name}', 'different names',
                                      f'--weights {place}' if place else AS_SAVED)
            found[name] = entry.value
    return renamed_by(found, rules)


def _holders_at(place: str, entries: Sequence[Entry], rules: Rules) -> Set[str]:
    return {entry.holder for entry in entries if below(entry.path, place)
            and _is_part(rest_of(entry.path, place), rules)}


def _is_part(name: str, rules: Rules) -> bool:
    return new_name(name, rules)[1].split('.')[0] in PARTS


def _refuse_objects(entries: Sequence[Entry], place: str, rules: Rules) -> None:
    """Raise if an object stands where the policy has a tensor, such as a quantised one."""
    objects = [f'{name} is a {entry.value.kind}' for entry in entries
               if not isinstance(entry.value, Tensor) and not entry.hidden
               and entry.value.items is None and below(entry.path, place)
               and _is_part(name := rest_of(entry.path, place), rules)]
    if objects:
        raise CheckpointError(f'{listed(objects)}, not a plain tensor', 'plain tensors', AS_SAVED)


def _ask(places: Sequence[str]) -> NoReturn:
    lines = []
    for place in places:
        nested = [rest_of(other, place) for other in places if other != place
                  and below(other, place)]
        options = [f'--weights {shlex.quote(place)}'] if place else []
        lines.append(' '.join([*options, *(f'--drop {shlex.quote(name)}' for name in nested)]))
    names = [place or 'the file itself' for place in places]
    raise CheckpointError(f'weights that fit lie at {len(places)} places: {listed(names)}',
                          'one of them chosen', 'add ' + ', or '.join(lines))


def _is_usual(place: str) -> bool:
    return not place or set(place.split('.')) <= USUAL


def _ask_about_name(place: str) -> None:
    if not _is_usual(place):
        raise CheckpointError(
            f'the weights that fit lie at {place}, which may mean an average or another network',
            'a place that is chosen', f'add --weights {shlex.quote(place)}')


def _ask_about_twins(place: str, twins: Mapping[str, Sequence[Entry]]) -> None:
    if not twins:
        return
    told = [f'{twin or "the top"} ({len(group)} tensors'
            + (f' in an object of {group[0].hidden})' if group[0].hidden else ')')
            for twin, group in twins.items()]
    chosen = f'--weights {shlex.quote(place)}' if place else \
        ' '.join(['--drop', *map(shlex.quote, twins)])
    raise CheckpointError(
        f'beside the weights at {place or "the top"} lie others of the same shapes, perhaps '
        f'their average: {listed(told)}', 'one of them chosen',
        f'add {chosen} for those with names; to take the others, save them under these names')


def _only(entries: Sequence[Entry], named: Sequence[Entry], choice: Choice) -> Tensors:
    """Return the only dict of weights though its names are others, so that they can be told."""
    holders = list(holders_of(named))
    if not holders:
        objects = list(dict.fromkeys(entry.value.kind for entry in entries
                                     if not isinstance(entry.value, Tensor) and not entry.hidden))
        raise CheckpointError('it holds no weights by name' + (
            f', but objects of the class {listed(objects, 6)}' if objects else ''),
            'a dict of tensors', AS_SAVED)
    if len(holders) > 1:
        told = [f'{place or "the file itself"} ({counted([entry.name for entry in group])})'
                for place, group in holders_of(named).items()]
        raise CheckpointError(
            f'weights lie at {len(holders)} places, and none has {", ".join(PARTS)}'
            + (' and every name of --map: ' if choice.rules else ': ')
            + listed(told, 8), 'the place and the names of the policy', '--weights PLACE, or '
            '--map NAME=vision_encoder for each of the parts')
    tensors = {rest_of(entry.path, holders[0]): entry.value for entry in named
               if entry.holder == holders[0]}
    ruled = {old.split('.')[0] for old in choice.rules}
    while tops := set(tops_of(tensors)):
        top = tops.pop()
        if tops or top not in WRAPPERS or top in ruled or top in tensors:
            break
        tensors = {name[len(top) + 1:]: tensor for name, tensor in tensors.items()}
    return tensors


def _refuse_idle_drops(dropped: Dict[str, List[str]], tensors: Tensors) -> None:
    idle = [prefix for prefix, names in dropped.items() if not names]
    if idle:
        raise CheckpointError(f'no tensor is called {listed(idle)}',
                              'one of ' + listed(tops_of(tensors)), 'change --drop')


def _copies(tensors: Tensors) -> List[str]:
    """List the names that are not ours of storages that have one of our names too."""
    known = {storage_of(tensor) for name, tensor in tensors.items() if OURS.fullmatch(name)}
    return [name for name, tensor in tensors.items()
            if tensor.numel() and not OURS.fullmatch(name) and storage_of(tensor) in known]
