"""Complete a structure with what a checkpoint's shapes tell, and check that all of it fits."""

from typing import Any, Dict, List, Mapping
import warnings

import torch
from torch import Tensor

from .channels import channel_problems
from .shapes import layer_of, recurrent_oddities, recurrent_of, RULES, Tensors
from .structure_file import are_layers, missing_arguments, Structure
from ..checkpoint.checkpoint import Checkpoint, drop_hint
from ..checkpoint.paths import listed
from ...backends.torch.network import ACTIONS, differences, PolicyNetwork
from ...bundle.manifest import LARGEST_SIZE, problems_of
from ...errors import BundleError, CheckpointError
from ...vision.preprocess import InputSpec

# Arguments of torch.nn that change nothing in a single step, and those that must not be set.
IRRELEVANT, FORBIDDEN = ('batch_first', 'dropout'), ('bidirectional', 'proj_size')
# What torch raises for arguments and sizes that do not fit.
TORCH_ERRORS = (ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError,
                TypeError, ValueError)


def complete(structure: Structure, checkpoint: Checkpoint, channels: int = 3) -> Dict[str, Any]:
    """
    Return the architecture of a checkpoint: `structure`, completed from the shapes.

    `channels` are those of the pictures it was trained on. What the structure states must be
    true. Raise CheckpointError with everything that is missing, unexpected or of another shape.
    """
    tensors, stated = checkpoint.tensors, structure.get('recurrent', {})
    encoder, head = structure['encoder'], structure.get('head', [])
    unknown: List[str] = []  # what the shapes should have told
    architecture: Dict[str, Any] = {
        'encoder': _filled('vision_encoder', _first_open(encoder, channels), tensors, unknown),
        'head': _filled('actions', head, tensors, unknown) if are_layers(head) else head,
        'recurrent': _recurrent(stated, tensors, unknown)}
    problems = _recurrent_problems(stated, architecture['recurrent'], tensors)
    problems += channel_problems(architecture['encoder'], tensors, channels)
    if unknown:
        unknown += _unexpected(encoder, head, tensors)
    wrong = [problem for problem in problems_of({'format': 1, 'architecture': architecture})
             if problem.startswith('architecture')]
    if wrong:
        raise misfit(checkpoint, unknown + problems if unknown else wrong)
    try:
        expected = build_on_meta(architecture).state_dict()
    except CheckpointError as error:
        raise misfit(checkpoint, (unknown or [error.found]) + problems) from None
    problems += differences(expected, dict(tensors))
    if problems:
        raise misfit(checkpoint, problems)
    return architecture


def fits(structure: Structure, checkpoint: Checkpoint) -> bool:
    """Return whether every name and shape is that of the structure."""
    try:
        return bool(complete(structure, checkpoint))
    except CheckpointError:
        return False


def check_shapes(checkpoint: Checkpoint, architecture: Mapping[str, Any], spec: InputSpec,
                 channels: int = 3) -> None:
    """Run a picture's shape through the layers; raise CheckpointError where it does not fit."""
    network = build_on_meta(architecture)
    pixels = torch.empty(1, channels, spec.height, spec.width, device='meta')
    features = _run_shapes(checkpoint, 'vision_encoder', network.vision_encoder, pixels)
    wanted = (1, network.rnn.input_size)
    if tuple(features.shape) != wanted:
        raise misfit(checkpoint, [
            f'vision_encoder makes {list(features.shape)} of a picture of '
            f'{spec.width}x{spec.height}, and rnn takes {list(wanted)}'])
    hidden = torch.empty(1, network.rnn.hidden_size, device='meta')
    actions = _run_shapes(checkpoint, 'actions', network.actions, hidden)
    if tuple(actions.shape) != (1, ACTIONS):
        raise misfit(checkpoint, [f'actions gives {list(actions.shape)} instead of '
                                  f'[1, {ACTIONS}], linear_x and linear_y'])


