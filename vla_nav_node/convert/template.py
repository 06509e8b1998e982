"""Write down what a checkpoint's shapes tell as YAML, with the places that a user must fill in."""

from typing import Any, Dict, List, Set, Tuple

import yaml

from .checkpoint import Checkpoint
from .shapes import layer_of, left_out, recurrent_of, shapes_under, TELLERS, Tensors
from .structure import FILL_IN
from ..errors import CheckpointError

HEADER = """\
# The structure of {name},
# as far as its weights tell it. Put values in the places that say {fill}, in torch.nn's names
# and arguments; the code of the network that was trained has them. A layer without weights
# leaves only a gap in the numbering: it is one of ReLU, Tanh, ..., Dropout, Flatten, MaxPool2d
# (kernel_size, stride, padding), AdaptiveAvgPool2d (output_size). One that comes after the last
# with weights leaves nothing: add it at the end of its list.
"""
# What the shape of a convolution's weights does not tell.
ASKED = {'Conv2d': ('stride', 'padding')}


def template_of(checkpoint: Checkpoint) -> str:
    """Give the text of a structure file; `structure.read_structure` reads it once filled in."""
    tensors = checkpoint.tensors
    lines = HEADER.format(name=checkpoint.path.name, fill=FILL_IN).splitlines()
    lines += ['encoder:', *_layers('vision_encoder', tensors)]
    lines += ['recurrent: ' + _recurrent(tensors)]
    lines += ['head:', *_layers('actions', tensors)]
    return '\n'.join(lines) + '\n'


def _layers(part: str, tensors: Tensors) -> List[str]:
    places = _places(part, tensors)
    lines, channels = [], 3 if part == 'vision_encoder' else 0
    flat = part != 'vision_encoder'
    for place in range(max(places) + 1):
        layer, note = _layer(f'{part}.{place}', tensors, channels, flat)
        channels = layer.get('out_channels', channels)
        flat = flat or layer['type'] == 'Linear'
        lines.append(f'- {_flow(layer)}  # {part}.{place}{note}')
    return lines


def _places(part: str, tensors: Tensors) -> Set[int]:
    names = [name.split('.') for name in shapes_under(part, tensors)]
    strange = [f'{part}.{".".join(parts)}' for parts in names
               if len(parts) != 2 or not parts[0].isdecimal() or len(parts[0]) > 4]
    if strange:
        raise CheckpointError(
            f'{part} is no plain sequence of layers: it has {strange[0]}',
            f'{part}.NUMBER.weight and the like',
            f'where it is one, give its parts numbers, in the order they are run and with room '
            f'for those without weights: --map {strange[0].rpartition(".")[0]}={part}.NUMBER')
    return {int(parts[0]) for parts in names}


def _layer(prefix: str, tensors: Tensors, channels: int, flat: bool) -> Tuple[Dict[str, Any], str]:
    shapes = shapes_under(prefix, tensors)
    if not shapes:
        return {'type': FILL_IN}, ', no weights'
    kind = _kind(shapes, flat)
    try:
        told = layer_of(kind, prefix, tensors, channels)
    except CheckpointError as error:
        return {'type': FILL_IN}, f', {error.found}'
    if kind in TELLERS:
        told.update(left_out(kind, prefix, tensors))
    known = ', '.join(f'{name} {list(shape)}' for name, shape in shapes.items())
    return ({'type': kind, **told, **dict.fromkeys(ASKED.get(kind, ()), FILL_IN)},
            f', {known}' if kind == FILL_IN else '')


def _kind(shapes: Dict[str, Any], flat: bool) -> str:
    if 'running_mean' in shapes:
        return 'BatchNorm1d' if flat else 'BatchNorm2d'
    return {4: 'Conv2d', 2: 'Linear'}.get(len(shapes.get('weight', ())), FILL_IN)


def _recurrent(tensors: Tensors) -> str:
    told = {**recurrent_of(tensors), **left_out('', 'rnn', tensors)}
    if told['type'] == 'RNN':  # tanh or relu: the weights are the same
        told['nonlinearity'] = FILL_IN
    return _flow(told) + ('  # tanh or relu' if told['type'] == 'RNN' else '')


def _flow(mapping: Dict[str, Any]) -> str:
    return yaml.safe_dump(mapping, default_flow_style=True, sort_keys=False, width=10 ** 6).strip()
