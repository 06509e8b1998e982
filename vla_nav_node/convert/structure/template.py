"""Write what a checkpoint's shapes tell as a YAML structure for the user to fill in."""

from typing import Any, Dict, List, Set, Tuple

import yaml

from .channels import channel_problem, groups_of
from .recipe import CHANNEL_COUNTS
from .shapes import layer_of, left_out, recurrent_of, RULES, shapes_under, Tensors
from .structure_file import defaults_of, FILL_IN, PLAIN, PLAIN_MEANS, REQUIRED
from ..checkpoint.checkpoint import Checkpoint
from ...backends.torch.network import LAYERS
from ...errors import CheckpointError

SHOWN_BY_SHAPES = ('Conv2d', 'Linear', 'BatchNorm2d', 'BatchNorm1d')
HEADER = """\
# The structure of {name}, as far as its weights show it.
# Replace every {fill}, in the names and arguments of torch.nn. The code of the network that was
# trained has them; where it leaves one out, torch's default holds, which is named behind the line.
# A layer without weights is only a gap in the numbers, and behind the last one with weights not
# even that: add it at the end of its list. Functions in forward() (F.relu) are layers here too.
# Beside the layers below there are:
{layers}
"""


def template_of(checkpoint: Checkpoint, channels: str) -> str:
    """Return the text of a structure file, for `structure_file.read_structure` once filled in."""
    tensors = checkpoint.tensors
    others = [f'#   {kind}' + (f' ({", ".join(REQUIRED[kind])}{defaults_of(kind)})'
                               if kind in REQUIRED else '')
              for kind in LAYERS if kind not in SHOWN_BY_SHAPES]
    return HEADER.format(name=checkpoint.path.name, fill=FILL_IN, layers='\n'.join(others)) \
        + '\n'.join([
            f'# {PLAIN_MEANS} (no skip connection, no permutation, no activation besides)',
            f'{PLAIN}: {FILL_IN}',
            'encoder:', *_layers('vision_encoder', tensors, CHANNEL_COUNTS[channels]),
            'recurrent: ' + _recurrent(tensors),
            'head:', *_layers('actions', tensors, 0), ''])


def _layers(part: str, tensors: Tensors, channels: int) -> List[str]:
    """Return a line for each layer; without channels, the inputs are flat."""
    lines, flat = [], not channels
    for place in range(max(_places(part, tensors)) + 1):
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
            f'{part} is not a plain sequence of layers: it has {strange[0]}',
            f'{part}.NUMBER.weight and the like',
            f'where it is one, give its parts numbers, in the order they are run and with room '
            f'for those without weights: --map {strange[0].rpartition(".")[0]}={part}.NUMBER')
    return {int(parts[0]) for parts in names}


def _layer(prefix: str, tensors: Tensors, channels: int, flat: bool) -> Tuple[Dict[str, Any], str]:
    """Return a layer as far as its shapes show it, and a note for the end of its line."""
    shapes = shapes_under(prefix, tensors)
    if not shapes:
        return {'type': FILL_IN}, ', no weights'
    kind = _kind(shapes, flat)
    if kind == FILL_IN:
        return {'type': FILL_IN}, ', ' + ', '.join(
            f'{name} {list(shape)}' for name, shape in shapes.items())
    try:
        known = layer_of(kind, prefix, tensors)
    except CheckpointError as error:
        return {'type': FILL_IN}, f', {error.found}'
    note = defaults_of(kind)
    if kind in RULES:
        known.update(left_out(kind, prefix, tensors))
    if kind == 'Conv2d' and (problem := channel_problem(prefix, tensors, channels)):
        note += f'; {problem}'
        if groups_of(shapes['weight'], channels):
            del known['in_channels']
            known['groups'] = FILL_IN
    return {'type': kind, **known, **dict.fromkeys(REQUIRED.get(kind, ()), FILL_IN)}, note


def _kind(shapes: Dict[str, Any], flat: bool) -> str:
    if 'running_mean' in shapes:
        return 'BatchNorm1d' if flat else 'BatchNorm2d'
    return {4: 'Conv2d', 2: 'Linear'}.get(len(shapes.get('weight', ())), FILL_IN)


def _recurrent(tensors: Tensors) -> str:
    known = {**recurrent_of(tensors), **left_out('', 'rnn', tensors)}
    kind = known['type']
    known.update(dict.fromkeys(REQUIRED.get(kind, ()), FILL_IN))
    return _flow(known) + ('  # tanh or relu' + defaults_of(kind) if kind == 'RNN' else '')


def _flow(mapping: Dict[str, Any]) -> str:
    return yaml.safe_dump(mapping, default_flow_style=True, sort_keys=False, width=10 ** 6).strip()
