"""A bundle's policy.yaml: read, checked against one table with all problems at once, written."""

from itertools import islice
import math
from pathlib import Path
import re
import reprlib
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Union

from . import plain_yaml
from .manifest_keys import unknown_keys
from ..errors import BundleError
from ..vision.preprocess import FITS, RESIZES, TURNS

MANIFEST = 'policy.yaml'
FORMAT = 1
AXES = ('linear_x', 'linear_y')
UNIT = 'm/s'
# The parts of the state, in order, that each recurrent layer carries from step to step.
RECURRENT_STATES = {'LSTM': ('h', 'c'), 'GRU': ('h',), 'RNN': ('h',)}
LARGEST_SIZE = 65536  # of a picture or a layer: more is a mistake and would exhaust the memory
PLAIN_NAME = re.compile(r'[A-Za-z0-9_][A-Za-z0-9_.-]*')
SHA256 = re.compile(r'[0-9a-f]{64}')
LONGEST_SHOWN = 100  # characters of a value in a message
MOST_SHOWN = 10  # unknown keys in a message
SHORT = reprlib.Repr()
SHORT.maxlevel = 2


class Check(NamedTuple):
    """A rule for one value of a manifest."""

    expected: str
    is_sound: Callable[[Any], Any]


def read_manifest(root: Path) -> bytes:
    """Return the bytes of the manifest in a bundle's directory, or raise BundleError."""
    if not root.is_dir():
        raise BundleError(f'no bundle at {root}', 'a directory with a policy.yaml',
                          'give the path of a bundle, or leave it empty for the one that ships')
    if not (root / MANIFEST).is_file():  # a pipe or a device is refused, too
        raise BundleError(f'{root} has no {MANIFEST}', 'a policy bundle',
                          "make one with 'vla_nav export'")
    try:
        with open(root / MANIFEST, 'rb') as file:
            return file.read(plain_yaml.MOST_BYTES + 1)
    except OSError as error:
        raise BundleError(f'{root / MANIFEST} cannot be read: {error.strerror}',
                          'a readable file', 'check its permissions') from None


def parse_manifest(text: Union[str, bytes], where: str = MANIFEST) -> Dict[str, Any]:
    """Return a manifest's text as a checked mapping, or raise BundleError."""
    try:
        document = plain_yaml.load(text)
    except plain_yaml.NotPlain as error:
        raise BundleError(f'{where} is not plain YAML: {error}', 'a manifest of a policy bundle',
                          'export the bundle again') from None
    refuse(where, problems_of(document))
    return dict(document)


def dump_manifest(manifest: Mapping[str, Any]) -> str:
    """Return a manifest as text, or raise BundleError."""
    try:
        return plain_yaml.dump(manifest)
    except plain_yaml.NotPlain as error:
        raise BundleError(f'the manifest cannot be written: {error}',
                          'texts, numbers, lists and mappings only') from None


def refuse(where: str, problems: List[str]) -> None:
    """Raise BundleError if there are any problems."""
    if problems:
        raise BundleError(f'{where} is refused: ' + '; '.join(problems),
                          'a bundle as it was exported', 'copy or export the bundle again')


def problems_of(document: Any) -> List[str]:
    """Return everything that is wrong with a manifest as YAML read it; empty if it is sound."""
    if not isinstance(document, dict):
        return [f'it is {_show(document)}, not a mapping']
    if type(document.get('format')) is not int or document['format'] != FORMAT:
        # The rules of another format are unknown, so the rest is not checked.
        return [f'format is {_show(document.get("format"))}, not {FORMAT}']
    problems = [problem for path, check in CHECKS.items()
                if (problem := _problem(document, path.split('.'), check))]
    problems += islice(unknown_keys(document), MOST_SHOWN)
    return list(dict.fromkeys(problems))  # a missing parent is reported once


def _problem(document: Any, keys: List[str], check: Check) -> str:
    value, expected = document, check.expected
    for depth, key in enumerate(keys):
        if not isinstance(value, dict):
            keys, expected = keys[:depth], 'a mapping'
            break
        if key not in value:
            is_optional = keys[0] in OPTIONAL or '.'.join(keys) in OPTIONAL
            return '' if is_optional else '.'.join(keys[:depth + 1]) + ' is missing'
        value = value[key]
    else:
        if check.is_sound(value):
            return ''
    return f'{".".join(keys)} is {_show(value)}, not {expected}'


def _show(value: Any) -> str:
    """Return a value as short text: it may be nested or large beyond measure, on purpose too."""
    try:
        return SHORT.repr(value)[:LONGEST_SHOWN]
    except ValueError:  # Python does not write integers of thousands of digits
        return f'a {type(value).__name__} that is too large to be shown'


