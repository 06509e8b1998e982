"""Derive layers from the shapes of a checkpoint's weights."""

import re
from typing import Any, Callable, Dict, List, Mapping, Tuple

from torch import Tensor

from ...errors import CheckpointError

Tensors = Mapping[str, Tensor]
Shape = Tuple[int, ...]
GATES = {4: 'LSTM', 3: 'GRU', 1: 'RNN'}  # rows of weight_hh over its columns
RECURRENT_NAME = re.compile(r'rnn\.(weight|bias)_(ih|hh)_l(\d+)')
# type -> (the tensor that shows the sizes, its dimensions or 0 for any, arguments by its shape
# and the groups)
RULES: Dict[str, Tuple[str, int, Callable[[Shape, int], Dict[str, Any]]]] = {
    'Conv2d': ('weight', 4, lambda weight, groups: {
        'in_channels': weight[1] * groups, 'out_channels': weight[0],
        'kernel_size': weight[2] if weight[2] == weight[3] else list(weight[2:])}),
    'Linear': ('weight', 2, lambda weight, _: {
        'in_features': weight[1], 'out_features': weight[0]}),
    'BatchNorm2d': ('running_mean', 1, lambda mean, _: {'num_features': mean[0]}),
    'BatchNorm1d': ('running_mean', 1, lambda mean, _: {'num_features': mean[0]}),
    'LayerNorm': ('weight', 0, lambda weight, _: {'normalized_shape': list(weight)})}


def shapes_under(prefix: str, tensors: Tensors) -> Dict[str, Shape]:
    """Return the shapes of the tensors under a prefix, by the rest of their names."""
    return {name[len(prefix) + 1:]: tuple(tensor.shape) for name, tensor in tensors.items()
            if name.startswith(f'{prefix}.')}


def layer_of(kind: str, prefix: str, tensors: Tensors, groups: int = 1) -> Dict[str, Any]:
    """
    Return the arguments of torch.nn's `kind` that its weights show; none for a layer without.

    Raise CheckpointError if the weights are missing or of another kind.
    """
    if kind not in RULES:
        return {}
    key, dimensions, arguments_of = RULES[kind]
    shapes = shapes_under(prefix, tensors)
    if key not in shapes:
        raise CheckpointError(f'{prefix}.{key} is missing')
    if dimensions and len(shapes[key]) != dimensions:
        raise CheckpointError(f'{prefix}.{key} is {list(shapes[key])}, not that of a {kind}')
    return arguments_of(shapes[key], groups)


def left_out(kind: str, prefix: str, tensors: Tensors) -> Dict[str, bool]:
    """
    Return the arguments of a layer without what most have: no bias, no affine weights.

    Only for the template: a lost bias looks the same, so a structure has to state it.
    """
    shapes = shapes_under(prefix, tensors)
    if kind.startswith('BatchNorm'):
        return {} if 'weight' in shapes else {'affine': False}
    bias = 'bias_ih_l0' if prefix == 'rnn' else 'bias'
    return {} if bias in shapes else {'bias': False}


def recurrent_of(tensors: Tensors) -> Dict[str, Any]:
    """Return type, sizes and number of layers of `rnn.*`, or raise CheckpointError."""
    shapes = shapes_under('rnn', tensors)
    first = [f'weight_{side}_l0' for side in ('ih', 'hh')]
    problems = [f'rnn.{name} is missing' for name in first if name not in shapes]
    problems += [f'rnn.{name} is {list(shapes[name])}, not a matrix' for name in first
                 if name in shapes and (len(shapes[name]) != 2 or 0 in shapes[name])]
    if problems:
        raise CheckpointError(', '.join(problems))
    rows, hidden = shapes[first[1]]
    if rows % hidden or rows // hidden not in GATES:
        raise CheckpointError(
            f'rnn.{first[1]} is [{rows}, {hidden}], of neither an LSTM (4 times as many rows as '
            'columns) nor a GRU (3 times) nor an RNN (as many)')
    matches = (RECURRENT_NAME.fullmatch(f'rnn.{name}') for name in shapes)
    return {'type': GATES[rows // hidden], 'input_size': shapes[first[0]][1],
            'hidden_size': hidden, 'num_layers': len({match[3] for match in matches if match})}


def recurrent_oddities(tensors: Tensors) -> List[str]:
    """Return what a recurrent layer has that a single time step cannot."""
    names = [name for name in tensors if name.startswith('rnn.')]
    oddities = {'_reverse': 'rnn is bidirectional: it needs the pictures that are still to come',
                'weight_hr': 'rnn is an LSTM with projections (proj_size), which bundles lack'}
    return [problem for sign, problem in oddities.items() if any(sign in name for name in names)]
