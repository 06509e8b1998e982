"""
Teach the encoder to see: from single pictures, before anything is driven.

Episodes show the same few arenas over and over; a box that must not be hit is seen only when it is
met in many thousands of arenas. The encoder that comes out is frozen afterwards, so that driving
is learnt on its features alone, which is quick.
"""

from typing import Dict, Iterator, List, Tuple

import numpy as np
import torch
from torch import nn, Tensor

from .auxiliary_targets import FAN
from ...backends.torch.network import ACTIONS, PolicyNetwork

BATCH = 128
LEARNING_RATE = 2e-3  # the highest of the one-cycle schedule (Smith & Topin 2017)
EXPOSURE = 0.2  # pictures are made up to this share brighter or darker
HELD_OUT = 0.04  # share of the pictures that measures what is seen


class Looker(nn.Module):
    """The network's encoder, with a linear head that tells what is in view."""

    def __init__(self, network: PolicyNetwork, targets: np.ndarray, device: str) -> None:
        """Take the encoder, and the scale of each target."""
        super().__init__()
        self.device = torch.device(device)
        self.network = network.to(self.device, memory_format=torch.channels_last)
        self.head = nn.Linear(network.rnn.input_size, targets.shape[1]).to(self.device)
        self.centre = torch.from_numpy(targets.mean(0)).to(self.device)
        self.scale = torch.from_numpy(targets.std(0)).to(self.device)

    def forward(self, images: Tensor, gains: Tensor) -> Tensor:
        """Tell from uint8 [N, H, W, 3] and exposures [N, 1, 1, 1] the standardised targets."""
        return self.head(encode(self.network, images.to(self.device), gains.to(self.device)))

    def standardise(self, targets: Tensor) -> Tensor:
        """Bring targets to zero mean and unit deviation."""
        return (targets.to(self.device) - self.centre) / self.scale


def encode(network: PolicyNetwork, images: Tensor, gains: Tensor) -> Tensor:
    """Encode uint8 [N, H, W, 3] under exposures [N, 1, 1, 1] -> float32 [N, F]."""
    with torch.autocast(images.device.type, torch.bfloat16):
        # Exposure and normalisation in one pass; 0 to 255 are whole numbers in bfloat16 too.
        pixels = torch.addcmul((-network.mean / network.std).bfloat16(),
                               images.permute(0, 3, 1, 2), (gains / network.std).bfloat16())
        return network.vision_encoder(pixels).float()


def learn_to_look(looker: Looker, images: np.ndarray, targets: np.ndarray, epochs: int,
                  seed: int) -> Iterator[Dict[str, float]]:
    """Train, and tell after each epoch how much of the held-out targets is seen (R2)."""
    pictures, wanted = torch.from_numpy(images), torch.from_numpy(targets)
    count = len(pictures) - max(2, int(len(pictures) * HELD_OUT))
    batch_size = min(BATCH, count)
    steps = epochs * (count // batch_size)
    optimiser = torch.optim.AdamW(
        [*looker.network.vision_encoder.parameters(), *looker.head.parameters()],
        lr=LEARNING_RATE, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, LEARNING_RATE, total_steps=steps + 1)
    generator = torch.Generator().manual_seed(seed)
    for _ in range(epochs):
        losses: List[float] = []
        for batch in _batches(count, batch_size, generator):
            gains = 1 + EXPOSURE * (2 * torch.rand(batch_size, 1, 1, 1, generator=generator) - 1)
            told = looker(pictures[batch], gains)
            loss = nn.functional.smooth_l1_loss(told, looker.standardise(wanted[batch]))
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            schedule.step()
            losses.append(loss.item())
        yield {'loss': round(float(np.mean(losses)), 4),
               **_seen(looker, pictures[count:], wanted[count:])}


def _batches(count: int, size: int, generator: torch.Generator) -> Tuple[Tensor, ...]:
    order = torch.randperm(count, generator=generator)
    return order[:count - count % size].split(size)


@torch.no_grad()
def _seen(looker: Looker, images: Tensor, targets: Tensor) -> Dict[str, float]:
    """Return the share of the variance that is told right, R2, of each kind of target."""
    ones = torch.ones(1, 1, 1, 1)
    told = torch.cat([looker(batch, ones) for batch in images.split(BATCH)])
    wanted = looker.standardise(targets)
    left = ((told - wanted) ** 2).mean(0) / wanted.var(0).clamp_min(1e-6)
    kinds = {'action': left[:ACTIONS], 'pose': left[ACTIONS:ACTIONS + 3],
             'cup': left[ACTIONS + 3:ACTIONS + 5], 'things': left[-FAN:]}
    return {name: round(1 - float(value.mean()), 3) for name, value in kinds.items()}
