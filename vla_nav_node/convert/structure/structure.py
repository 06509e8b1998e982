"""Structure + checkpoint -> architecture: what shapes tell is worked out, the rest is asked."""

from typing import Any, Dict, List

from .asked import missing
from .channels import doubts
from .shape_check import misfit, on_meta
from .shapes import layer_of, recurrent_oddities, recurrent_of, TELLERS, Tensors
from .structure_file import are_layers, Structure
from ..checkpoint.checkpoint import Checkpoint
from ...backends.torch.network import differences
from ...bundle.manifest import LARGEST_SIZE, problems_of
from ...errors import CheckpointError

# torch.nn's arguments that change nothing in a single step, and those that must not be set.
IRRELEVANT, FORBIDDEN = ('batch_first', 'dropout'), ('bidirectional', 'proj_size')


def complete(structure: Structure, checkpoint: Checkpoint, channels: int = 3) -> Dict[str, Any]:
    """
    Give the architecture of a checkpoint: `structure`, and what it leaves out from the shapes.

    `channels` are those of the picture that it was trained on.

    What the structure says itself must be so. Raise CheckpointError with everything that is
    missing, unexpected or of another shape, in one message.
    """
    tensors, untold = checkpoint.tensors, []  # type: Tensors, List[str]
    head = structure.get('head', [])
    architecture: Dict[str, Any] = {
        'encoder': _filled('vision_encoder', _first_open(structure['encoder'], channels), tensors,
                           untold),
        'head': _filled('actions', head, tensors, untold) if are_layers(head) else head,
        'recurrent': _recurrent(structure.get('recurrent', {}), tensors, untold)}
    problems = _contradictions(structure.get('recurrent', {}), architecture, tensors)
    problems += doubts(architecture['encoder'], tensors, channels)
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


def _filled(part: str, layers: List[Dict[str, Any]], tensors: Tensors,
            untold: List[str]) -> List[Dict[str, Any]]:
    filled = []
    for place, layer in enumerate(layers):
        try:
            told = layer_of(layer['type'], f'{part}.{place}', tensors, _groups(layer))
        except CheckpointError as error:
            told = {}
            untold.append(error.found)
        filled.append({'type': layer['type'], **told, **layer})
    return filled


def _first_open(layers: List[Dict[str, Any]], channels: int) -> List[Dict[str, Any]]:
    """Leave the first convolution's channels open where others than a bundle's 3 are said."""
    first = {key: value for key, value in layers[0].items()
             if channels == 3 or (key, value) != ('in_channels', 3)}
    return [first, *layers[1:]]


def _groups(layer: Dict[str, Any]) -> int:
    """Return the groups that a layer says; what is none torch refuses."""
    said = layer.get('groups', 1)
    return said if type(said) is int and 0 < said <= LARGEST_SIZE else 1


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
    if wanted != found:
        return [*problems, f'rnn is of type {found} by its shapes instead of {wanted}']
    return problems + [f'recurrent does not say {told}'
                       for told in missing(found, architecture['recurrent'])]


def _strangers(structure: Structure, tensors: Tensors) -> List[str]:
    """Return the tensors that no layer of the structure has room for, by their names alone."""
    parts = {'vision_encoder': structure['encoder'], 'actions': structure.get('head', [])}
    known = {f'{part}.{place}' for part, layers in parts.items()
             for place, layer in enumerate(layers)
             if isinstance(layer, dict) and layer['type'] in TELLERS}
    sizes = () if are_layers(parts['actions']) else ('actions',)
    return [f'{name} is unexpected' for name in tensors
            if name.split('.')[0] not in ('rnn', *sizes)
            and name.rpartition('.')[0] not in known]
