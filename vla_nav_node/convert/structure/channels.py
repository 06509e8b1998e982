"""How a convolution's channels can be read that are not those before it: a user says which way."""

from typing import Any, Iterator, List, Sequence

from .shapes import Shape, shapes_under, Tensors

FIRST = 'vision_encoder.0'


def doubts(layers: Sequence[Any], tensors: Tensors, channels: int) -> Iterator[str]:
    """Name the convolutions that do not take what is before them; the first gets `channels`."""
    for place, layer in enumerate(layers):
        if layer['type'] == 'Conv2d' and layer.get('in_channels') != channels:
            yield from filter(None, [doubt(f'vision_encoder.{place}', tensors, channels)])
        channels = layer.get('out_channels', channels)
        if type(channels) is not int:  # which is told elsewhere
            return


def doubt(prefix: str, tensors: Tensors, channels: int) -> str:
    """Say how weights can be read that do not take all `channels` before them, '' if they do."""
    weight = shapes_under(prefix, tensors).get('weight', ())
    if len(weight) != 4 or 0 in weight or weight[1] == channels:
        return ''
    found = _of_picture(weight, channels) if prefix == FIRST else _of_maps(weight, channels)
    return f'{prefix}.weight is {list(weight)}: ' + ', or '.join(found)


def groups_of(weight: Shape, channels: int) -> int:
    """Return in how many groups these weights would take so many channels; 0 if they cannot."""
    groups, rest = divmod(channels, weight[1])
    return groups if groups and not rest and weight[0] % groups == 0 else 0


def _of_picture(weight: Shape, channels: int) -> List[str]:
    taken = weight[1]
    if taken == 3:
        return ['it takes an RGB picture (--channels rgb, or bgr)']
    if taken == 1:
        return ['it takes a gray picture (--channels gray, or gray-mean; groups: 1)',
                *(f'an RGB one in {groups} groups (say groups: {groups})'
                  for groups in [groups_of(weight, channels)] if groups)]
    stack = [f'it takes a stack of {taken} gray pictures']
    if taken % 3 == 0:
        stack = [f'it takes a stack of {taken // 3} RGB pictures', f'of {taken} gray ones']
    return stack + {2: ['gray and depth'], 4: ['RGB and depth'], 12: ['blocks of 2x2 pixels'],
                    48: ['blocks of 4x4 pixels']}.get(taken, []) + [
        'something else: a bundle takes one RGB picture']


def _of_maps(weight: Shape, channels: int) -> List[str]:
    groups = groups_of(weight, channels)
    grouped = [f'it takes the {channels} channels before it in {groups} groups (say groups: '
               f'{groups})'] if groups else [f'it does not take the {channels} channels before it']
    return [*grouped, 'something lies between that no plain sequence has (a concatenation, a '
            'split, blocks of pixels)']
