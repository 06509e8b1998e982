"""Hold an architecture against a checkpoint and a picture's size, without any memory for it."""

from typing import Any, List, Mapping
import warnings

import torch
from torch import Tensor

from ..checkpoint.checkpoint import Checkpoint, drop_hint, listed
from ...backends.torch.network import ACTIONS, PolicyNetwork
from ...errors import BundleError, CheckpointError
from ...vision.preprocess import InputSpec

NOT_FOR_TORCH = (ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError,
                 TypeError, ValueError)


def on_meta(architecture: Mapping[str, Any]) -> PolicyNetwork:
    """Build the network from shapes alone, or raise CheckpointError."""
    try:
        with torch.device('meta'), warnings.catch_warnings():
            warnings.simplefilter('ignore')  # of odd sizes, which are told when they do not fit
            return PolicyNetwork(dict(architecture), [0.0] * 3, [1.0] * 3).eval()
    except (BundleError, *NOT_FOR_TORCH) as error:
        raise CheckpointError(_short(error)) from None


def check_walk(checkpoint: Checkpoint, architecture: Mapping[str, Any], spec: InputSpec,
               channels: int = 3) -> None:
    """Send a picture's shape through the layers; raise CheckpointError where one does not fit."""
    network = on_meta(architecture)
    pixels = torch.empty(1, channels, spec.height, spec.width, device='meta')
    features = _walk(checkpoint, 'vision_encoder', network.vision_encoder, pixels)
    wanted = (1, network.rnn.input_size)
    if tuple(features.shape) != wanted:
        raise misfit(checkpoint, [
            f'vision_encoder makes {list(features.shape)} of a picture of '
            f'{spec.width}x{spec.height}, and rnn takes {list(wanted)}'])
    hidden = torch.empty(1, network.rnn.hidden_size, device='meta')
    actions = _walk(checkpoint, 'actions', network.actions, hidden)
    if tuple(actions.shape) != (1, ACTIONS):
        raise misfit(checkpoint, [f'actions gives {list(actions.shape)} instead of '
                                  f'[1, {ACTIONS}], linear_x and linear_y'])


def _walk(checkpoint: Checkpoint, part: str, layers: Any, values: Tensor) -> Tensor:
    for place, layer in enumerate(layers):
        try:
            after: Tensor = layer(values)
        except NOT_FOR_TORCH as error:
            raise misfit(checkpoint, [f'{part}.{place} ({type(layer).__name__}) does not take '
                                      f'{list(values.shape)}: {_short(error)}']) from None
        values = after
    return values


def misfit(checkpoint: Checkpoint, problems: List[str]) -> CheckpointError:
    """Put everything that does not fit into one error."""
    return CheckpointError(
        f'{checkpoint.path.name} does not fit the structure: {listed(problems)}',
        'every weight of the structure, in its shape, and none besides',
        'give the --structure and --size it was trained with; --template FILE writes what the '
        'shapes tell' + drop_hint(checkpoint, problems))


def _short(error: Exception) -> str:
    return ' '.join(str(error).split())[:300] or type(error).__name__
