"""Compare, join and rename dotted paths: names of tensors and places in a file."""

from typing import Dict, Iterable, List, Mapping, Sequence, Tuple

from torch import Tensor

from ...errors import CheckpointError

Renames = Mapping[str, str]  # --map's OLD -> NEW


def join(*parts: str) -> str:
    """Join paths, of which some may be empty."""
    return '.'.join(part for part in parts if part)


def below(path: str, place: str) -> bool:
    """Return whether a path lies at or below a place, compared in whole parts."""
    return not place or f'{path}.'.startswith(f'{place}.')


def rest_of(path: str, place: str) -> str:
    """Return what follows a place in a path below it."""
    return path[len(place):].lstrip('.') if place else path


def tops_of(names: Iterable[str]) -> List[str]:
    """Return the first parts of names, each once, in their order."""
    return list(dict.fromkeys(name.split('.')[0] for name in names))


def new_name(name: str, renames: Renames) -> Tuple[str, str]:
    """Return the longest OLD that a name lies below ('' if none), and the new name."""
    old = max((old for old in renames if below(name, old)), key=len, default='')
    return old, join(renames[old], rest_of(name, old)) if old else name


def renamed(tensors: Mapping[str, Tensor], renames: Renames) -> Dict[str, Tensor]:
    """Return the tensors by their new names; raise CheckpointError if two have the same."""
    found: Dict[str, Tensor] = {}
    unused = set(renames)
    for name, tensor in tensors.items():
        old, new = new_name(name, renames)
        unused.discard(old)
        if new in found:
            raise CheckpointError(f'two tensors would be called {new}', 'different names',
                                  'change --map')
        found[new] = tensor
    if unused:
        raise CheckpointError('no tensor is called ' + listed(sorted(unused)),
                              'one of ' + listed(tops_of(tensors)), 'change --map')
    return found


def counted(names: Sequence[str]) -> str:
    """Return the number of tensors and the first of their names, for a message."""
    return f'{len(names)} tensor{"s" * (len(names) > 1)}, {listed(list(names), 4)}'


def listed(items: List[str], most: int = 40) -> str:
    """Join items for a message; say how many more there are than `most`."""
    more = f' and {len(items) - most} more' if len(items) > most else ''
    return ', '.join(items[:most]) + more
