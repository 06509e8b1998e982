"""
Pre-train the encoder on single pictures, before the policy learns to drive.

Episodes show the same few arenas over and over, but to recognise a box the encoder has to see
many thousands of them. It is frozen afterwards, so that driving is learnt on its features alone,
which is quick.
"""

from typing import Dict, Iterator, List, Tuple

import numpy as np
import torch
from torch import nn, Tensor

from .auxiliary_targets import FAN
from ...backends.torch.network import ACTIONS, PolicyNetwork

BATCH = 128
LEARNING_RATE = 2e-3  # the highest of the one-cycle schedule (Smith & Topin 2017)
EXPOSURE = 0.2  # augmentation: pictures are up to this share brighter or darker
HELD_OUT = 0.04  # share of the pictures to validate on


class EncoderWithHead(nn.Module):
    """The network's encoder, and a linear head that regresses the auxiliary targets."""

    def __init__(self, network: PolicyNetwork, targets: np.ndarray, device: str) -> None:
        """Take the network, and the mean and scale of the targets [N, targets]."""
        super().__init__()
        self.device = torch.device(device)
        self.network = network.to(self.device, memory_format=torch.channels_last)
        self.head = nn.Linear(network.rnn.input_size, targets.shape[1]).to(self.device)
        self.mean = torch.from_numpy(targets.mean(0)).to(self.device)
        self.scale = torch.from_numpy(targets.std(0)).to(self.device)

    def forward(self, images: Tensor, gains: Tensor) -> Tensor:
        """Return standardised targets of uint8 [N, H, W, 3] under exposures [N, 1, 1, 1]."""
        images, gains = images.to(self.device), gains.to(self.device)
        mean, std = self.network.mean, self.network.std
        with torch.autocast(self.device.type, torch.bfloat16):
            # Exposure and normalisation at once; bfloat16 holds the integers 0 to 255 exactly.
            pixels = torch.addcmul((-mean / std).bfloat16(), images.permute(0, 3, 1, 2),
                                   (gains / std).bfloat16())
            features = self.network.vision_encoder(pixels).float()
        return self.head(features)

    def standardise(self, targets: Tensor) -> Tensor:
        """Scale targets to zero mean and unit deviation."""
        return (targets.to(self.device) - self.mean) / self.scale


def pretrain_encoder(model: EncoderWithHead, images: np.ndarray, targets: np.ndarray,
                     epochs: int, seed: int) -> Iterator[Dict[str, float]]:
    """Train; yield after each epoch the loss and R2 of the held-out targets."""
    pictures, labels = torch.from_numpy(images), torch.from_numpy(targets)
    count = len(pictures) - max(2, int(len(pictures) * HELD_OUT))
    batch_size = min(BATCH, count)
    steps = epochs * (count // batch_size)
    optimiser = torch.optim.AdamW(
        [*model.network.vision_encoder.parameters(), *model.head.parameters()],
        lr=LEARNING_RATE, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, LEARNING_RATE, total_steps=steps + 1)
    generator = torch.Generator().manual_seed(seed)
    for _ in range(epochs):
        losses: List[float] = []
        for batch in _batches(count, batch_size, generator):
            gains = 1 + EXPOSURE * (2 * torch.rand(batch_size, 1, 1, 1, generator=generator) - 1)
            predicted = model(pictures[batch], gains)
            loss = nn.functional.smooth_l1_loss(predicted, model.standardise(labels[batch]))
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            schedule.step()
            losses.append(loss.item())
        yield {'loss': round(float(np.mean(losses)), 4),
               **_r2(model, pictures[count:], labels[count:])}


def _batches(count: int, size: int, generator: torch.Generator) -> Tuple[Tensor, ...]:
    order = torch.randperm(count, generator=generator)
    return order[:count - count % size].split(size)


@torch.no_grad()
def _r2(model: EncoderWithHead, images: Tensor, targets: Tensor) -> Dict[str, float]:
    """Return the coefficient of determination of each kind of target."""
    gains = torch.ones(1, 1, 1, 1)
    predicted = torch.cat([model(batch, gains) for batch in images.split(BATCH)])
    labels = model.standardise(targets)
    residual = ((predicted - labels) ** 2).mean(0) / labels.var(0).clamp_min(1e-6)
    kinds = {'action': residual[:ACTIONS], 'pose': residual[ACTIONS:ACTIONS + 3],
             'cup': residual[ACTIONS + 3:ACTIONS + 5], 'things': residual[-FAN:]}
    return {name: round(1 - float(value.mean()), 3) for name, value in kinds.items()}