def is_plain_name(name: Any) -> bool:
    """Return whether a file name stays inside its directory and is not the manifest's own."""
    return (isinstance(name, str) and bool(PLAIN_NAME.fullmatch(name))
            and name != MANIFEST and len(name) <= 255)


def _is_number(value: Any) -> bool:
    """Return whether YAML gave a finite number (true and false are not numbers)."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return math.isfinite(value) if isinstance(value, float) else abs(value) < 2 ** 63


def _is_positive(value: Any) -> bool:
    return _is_number(value) and value > 0


def _is_size(value: Any) -> bool:
    return type(value) is int and 1 <= value <= LARGEST_SIZE


def _are_layers(value: Any) -> bool:
    return isinstance(value, list) and value != [] and all(
        isinstance(layer, dict) and isinstance(layer.get('type'), str)
        and all(isinstance(key, str) for key in layer) for layer in value)


def _is_head(value: Any) -> bool:
    return _are_layers(value) or (isinstance(value, list) and all(map(_is_size, value)))


def _is_recurrent(value: Any) -> bool:
    return isinstance(value, dict) and ('nonlinearity' not in value or value.get('type') == 'RNN')


def _is_file(name: Any, entry: Any) -> bool:
    return (is_plain_name(name) and isinstance(entry, dict) and set(entry) == {'sha256', 'bytes'}
            and isinstance(entry['sha256'], str) and bool(SHA256.fullmatch(entry['sha256']))
            and type(entry['bytes']) is int and entry['bytes'] >= 0)


def _are_files(value: Any) -> bool:
    return isinstance(value, dict) and all(_is_file(*item) for item in value.items())


def _are_tolerances(value: Any) -> bool:
    return isinstance(value, dict) and all(
        isinstance(key, str) and _is_positive(number) for key, number in value.items())


def _one_of(*choices: Any, unit: str = '') -> Check:
    """Check for one of these values; the type counts, too, since 0 == False in Python."""
    return Check('one of ' + ', '.join(map(str, choices)) + unit,
                 lambda value: type(value) is type(choices[0]) and value in choices)


def _exactly(expected: Any) -> Check:
    return Check(repr(expected), lambda value: value == expected)


def _channels(kind: str, is_sound: Callable[[Any], bool]) -> Check:
    return Check(f'three {kind} (R, G, B)', lambda value: isinstance(value, list)
                 and len(value) == 3 and all(map(is_sound, value)))


SIZE = Check(f'a whole number from 1 to {LARGEST_SIZE}', _is_size)
POSITIVE = Check('a finite number above 0', _is_positive)
MAPPING = Check('a mapping', lambda value: isinstance(value, dict))
OPTIONAL = ('training', 'quantization', 'verification', 'architecture.head',
            'architecture.recurrent.bias', 'architecture.recurrent.nonlinearity', 'input.rotation')
CHECKS: Dict[str, Check] = {
    'name': Check('a text', lambda value: isinstance(value, str) and value.strip()),
    'architecture.encoder': Check('a list of layers, each a mapping with a type', _are_layers),
    'architecture.recurrent': Check(
        'a mapping where only an RNN has a nonlinearity', _is_recurrent),
    'architecture.recurrent.type': _one_of(*RECURRENT_STATES),
    'architecture.recurrent.input_size': SIZE,
    'architecture.recurrent.hidden_size': SIZE,
    'architecture.recurrent.num_layers': SIZE,
    'architecture.recurrent.bias': Check(
        'true or false', lambda value: isinstance(value, bool)),
    'architecture.recurrent.nonlinearity': _one_of('tanh', 'relu'),
    'architecture.head': Check(
        'a list of hidden sizes, or of layers, each a mapping with a type', _is_head),
    'input.height': SIZE,
    'input.width': SIZE,
    'input.fit': _one_of(*FITS),
    'input.resize': _one_of(*RESIZES),
    'input.rotation': _one_of(*TURNS, unit=' (degrees, clockwise)'),
    'input.mean': _channels('finite numbers', _is_number),
    'input.std': _channels('finite numbers above 0', _is_positive),
    'action.names': _exactly(list(AXES)),
    'action.unit': _exactly(UNIT),
    'action.limits': MAPPING,
    'action.limits.linear_x': POSITIVE,
    'action.limits.linear_y': POSITIVE,
    'files': Check('a mapping of plain file names to {sha256: 64 hexadecimal digits, '
                   'bytes: a whole number}', _are_files),
    'training': MAPPING,
    'quantization': MAPPING,
    'verification': MAPPING,
    'verification.tolerance': Check('a mapping of precisions to m/s above 0', _are_tolerances),
}
