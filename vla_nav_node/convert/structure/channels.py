"""Match a convolution's channels with those before it, and make a first one read RGB."""

from typing import Any, Dict, Iterator, List, Sequence

import torch
from torch import Tensor

from .shapes import Shape, shapes_under, Tensors

FIRST = 'vision_encoder.0'
# Shares of red, green and blue in gray. The first are ITU-R BT.601, as in OpenCV, PIL and
# torchvision. OpenCV and PIL round gray to whole levels, which is left out here.
GRAYS = {'gray': (0.299, 0.587, 0.114), 'gray-mean': (1 / 3, 1 / 3, 1 / 3)}
NOTES = {'bgr': 'the first convolution and the normalisation were changed from BGR to RGB',
         'gray': 'the first convolution makes gray itself: 0.299 R + 0.587 G + 0.114 B',
         'gray-mean': 'the first convolution makes gray itself: (R + G + B) / 3'}


def channel_problems(layers: Sequence[Any], tensors: Tensors, channels: int) -> Iterator[str]:
    """Yield the convolutions that do not take what precedes them; the first gets `channels`."""
    for place, layer in enumerate(layers):
        if layer['type'] == 'Conv2d' and layer.get('in_channels') != channels:
            problem = channel_problem(f'vision_encoder.{place}', tensors, channels)
            yield from [problem] if problem else []
        channels = layer.get('out_channels', channels)
        if type(channels) is not int:  # reported as part of the architecture
            return


def channel_problem(prefix: str, tensors: Tensors, channels: int) -> str:
    """Return the readings of weights that do not take all `channels`; '' if they take them."""
    weight = shapes_under(prefix, tensors).get('weight', ())
    if len(weight) != 4 or 0 in weight or weight[1] == channels:
        return ''
    readings = _of_picture(weight, channels) if prefix == FIRST else _of_maps(weight, channels)
    return f'{prefix}.weight is {list(weight)}: ' + ', or '.join(readings)


def groups_of(weight: Shape, channels: int) -> int:
    """Return the number of groups in which these weights take `channels`; 0 if they cannot."""
    groups, rest = divmod(channels, weight[1])
    return groups if groups and not rest and weight[0] % groups == 0 else 0


def _of_picture(weight: Shape, channels: int) -> List[str]:
    taken = weight[1]
    if taken == 3:
        return ['it takes an RGB picture (--channels rgb, or bgr)']
    if taken == 1:
        groups = groups_of(weight, channels)
        return ['it takes a gray picture (--channels gray, or gray-mean; groups: 1)',
                *([f'an RGB one in {groups} groups (say groups: {groups})'] if groups else [])]
    stack = [f'it takes a stack of {taken} gray pictures']
    if taken % 3 == 0:
        stack = [f'it takes a stack of {taken // 3} RGB pictures', f'of {taken} gray ones']
    return stack + {2: ['gray and depth'], 4: ['RGB and depth'], 12: ['blocks of 2x2 pixels'],
                    48: ['blocks of 4x4 pixels']}.get(taken, []) + [
        'something else: a bundle takes one RGB picture']


def _of_maps(weight: Shape, channels: int) -> List[str]:
    groups = groups_of(weight, channels)
    first = f'it takes the {channels} channels before it in {groups} groups (say groups: ' \
            f'{groups})' if groups else f'it does not take the {channels} channels before it'
    return [first, 'something lies between that no plain sequence has (a concatenation, a '
            'split, blocks of pixels)']


def rgb_problems(first: Dict[str, Any], channels: str) -> List[str]:
    """Return why a first layer cannot be changed to read RGB; empty if it can, or does already."""
    if channels == 'rgb' or (first['type'] == 'Conv2d' and first.get('groups', 1) == 1):
        return []
    return [f'{FIRST} is {first["type"]}, groups {first.get("groups", 1)}: only a plain first '
            f'convolution can be changed from {channels} to rgb']


def change_to_rgb(first: Dict[str, Any], weights: Dict[str, Tensor],
                  channels: str) -> Dict[str, Any]:
    """
    Change the first convolution's weights to read RGB; return its description.

    Gray is a weighted sum of R, G and B, and so is a convolution of it: exact, even at the
    padded border.
    """
    name = f'{FIRST}.weight'
    if channels == 'bgr':
        weights[name] = weights[name].flip(1).contiguous()
    if channels not in GRAYS:
        return first
    shares = torch.tensor(GRAYS[channels], dtype=torch.float64).view(1, 3, 1, 1)
    weights[name] = (weights[name].double() * shares).float()
    return {**first, 'in_channels': 3}