def build_on_meta(architecture: Mapping[str, Any]) -> PolicyNetwork:
    """Build the network from shapes alone, without memory for it, or raise CheckpointError."""
    try:
        with torch.device('meta'), warnings.catch_warnings():
            warnings.simplefilter('ignore')  # of odd sizes, which are reported if they do not fit
            return PolicyNetwork(dict(architecture), [0.0] * 3, [1.0] * 3).eval()
    except (BundleError, *TORCH_ERRORS) as error:
        raise CheckpointError(_reason(error)) from None


def misfit(checkpoint: Checkpoint, problems: List[str]) -> CheckpointError:
    """Return one error with everything that does not fit."""
    return CheckpointError(
        f'{checkpoint.path.name} does not fit the structure: {listed(problems)}',
        'every weight of the structure, in its shape, and none besides',
        'give the --structure and --size it was trained with; --template FILE writes what the '
        'shapes tell' + drop_hint(checkpoint, problems))


def _run_shapes(checkpoint: Checkpoint, part: str, layers: Any, values: Tensor) -> Tensor:
    for place, layer in enumerate(layers):
        try:
            after: Tensor = layer(values)
        except TORCH_ERRORS as error:
            raise misfit(checkpoint, [f'{part}.{place} ({type(layer).__name__}) does not take '
                                      f'{list(values.shape)}: {_reason(error)}']) from None
        values = after
    return values


def _reason(error: Exception) -> str:
    return ' '.join(str(error).split())[:300] or type(error).__name__


def _filled(part: str, layers: List[Dict[str, Any]], tensors: Tensors,
            unknown: List[str]) -> List[Dict[str, Any]]:
    """Return the layers with what their shapes tell; add the missing weights to `unknown`."""
    filled = []
    for place, layer in enumerate(layers):
        groups = layer.get('groups', 1)
        if type(groups) is not int or not 0 < groups <= LARGEST_SIZE:
            groups = 1  # torch refuses such a number
        try:
            derived = layer_of(layer['type'], f'{part}.{place}', tensors, groups)
        except CheckpointError as error:
            derived = {}
            unknown.append(error.found)
        filled.append({'type': layer['type'], **derived, **layer})
    return filled


def _first_open(layers: List[Dict[str, Any]], channels: int) -> List[Dict[str, Any]]:
    """Drop the first layer's 3 input channels if the training pictures had another number."""
    first = {key: value for key, value in layers[0].items()
             if channels == 3 or (key, value) != ('in_channels', 3)}
    return [first, *layers[1:]]


def _recurrent(stated: Structure, tensors: Tensors, unknown: List[str]) -> Dict[str, Any]:
    try:
        derived = recurrent_of(tensors)
    except CheckpointError as error:
        derived = {}
        unknown.append(error.found)
    return {**derived, **{key: value for key, value in stated.items()
                          if key not in IRRELEVANT + FORBIDDEN}}


def _recurrent_problems(stated: Structure, recurrent: Dict[str, Any],
                        tensors: Tensors) -> List[str]:
    """Return what is wrong with the recurrent layer as a whole, apart from single weights."""
    problems = [f'{key} is set in the structure; a policy of single time steps cannot have it'
                for key in FORBIDDEN if stated.get(key)] + recurrent_oddities(tensors)
    try:
        derived = recurrent_of(tensors)['type']
    except CheckpointError:
        return problems
    kind = recurrent.get('type')
    if kind != derived:
        return [*problems, f'rnn is of type {derived} by its shapes instead of {kind}']
    return problems + [f'recurrent does not say {argument}'
                       for argument in missing_arguments(kind, recurrent)]


def _unexpected(encoder: Any, head: Any, tensors: Tensors) -> List[str]:
    """Return the tensors that no layer of the structure has, judged by their names alone."""
    known = {f'{part}.{place}' for part, layers in (('vision_encoder', encoder), ('actions', head))
             for place, layer in enumerate(layers)
             if isinstance(layer, dict) and layer['type'] in RULES}
    unchecked = ('rnn',) if are_layers(head) else ('rnn', 'actions')
    return [f'{name} is unexpected' for name in tensors
            if name.split('.')[0] not in unchecked and name.rpartition('.')[0] not in known]
