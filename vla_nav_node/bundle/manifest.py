"""What a bundle's policy.yaml must say: one table of checks, every problem told at once."""

from itertools import islice
import math
import re
import reprlib
from typing import Any, Callable, Dict, List, Mapping, Tuple

from .manifest_keys import strange_keys
from ..vision.preprocess import FITS, RESIZES, TURNS

MANIFEST = 'policy.yaml'
FORMAT = 1
AXES = ('linear_x', 'linear_y')
UNIT = 'm/s'
# The parts of the state, in order, that each recurrent layer carries from step to step.
RECURRENT_STATES = {'LSTM': ('h', 'c'), 'GRU': ('h',), 'RNN': ('h',)}
RECURRENT_KEYS = ('type', 'input_size', 'hidden_size', 'num_layers', 'bias', 'nonlinearity')
LARGEST_SIZE = 65536  # of a picture or a layer: more is a mistake, and would eat the memory
PLAIN_NAME = re.compile(r'[A-Za-z0-9_][A-Za-z0-9_.-]*')
SHA256 = re.compile(r'[0-9a-f]{64}')
LONGEST_SHOWN = 100  # characters of a value in a message
MOST_SHOWN = 10  # problems of one kind in a message
SHORT = reprlib.Repr()
SHORT.maxlevel = 2

# Each check gives '' for a sound value, else what was expected in its place.
Check = Callable[[Any], str]


def problems_of(document: Any) -> List[str]:
    """Return everything that is wrong with a manifest as YAML read it; empty when sound."""
    if not isinstance(document, dict):
        return [f'it is {_show(document)}, not a mapping']
    if type(document.get('format')) is not int or document['format'] != FORMAT:
        # The rest of another format's rules is unknown, so it is not worth reading on.
        return [f'format is {_show(document.get("format"))}, not {FORMAT}']
    problems: List[str] = []
    for path, check in CHECKS.items():
        problems += _problem(document, path.split('.'), check)
    problems += islice(strange_keys(document), MOST_SHOWN)
    return list(dict.fromkeys(problems))  # a missing parent is told once


def _problem(document: Mapping[Any, Any], keys: List[str], check: Check) -> List[str]:
    value: Any = document
    for depth, key in enumerate(keys):
        if not isinstance(value, dict):
            return [_told(keys[:depth], value, 'a mapping')]
        if key not in value:
            optional = keys[0] in OPTIONAL or '.'.join(keys) in OPTIONAL
            return [] if optional else ['.'.join(keys[:depth + 1]) + ' is missing']
        value = value[key]
    expected = check(value)
    return [_told(keys, value, expected)] if expected else []


def _told(keys: List[str], value: Any, expected: str) -> str:
    return f'{".".join(keys)} is {_show(value)}, not {expected}'


def _show(value: Any) -> str:
    """Show a value in short: it may be nested or large beyond measure, on purpose too."""
    try:
        return SHORT.repr(value)[:LONGEST_SHOWN]
    except ValueError:  # Python does not write integers of thousands of digits
        return f'a {type(value).__name__} that is too large to be shown'


