"""Structure + checkpoint -> architecture: what shapes tell is worked out, the rest is asked."""

from pathlib import Path
from typing import Any, Dict, Iterator, List, Mapping

import yaml

from .checkpoint import Checkpoint, listed
from .fit import misfit, on_meta
from .presets import PRESETS
from .shapes import layer_of, recurrent_oddities, recurrent_of, TELLERS, Tensors
from ..bundle import load_bundle, ManifestLoader, MOST_BYTES, NOT_YAML
from ..errors import CheckpointError, SettingError
from ..manifest import problems_of
from ..network import differences

FILL_IN = 'FILL_IN'
# torch.nn's arguments that change nothing in a single step, and those that must not be set.
IRRELEVANT, FORBIDDEN = ('batch_first', 'dropout'), ('bidirectional', 'proj_size')
Structure = Mapping[str, Any]


def read_structure(source: str) -> Structure:
    """Read `encoder`, `recurrent`, `head` from a preset's name, a bundle or a YAML file."""
    if source in PRESETS:
        return PRESETS[source]
    path = Path(source).expanduser()
    if path.is_dir():
        return load_bundle(path).architecture
    if not path.is_file():
        raise SettingError(f'--structure {source} is neither a preset, a bundle nor a file',
                           ', '.join(PRESETS) + ', a bundle or a YAML file',
                           '--template FILE writes one to fill in')
    return _checked(path.name, _parsed(path))


def _parsed(path: Path) -> Any:
    try:
        with open(path, 'rb') as file:
            text = file.read(MOST_BYTES + 1)
        if len(text) > MOST_BYTES:
            raise ValueError(f'it has more than {MOST_BYTES} bytes')
        return yaml.load(text, ManifestLoader)
    except (*NOT_YAML, OSError) as error:
        reason = ' '.join(str(error).split())[:200]
        raise SettingError(f'{path.name} is no YAML file: {reason}', 'a structure',
                           '--template FILE writes one to fill in') from None


def _checked(name: str, found: Any) -> Structure:
    structure: Any = found.get('architecture', found) if isinstance(found, dict) else None
    sound = isinstance(structure, dict) and set(structure) <= {'encoder', 'recurrent', 'head'} \
        and isinstance(structure.get('recurrent', {}), dict) \
        and _are_layers(structure.get('encoder')) \
        and (_are_layers(structure.get('head')) or _are_sizes(structure.get('head', [])))
    if not sound:
        raise SettingError(f'{name} is no structure', 'a mapping of encoder (a list of layers, '
                           'each a mapping with a type), recurrent (a mapping) and head (a list '
                           'of hidden sizes or of layers)',
                           '--template FILE writes one to fill in')
    left = list(_left_open(structure))
    if left:
        raise SettingError(f'{name} still has {FILL_IN} at {listed(left)}', 'values',
                           'take them from the code of the network that was trained')
    return dict(structure)


def _are_layers(value: Any) -> bool:
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


def complete(structure: Structure, checkpoint: Checkpoint) -> Dict[str, Any]:
    """
    Give the architecture of a checkpoint: `structure`, and what it leaves out from the shapes.

    What the structure says itself must be so. Raise CheckpointError with everything that is
    missing, unexpected or of another shape, in one message.
    """
    tensors, untold = checkpoint.tensors, []  # type: Tensors, List[str]
    head = structure.get('head', [])
    architecture = {
        'encoder': _filled('vision_encoder', structure['encoder'], 3, tensors, untold),
        'head': _filled('actions', head, 0, tensors, untold) if _are_layers(head) else head,
        'recurrent': _recurrent(structure.get('recurrent', {}), tensors, untold)}
    problems = _contradictions(structure.get('recurrent', {}), architecture, tensors)
    wrong = [problem for problem in problems_of({'format': 1, 'architecture': architecture})
             if problem.startswith('architecture')]
    if untold and wrong:
        raise misfit(checkpoint, untold + _strangers(structure, tensors) + problems)
    if wrong:
        raise misfit(checkpoint, wrong)
    try:
        expected = on_meta(architecture).state_dict()
    except CheckpointError as error:
        raise misfit(checkpoint, (untold + _strangers(structure, tensors) if untold
                                  else [error.found]) + problems) from None
    problems += differences(expected, dict(tensors))
    if problems:
        raise misfit(checkpoint, problems)
    return architecture


def fits(structure: Structure, checkpoint: Checkpoint) -> bool:
    """Tell whether every name and shape is that of the structure."""
    try:
        return bool(complete(structure, checkpoint))
    except CheckpointError:
        return False


def _filled(part: str, layers: List[Dict[str, Any]], channels: int, tensors: Tensors,
            untold: List[str]) -> List[Dict[str, Any]]:
    filled = []
    for place, layer in enumerate(layers):
        try:
            told = layer_of(layer['type'], f'{part}.{place}', tensors, channels)
        except CheckpointError as error:
            told = {}
            untold.append(error.found)
        filled.append({'type': layer['type'], **told, **layer})
        channels = filled[-1].get('out_channels', channels)
    return filled


def _recurrent(asked: Structure, tensors: Tensors, untold: List[str]) -> Dict[str, Any]:
    try:
        told = recurrent_of(tensors)
    except CheckpointError as error:
        told = {}
        untold.append(error.found)
    return {**told, **{key: value for key, value in asked.items()
                       if key not in IRRELEVANT + FORBIDDEN}}


def _contradictions(asked: Structure, architecture: Dict[str, Any],
                    tensors: Tensors) -> List[str]:
    """Name what is wrong with the recurrent layer as a whole; its keys are told beside it."""
    problems = [f'{key} is set in the structure, which a step in time cannot have'
                for key in FORBIDDEN if asked.get(key)] + recurrent_oddities(tensors)
    try:
        found = recurrent_of(tensors)['type']
    except CheckpointError:
        return problems
    wanted = architecture['recurrent'].get('type')
    return problems + ([] if wanted == found else
                       [f'rnn is of type {found} by its shapes instead of {wanted}'])


def _strangers(structure: Structure, tensors: Tensors) -> List[str]:
    """Give the tensors that no layer of the structure has room for, by their names alone."""
    parts = {'vision_encoder': structure['encoder'], 'actions': structure.get('head', [])}
    known = {f'{part}.{place}' for part, layers in parts.items()
             for place, layer in enumerate(layers)
             if isinstance(layer, dict) and layer['type'] in TELLERS}
    sizes = () if _are_layers(parts['actions']) else ('actions',)
    return [f'{name} is unexpected' for name in tensors
            if name.split('.')[0] not in ('rnn', *sizes)
            and name.rpartition('.')[0] not in known]
