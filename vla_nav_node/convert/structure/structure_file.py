"""Read a network's structure as the user states it: a preset's name, a bundle, or a YAML file."""

from pathlib import Path
from typing import Any, Dict, Iterator, List, Mapping

from .presets import PRESETS
from ..checkpoint.paths import listed
from ...bundle import plain_yaml
from ...bundle.bundle import load_bundle
from ...errors import SettingError

FILL_IN = 'FILL_IN'
PLAIN = 'plain_sequence'
# What that key states: skip connections, permutations and functions have no weights to show them.
PLAIN_MEANS = ('true: forward() gives each layer to the next one and nowhere else, and does no '
               'more than these layers do')
# Arguments of torch.nn's layers that change the numbers but no shape, so a file has to state them,
# with torch's own defaults; None where torch has no default either.
REQUIRED: Dict[str, Dict[str, Any]] = {
    'Conv2d': {'stride': 1, 'padding': 0, 'dilation': 1, 'padding_mode': 'zeros'},
    'BatchNorm2d': {'eps': 1e-5}, 'BatchNorm1d': {'eps': 1e-5}, 'LayerNorm': {'eps': 1e-5},
    'MaxPool2d': {'kernel_size': None, 'stride': 'kernel_size', 'padding': 0, 'dilation': 1,
                  'ceil_mode': False},
    'AvgPool2d': {'kernel_size': None, 'stride': 'kernel_size', 'padding': 0, 'ceil_mode': False,
                  'count_include_pad': True},
    'AdaptiveAvgPool2d': {'output_size': None},
    'LeakyReLU': {'negative_slope': 0.01}, 'ELU': {'alpha': 1.0}, 'GELU': {'approximate': 'none'},
    'RNN': {'nonlinearity': 'tanh'}}
IN_THE_CODE = 'take them from the code of the network that was trained'
Structure = Mapping[str, Any]


def read_structure(source: str) -> Structure:
    """
    Read `encoder`, `recurrent`, `head` from a preset's name, a bundle or a YAML file.

    Raise SettingError if a file is no structure or leaves out what no shape tells.
    """
    if source in PRESETS:
        return PRESETS[source]
    path = Path(source).expanduser()
    if path.is_dir():
        return _with_nonlinearity(load_bundle(path).architecture)
    if not path.is_file():
        raise SettingError(f'--structure {source} is neither a preset, a bundle nor a file',
                           ', '.join(PRESETS) + ', a bundle or a YAML file',
                           '--template FILE writes one to fill in')
    try:
        with open(path, 'rb') as file:
            structure = plain_yaml.load(file.read(plain_yaml.MOST_BYTES + 1))
    except (plain_yaml.NotPlain, OSError) as error:
        raise SettingError(f'{path.name} is not a YAML file: {error}', 'a structure',
                           '--template FILE writes one to fill in') from None
    _check_file(path.name, structure)
    return {key: value for key, value in structure.items() if key != PLAIN}


def _with_nonlinearity(architecture: Structure) -> Structure:
    """State torch's default where a bundle leaves it out: in a bundle it is settled."""
    recurrent = architecture['recurrent']
    default = {'nonlinearity': 'tanh'} if recurrent['type'] == 'RNN' else {}
    return {**architecture, 'recurrent': {**default, **recurrent}}


def _check_file(name: str, structure: Any) -> None:
    """Raise SettingError unless a file's content is a complete structure."""
    is_structure = isinstance(structure, dict) \
        and set(structure) <= {'encoder', 'recurrent', 'head', PLAIN} \
        and isinstance(structure.get('recurrent', {}), dict) \
        and are_layers(structure.get('encoder')) \
        and (are_layers(structure.get('head')) or _are_sizes(structure.get('head', [])))
    if not is_structure:
        raise SettingError(f'{name} is not a structure', 'a mapping of encoder (a list of layers, '
                           'each a mapping with a type), recurrent (a mapping) and head (a list '
                           'of hidden sizes or of layers)',
                           '--template FILE writes one to fill in')
    unfilled = list(_unfilled(structure))
    if unfilled:
        raise SettingError(f'{name} still has {FILL_IN} at {listed(unfilled)}', 'values',
                           IN_THE_CODE)
    missing = _missing_statements(structure)
    if missing:
        raise SettingError(f'{name} does not say {listed(missing)}',
                           'all of them, as they were in training', IN_THE_CODE)
    if structure[PLAIN] is not True:
        raise SettingError(f'{name} says {PLAIN}: {str(structure[PLAIN])[:40]}', PLAIN_MEANS,
                           'train a plain sequence: a bundle can hold no other network')


def are_layers(value: Any) -> bool:
    """Return whether a value is a list of layers, each a mapping with a type."""
    return isinstance(value, list) and bool(value) and all(
        isinstance(layer, dict) and isinstance(layer.get('type'), str)
        and all(isinstance(key, str) for key in layer) for layer in value)


def _are_sizes(value: Any) -> bool:
    return isinstance(value, list) and all(type(size) is int and size > 0 for size in value)


def _unfilled(value: Any, place: str = '') -> Iterator[str]:
    """Yield the places that still say FILL_IN."""
    if value == FILL_IN:
        yield place
    pairs = value.items() if isinstance(value, dict) else \
        enumerate(value) if isinstance(value, list) else ()
    for key, inner in pairs:
        yield from _unfilled(inner, f'{place}.{key}'.lstrip('.'))


def _missing_statements(structure: Structure) -> List[str]:
    missing = [] if PLAIN in structure else [f'{PLAIN} ({PLAIN_MEANS})']
    missing += [] if 'head' in structure else ['head']
    for part in ('encoder', 'head'):
        for place, layer in enumerate(structure.get(part, ())):
            if isinstance(layer, dict):
                missing += [f'{part}.{place}.{argument}'
                            for argument in missing_arguments(layer['type'], layer)]
    return missing


def missing_arguments(kind: str, layer: Mapping[str, Any]) -> List[str]:
    """Return the required arguments that a layer leaves out, with torch's defaults."""
    return [name if default is None else f'{name} (torch: {_as_yaml(default)})'
            for name, default in REQUIRED.get(kind, {}).items() if name not in layer]


def defaults_of(kind: str) -> str:
    """Return torch's defaults of a type's required arguments, for a comment."""
    defaults = [f'{name} {_as_yaml(default)}' for name, default in REQUIRED.get(kind, {}).items()
                if default is not None]
    return f'; torch: {", ".join(defaults)}' if defaults else ''


def _as_yaml(default: Any) -> str:
    return str(default).lower() if isinstance(default, bool) else str(default)