def is_number(value: Any) -> bool:
    """Tell whether YAML gave a finite number (true and false are not numbers)."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return math.isfinite(value) if isinstance(value, float) else abs(value) < 2 ** 63


def _text(value: Any) -> str:
    return '' if isinstance(value, str) and value.strip() else 'a text'


def _size(value: Any) -> str:
    good = type(value) is int and 1 <= value <= LARGEST_SIZE
    return '' if good else f'a whole number from 1 to {LARGEST_SIZE}'


def _positive(value: Any) -> str:
    return '' if is_number(value) and value > 0 else 'a finite number above 0'


def _mapping(value: Any) -> str:
    return '' if isinstance(value, dict) else 'a mapping'


def _one_of(*choices: str) -> Check:
    def check(value: Any) -> str:
        good = isinstance(value, str) and value in choices
        return '' if good else 'one of ' + ', '.join(choices)
    return check


def _turn(value: Any) -> str:
    good = type(value) is int and value in TURNS
    return '' if good else 'one of ' + ', '.join(map(str, TURNS)) + ' (degrees, clockwise)'


def _is(expected: Any) -> Check:
    return lambda value: '' if value == expected else repr(expected)


def _channels(value: Any) -> str:
    good = isinstance(value, list) and len(value) == 3 and all(map(is_number, value))
    return '' if good else 'three finite numbers (R, G, B)'


def _positive_channels(value: Any) -> str:
    good = not _channels(value) and all(number > 0 for number in value)
    return '' if good else 'three finite numbers above 0 (R, G, B)'


def _layers(value: Any) -> str:
    good = isinstance(value, list) and value and all(
        isinstance(layer, dict) and isinstance(layer.get('type'), str)
        and all(isinstance(key, str) for key in layer) for layer in value)
    return '' if good else 'a list of layers, each a mapping with a type'


def _recurrent(value: Any) -> str:
    if not isinstance(value, dict) or not all(key in RECURRENT_KEYS for key in value):
        return 'a mapping of ' + ', '.join(RECURRENT_KEYS) + ' only'
    return 'one where only an RNN has a nonlinearity' \
        if 'nonlinearity' in value and value.get('type') != 'RNN' else ''


def _flag(value: Any) -> str:
    return '' if isinstance(value, bool) else 'true or false'


def _head(value: Any) -> str:
    sizes = isinstance(value, list) and not any(map(_size, value))
    return '' if sizes or not _layers(value) else \
        'a list of hidden sizes, or of layers, each a mapping with a type'


def _limits(value: Any) -> str:
    good = isinstance(value, dict) and all(key in AXES for key in value)
    return '' if good else 'a mapping of ' + ' and '.join(AXES)


def _files(value: Any) -> str:
    good = isinstance(value, dict) and all(map(_is_file, value.items()))
    return '' if good else ('a mapping of plain file names to {sha256: 64 hexadecimal digits, '
                            'bytes: a whole number}')


def _is_file(item: Tuple[Any, Any]) -> bool:
    name, entry = item
    return (is_plain_name(name) and isinstance(entry, dict) and set(entry) == {'sha256', 'bytes'}
            and isinstance(entry['sha256'], str) and bool(SHA256.fullmatch(entry['sha256']))
            and type(entry['bytes']) is int and entry['bytes'] >= 0)


def is_plain_name(name: Any) -> bool:
    """Tell whether a file's name stays inside its directory and is not the manifest's own."""
    return (isinstance(name, str) and bool(PLAIN_NAME.fullmatch(name))
            and name != MANIFEST and len(name) <= 255)


def _tolerances(value: Any) -> str:
    good = isinstance(value, dict) and all(
        isinstance(key, str) and not _positive(number) for key, number in value.items())
    return '' if good else 'a mapping of precisions to m/s above 0'


OPTIONAL = ('training', 'quantization', 'verification', 'architecture.head',
            'architecture.recurrent.bias', 'architecture.recurrent.nonlinearity', 'input.rotation')
CHECKS: Dict[str, Check] = {
    'name': _text,
    'architecture.encoder': _layers,
    'architecture.recurrent': _recurrent,
    'architecture.recurrent.type': _one_of(*RECURRENT_STATES),
    'architecture.recurrent.input_size': _size,
    'architecture.recurrent.hidden_size': _size,
    'architecture.recurrent.num_layers': _size,
    'architecture.recurrent.bias': _flag,
    'architecture.recurrent.nonlinearity': _one_of('tanh', 'relu'),
    'architecture.head': _head,
    'input.height': _size,
    'input.width': _size,
    'input.fit': _one_of(*FITS),
    'input.resize': _one_of(*RESIZES),
    'input.rotation': _turn,
    'input.mean': _channels,
    'input.std': _positive_channels,
    'action.names': _is(list(AXES)),
    'action.unit': _is(UNIT),
    'action.limits': _limits,
    'action.limits.linear_x': _positive,
    'action.limits.linear_y': _positive,
    'files': _files,
    'training': _mapping,
    'quantization': _mapping,
    'verification': _mapping,
    'verification.tolerance': _tolerances,
}
