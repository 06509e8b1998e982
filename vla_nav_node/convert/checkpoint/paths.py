"""Names of tensors and places in a file: dotted paths, compared and replaced in whole parts."""

from typing import Dict, Iterable, List, Mapping, Sequence, Tuple

from torch import Tensor

from ...errors import CheckpointError

Rules = Mapping[str, str]  # --map's OLD -> NEW


def join(*parts: str) -> str:
    """Join paths, of which some may be empty."""
    return '.'.join(part for part in parts if part)


def below(path: str, place: str) -> bool:
    """Tell whether a path lies at or below a place, in whole parts."""
    return not place or f'{path}.'.startswith(f'{place}.')


def rest_of(path: str, place: str) -> str:
    """Return what comes after a place in a path below it."""
    return path[len(place):].lstrip('.') if place else path


def tops_of(names: Iterable[str]) -> List[str]:
    """List the first parts of names, each once, in their order."""
    return list(dict.fromkeys(name.split('.')[0] for name in names))


def new_name(name: str, rules: Rules) -> Tuple[str, str]:
    """Return the rule that a name falls under, the longest, and what it becomes."""
    old = max((old for old in rules if below(name, old)), key=len, default='')
    return old, join(rules[old], rest_of(name, old)) if old else name


def renamed_by(tensors: Mapping[str, Tensor], rules: Rules) -> Dict[str, Tensor]:
    """Return the tensors under their new names. Raise CheckpointError if two have one."""
    renamed: Dict[str, Tensor] = {}
    unused = set(rules)
    for name, tensor in tensors.items():
        old, new = new_name(name, rules)
        unused.discard(old)
        if new in renamed:
            raise CheckpointError(f'two tensors would be called {new}', 'different names',
                                  'change --map')
        renamed[new] = tensor
    if unused:
        raise CheckpointError('no tensor is called ' + listed(sorted(unused)),
                              'one of ' + listed(tops_of(tensors)), 'change --map')
    return renamed


def counted(names: Sequence[str]) -> str:
    """Tell how many tensors there are, and the first of them."""
    return f'{len(names)} tensor{"s" * (len(names) > 1)}, {listed(list(names), 4)}'


def listed(items: List[str], most: int = 40) -> str:
    """Join for a message, and say how many more there are where there are very many."""
    more = f' and {len(items) - most} more' if len(items) > most else ''
    return ', '.join(items[:most]) + more
