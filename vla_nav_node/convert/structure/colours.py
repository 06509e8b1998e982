"""Let a policy that was trained on BGR or gray pictures see RGB, which is what a bundle gets."""

from typing import Any, Dict, List

import torch
from torch import Tensor

from .channels import FIRST

# How much of gray is red, green and blue. The first is ITU-R BT.601, which OpenCV, PIL and
# torchvision have. OpenCV and PIL round it to whole grey levels, which is left out here.
GRAYS = {'gray': (0.299, 0.587, 0.114), 'gray-mean': (1 / 3, 1 / 3, 1 / 3)}
NOTES = {'bgr': 'the first convolution and the normalisation were turned from BGR to RGB',
         'gray': 'the first convolution makes gray itself: 0.299 R + 0.587 G + 0.114 B',
         'gray-mean': 'the first convolution makes gray itself: (R + G + B) / 3'}


def not_turnable(first: Dict[str, Any], channels: str) -> List[str]:
    """Say why a first layer cannot be made to see RGB; empty if it can, or does already."""
    if channels == 'rgb' or (first['type'] == 'Conv2d' and first.get('groups', 1) == 1):
        return []
    return [f'{FIRST} is {first["type"]}, groups {first.get("groups", 1)}: only a plain first '
            f'convolution can be turned from {channels} to rgb']


def turn_to_rgb(first: Dict[str, Any], weights: Dict[str, Tensor],
                channels: str) -> Dict[str, Any]:
    """
    Change the first convolution's weights to see RGB; give its description.

    Gray is a weighted sum of R, G and B, and what a convolution makes of it is one too: exact,
    its padding included.
    """
    name = f'{FIRST}.weight'
    if channels == 'bgr':
        weights[name] = weights[name].flip(1).contiguous()
    if channels not in GRAYS:
        return first
    shares = torch.tensor(GRAYS[channels], dtype=torch.float64).view(1, 3, 1, 1)
    weights[name] = (weights[name].double() * shares).float()
    return {**first, 'in_channels': 3}
