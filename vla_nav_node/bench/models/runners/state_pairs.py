"""Which output of a foreign graph is the new value of which state, by names or by shapes."""

from collections import Counter
from itertools import permutations
import re
from typing import Dict, FrozenSet, Iterable, List, Mapping, Sequence, Tuple

from ....errors import BackendError

Shape = Tuple[object, ...]  # a size that the file leaves open is a text or None
WORD = re.compile('[A-Z]?[a-z]+|[A-Z]+|[0-9]+')
# h0, hn, ht, hx, hy, hin, hout, ... in one word, as torch's documentation has them
LETTER = re.compile('([hc])(?:n|t|x|y|in|out|prev|next|new)?')
# Words that tell before from after, and not which state it is.
TIME = {'in', 'input', 'prev', 'previous', 'past', 'old', 'init', 'initial', 'before', 'last', '0',
        'out', 'output', 'next', 'new', 'present', 'n', 'after', 'final', 'updated', 't', 'x', 'y'}
ALSO = {'hidden': 'h', 'cell': 'c', 'states': 'state'}
ACTION_NAMES = ('action', 'actions')
MOST_WAYS = 4


def pair_states(inputs: Mapping[str, Shape], outputs: Mapping[str, Shape],
                model: str) -> Dict[str, str]:
    """
    Return the output that goes back into each input.

    Raise BackendError if names and shapes allow several ways, or none.
    """
    outputs = {name: shape for name, shape in outputs.items() if name not in ACTION_NAMES}
    pairs = pairs_by_name(inputs, outputs)
    wrong = [f'{before} {list(inputs[before])} and {after} {list(outputs[after])}'
             for before, after in pairs.items() if not _agree(inputs[before], outputs[after])]
    if wrong:
        raise BackendError(f'{model} has states of two shapes: ' + ', '.join(wrong),
                           'each state as it goes in', 'export it like that')
    pairs.update(_by_shapes({name: inputs[name] for name in _left(inputs, pairs)},
                            {name: outputs[name] for name in _left(outputs, pairs.values())},
                            model))
    return {name: pairs[name] for name in inputs}


def pairs_by_name(inputs: Iterable[str], outputs: Iterable[str]) -> Dict[str, str]:
    """Return the output whose name says that it is the new value of an input, where one does."""
    pairs: Dict[str, str] = {}
    for digits in (True, False):  # h.1 may be the new h, or the h of the second layer
        pairs.update(_by_names(_left(inputs, pairs), _left(outputs, pairs.values()), digits))
    return pairs


def action_of(outputs: Mapping[str, Shape], model: str) -> str:
    """Return the action among the outputs that are no state, or raise BackendError."""
    named = [name for name in outputs if name in ACTION_NAMES]
    flat = [name for name, shape in outputs.items() if len(shape) <= 2]
    worded = [name for name in flat if not set(ACTION_NAMES).isdisjoint(_words(name))]
    for found in (named, list(outputs), worded, flat):
        if len(found) == 1:
            return found[0]
    raise BackendError(f'{model} gives {", ".join(outputs) or "no output"} besides its states',
                       'one output called action', 'export it with output_names')


def _left(names: Iterable[str], taken: Iterable[str]) -> List[str]:
    return [name for name in names if name not in set(taken)]


def _by_names(inputs: Sequence[str], outputs: Sequence[str], digits: bool) -> Dict[str, str]:
    """Pair an input and an output whose names mean the same, if no others do."""
    befores, afters = ({name: _meaning(name, digits) for name in names}
                       for names in (inputs, outputs))
    counts = [Counter(meanings.values()) for meanings in (befores, afters)]
    return {before: after for before, meaning in befores.items()
            for after, other in afters.items()
            if meaning and meaning == other and all(count[meaning] == 1 for count in counts)}


def _meaning(name: str, digits: bool) -> FrozenSet[str]:
    """Return the words that name the state; none in names such as 23 or input.1."""
    words = {word for word in _words(name) if word not in TIME and (digits or not word.isdigit())}
    return frozenset(words - {'state'} or words)


def _words(name: str) -> List[str]:
    words = [word.lower() for word in WORD.findall(name)]
    letters = [LETTER.fullmatch(word) for word in words]
    return [ALSO.get(word, letter[1] if letter else word)
            for word, letter in zip(words, letters)]


def _by_shapes(inputs: Dict[str, Shape], outputs: Dict[str, Shape], model: str) -> Dict[str, str]:
    """Pair the rest, if the shapes allow exactly one way."""
    if len(inputs) > MOST_WAYS:
        ways: List[Tuple[str, ...]] = []
    else:
        ways = [chosen for chosen in permutations(outputs, len(inputs))
                if all(_agree(inputs[before], outputs[after]) and not _at_odds(before, after)
                       for before, after in zip(inputs, chosen))]
    if len(ways) == 1:
        return dict(zip(inputs, ways[0]))
    shown = ' or '.join(', '.join(f'{before} -> {after}' for before, after in zip(inputs, way))
                        for way in ways[:MOST_WAYS])
    raise BackendError(
        f'{model} leaves open which output is the new '
        + ', '.join(f'{name} {list(shape)}' for name, shape in inputs.items())
        + (f': {shown}' if shown else f', of {", ".join(outputs) or "none"}'),
        'names that pair, such as h_in and h_out', 'export it with input_names and output_names')


def _at_odds(before: str, after: str) -> bool:
    """Return whether one name says h and the other c."""
    one, other = (_meaning(name, False) & {'h', 'c'} for name in (before, after))
    return bool(one and other) and one != other


def _agree(one: Shape, other: Shape) -> bool:
    return len(one) == len(other) and all(
        a == b for a, b in zip(one, other)
        if isinstance(a, int) and isinstance(b, int))
