"""Write down what a checkpoint's shapes tell as YAML, with the places that a user must fill in."""

from typing import Any, Dict, List, Set, Tuple

import yaml

from .asked import ASKED, defaults_of, PLAIN, PLAIN_MEANS
from .channels import doubt, groups_of
from .recipe import PICTURE
from .shapes import layer_of, left_out, recurrent_of, shapes_under, TELLERS, Tensors
from .structure_file import FILL_IN
from ..checkpoint.checkpoint import Checkpoint
from ...backends.torch.network import LAYERS
from ...errors import CheckpointError

TOLD_APART = ('Conv2d', 'Linear', 'BatchNorm2d', 'BatchNorm1d')
HEADER = """\
# The structure of {name},
# as far as its weights tell it. Put values in the places that say {fill}, in torch.nn's names
# and arguments; the code of the network that was trained has them, and where it says nothing
# torch's defaults, named behind each line, hold. A layer without weights leaves only a gap in the
# numbering, and one that comes after the last with weights not even that: add it at the end of
# its list. Functions in forward() (F.relu) are layers here, too. Besides those told there are:
{layers}
"""


def template_of(checkpoint: Checkpoint, channels: str) -> str:
    """Return the text of a structure file; `structure_file.read_structure` reads it, filled in."""
    tensors = checkpoint.tensors
    lines = HEADER.format(name=checkpoint.path.name, fill=FILL_IN,
                          layers='\n'.join(_others())).splitlines()
    lines += [f'# {PLAIN_MEANS} (no skip connection, no permutation, no activation besides)',
              f'{PLAIN}: {FILL_IN}']
    lines += ['encoder:', *_layers('vision_encoder', tensors, PICTURE[channels])]
    lines += ['recurrent: ' + _recurrent(tensors)]
    lines += ['head:', *_layers('actions', tensors, 0)]
    return '\n'.join(lines) + '\n'


def _others() -> List[str]:
    """List the layers that shapes do not tell apart, with what each has to say."""
    return [f'#   {kind}' + (f' ({", ".join(ASKED[kind])}{defaults_of(kind)})'
                             if kind in ASKED else '')
            for kind in LAYERS if kind not in TOLD_APART]


def _layers(part: str, tensors: Tensors, channels: int) -> List[str]:
    places = _places(part, tensors)
    lines, flat = [], not channels
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
        told = layer_of(kind, prefix, tensors)
    except CheckpointError as error:
        return {'type': FILL_IN}, f', {error.found}'
    note = defaults_of(kind)
    if kind in TELLERS:
        told.update(left_out(kind, prefix, tensors))
    if kind == 'Conv2d':
        told, note = _with_groups(told, prefix, tensors, channels, note)
    if kind == FILL_IN:
        note = ', ' + ', '.join(f'{name} {list(shape)}' for name, shape in shapes.items())
    return {'type': kind, **told, **dict.fromkeys(ASKED.get(kind, ()), FILL_IN)}, note


def _with_groups(told: Dict[str, Any], prefix: str, tensors: Tensors, channels: int,
                 note: str) -> Tuple[Dict[str, Any], str]:
    """Ask for the groups of a convolution that may have some, and say why."""
    question = doubt(prefix, tensors, channels)
    if question and groups_of(shapes_under(prefix, tensors)['weight'], channels):
        told = {name: value for name, value in told.items() if name != 'in_channels'}
        told['groups'] = FILL_IN
    return told, note + (f'; {question}' if question else '')


def _kind(shapes: Dict[str, Any], flat: bool) -> str:
    if 'running_mean' in shapes:
        return 'BatchNorm1d' if flat else 'BatchNorm2d'
    return {4: 'Conv2d', 2: 'Linear'}.get(len(shapes.get('weight', ())), FILL_IN)


def _recurrent(tensors: Tensors) -> str:
    told = {**recurrent_of(tensors), **left_out('', 'rnn', tensors)}
    kind = told['type']
    told.update(dict.fromkeys(ASKED.get(kind, ()), FILL_IN))
    return _flow(told) + ('  # tanh or relu' + defaults_of(kind) if kind == 'RNN' else '')


def _flow(mapping: Dict[str, Any]) -> str:
    return yaml.safe_dump(mapping, default_flow_style=True, sort_keys=False, width=10 ** 6).strip()
