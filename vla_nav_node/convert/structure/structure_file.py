"""What a user says of a network's structure: a preset's name, a bundle, or a file of YAML."""

from pathlib import Path
from typing import Any, Iterator, Mapping

from .asked import PLAIN, PLAIN_MEANS, unsaid
from .presets import PRESETS
from ..checkpoint.checkpoint import listed
from ...bundle import plain_yaml
from ...bundle.bundle import load_bundle
from ...errors import SettingError

FILL_IN = 'FILL_IN'
Structure = Mapping[str, Any]


def read_structure(source: str) -> Structure:
    """Read `encoder`, `recurrent`, `head` from a preset's name, a bundle or a YAML file."""
    if source in PRESETS:
        return PRESETS[source]
    path = Path(source).expanduser()
    if path.is_dir():
        return _with_default(load_bundle(path).architecture)
    if not path.is_file():
        raise SettingError(f'--structure {source} is neither a preset, a bundle nor a file',
                           ', '.join(PRESETS) + ', a bundle or a YAML file',
                           '--template FILE writes one to fill in')
    return _checked(path.name, _parsed(path))


def _with_default(architecture: Structure) -> Structure:
    """Say what a bundle may leave to torch: there it is no question any more."""
    recurrent = architecture['recurrent']
    default = {'nonlinearity': 'tanh'} if recurrent['type'] == 'RNN' else {}
    return {**architecture, 'recurrent': {**default, **recurrent}}


def _parsed(path: Path) -> Any:
    try:
        with open(path, 'rb') as file:
            return plain_yaml.load(file.read(plain_yaml.MOST_BYTES + 1))
    except (plain_yaml.NotPlain, OSError) as error:
        raise SettingError(f'{path.name} is no YAML file: {error}', 'a structure',
                           '--template FILE writes one to fill in') from None


def _checked(name: str, found: Any) -> Structure:
    structure: Any = found
    sound = isinstance(structure, dict) \
        and set(structure) <= {'encoder', 'recurrent', 'head', PLAIN} \
        and isinstance(structure.get('recurrent', {}), dict) \
        and are_layers(structure.get('encoder')) \
        and (are_layers(structure.get('head')) or _are_sizes(structure.get('head', [])))
    if not sound:
        raise SettingError(f'{name} is no structure', 'a mapping of encoder (a list of layers, '
                           'each a mapping with a type), recurrent (a mapping) and head (a list '
                           'of hidden sizes or of layers)',
                           '--template FILE writes one to fill in')
    left = list(_left_open(structure))
    if left:
        raise SettingError(f'{name} still has {FILL_IN} at {listed(left)}', 'values',
                           'take them from the code of the network that was trained')
    _refuse_unsaid(name, structure)
    return {key: value for key, value in structure.items() if key != PLAIN}


def _refuse_unsaid(name: str, structure: Structure) -> None:
    left = unsaid(structure)
    if left:
        raise SettingError(f'{name} does not say {listed(left)}', 'all of them, as they were in '
                           'training', 'take them from the code of the network that was trained')
    if structure[PLAIN] is not True:
        raise SettingError(f'{name} says {PLAIN}: {str(structure[PLAIN])[:40]}', PLAIN_MEANS,
                           'train a network that is one: a bundle holds no other')


def are_layers(value: Any) -> bool:
    """Tell whether a value is a list of layers, each a mapping with a type."""
    return isinstance(value, list) and bool(value) and all(
        isinstance(layer, dict) and isinstance(layer.get('type'), str)
        and all(isinstance(key, str) for key in layer) for layer in value)


def _are_sizes(value: Any) -> bool:
    return isinstance(value, list) and all(type(size) is int and size > 0 for size in value)


def _left_open(value: Any, place: str = '') -> Iterator[str]:
    if value == FILL_IN:
        yield place
    pairs = value.items() if isinstance(value, dict) else \
        enumerate(value) if isinstance(value, list) else ()
    for key, inner in pairs:
        yield from _left_open(inner, f'{place}.{key}'.lstrip('.'))
