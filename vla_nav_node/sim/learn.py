"""Learn from lessons: whole episodes, the recurrent layer unrolled from their first frame."""

from dataclasses import dataclass
import math
from pathlib import Path
from typing import Dict, List, Sequence, Tuple

import numpy as np
import torch
from torch import nn, Tensor
from torch.nn.utils.rnn import pad_sequence

from .teach import HINTS, load_lesson, RAYS
from ..network import ACTIONS, PolicyNetwork

HINT_WEIGHT = 0.2  # of the loss; the hints only shape the hidden state
NEAR, NEAR_WEIGHT = 0.43, 3.0  # m from the robot's centre: frames so near to something count more
EXPOSURE = 0.2  # pictures are made up to this share brighter or darker, an episode at a time
AVERAGE = 0.995  # of the running mean of the weights, which is what drives and is shipped
LONGEST = 400  # frames of an episode that are learnt at once, bounds the memory


@dataclass(frozen=True)
class Batch:
    """Episodes side by side, padded to the longest: [B, T, ...]; `real` marks the frames."""

    images: Tensor  # uint8 [N, H, W, 3], the real frames only
    gains: Tensor  # float32 [N, 1, 1, 1], exposure
    labels: Tensor  # [B, T, 2]
    hints: Tensor  # [B, T, HINTS]
    real: Tensor  # bool [B, T]


class Learner(nn.Module):
    """The network, its hint head, its optimiser, and the running mean of its weights."""

    def __init__(self, network: PolicyNetwork, device: str, total_steps: int) -> None:
        """Start from the network's weights; `total_steps` is the length of the schedule."""
        super().__init__()
        self.device = torch.device(device)
        self.network = network.to(self.device, memory_format=torch.channels_last)
        self.hint_head = nn.Linear(network.rnn.hidden_size, HINTS).to(self.device)
        self.optimiser = torch.optim.AdamW(self.parameters(), lr=1e-3, weight_decay=1e-4)
        self.schedule = torch.optim.lr_scheduler.LambdaLR(
            self.optimiser, lambda step: _learning_rate(step, total_steps))
        self.mean: Dict[str, Tensor] = {}

    def learn(self, batch: Batch) -> Tuple[float, float]:
        """Take one step; give the mean absolute errors of action (m/s) and hints (m)."""
        self.network.train()
        action, hint = self._forward(batch)
        labels, hints = batch.labels[batch.real], batch.hints[batch.real]
        weight = 1 + (NEAR_WEIGHT - 1) * (hints[:, -RAYS:].amin(1, keepdim=True) < NEAR)
        action_error = ((action - labels).abs() * weight).mean() / weight.mean()
        hint_error = (hint - hints).abs().mean()
        self.optimiser.zero_grad(set_to_none=True)
        (action_error + HINT_WEIGHT * hint_error).backward()
        nn.utils.clip_grad_norm_(self.parameters(), 1.0)
        self.optimiser.step()
        self.schedule.step()
        self._average()
        return action_error.item(), hint_error.item()

    def _forward(self, batch: Batch) -> Tuple[Tensor, Tensor]:
        """Encode the real frames only, unroll padded, and give the real steps [N, ...]."""
        network = self.network
        with torch.autocast(self.device.type, torch.bfloat16):
            # Exposure and normalisation in one pass; 0 to 255 are whole numbers in bfloat16 too.
            pixels = torch.addcmul(
                (-network.mean / network.std).bfloat16(), batch.images.permute(0, 3, 1, 2),
                (batch.gains / network.std).bfloat16())
            features = network.vision_encoder(pixels).float()
        padded = features.new_zeros(*batch.real.shape, features.shape[-1])
        padded[batch.real] = features
        hidden, _ = network.sequence(padded, network.zero_state(len(batch.real)))
        hidden = hidden[batch.real]
        return network.actions(hidden), self.hint_head(hidden)

    @torch.no_grad()
    def _average(self) -> None:
        for name, value in self.network.state_dict().items():
            if name in self.mean:
                self.mean[name].lerp_(value, 1 - AVERAGE)
            else:
                self.mean[name] = value.clone()

    def averaged(self) -> Dict[str, Tensor]:
        """Give the running mean of the weights, on the host, contiguous."""
        return {name: value.cpu().contiguous() for name, value in self.mean.items()}

    def snapshot(self) -> dict:
        """Give all that a resumed training needs."""
        return {'weights': self.state_dict(), 'mean': self.mean,
                'optimiser': self.optimiser.state_dict(), 'schedule': self.schedule.state_dict()}

    def restore(self, snapshot: dict) -> None:
        """Take over what `snapshot` gave."""
        self.load_state_dict(snapshot['weights'])
        self.mean = snapshot['mean']
        self.optimiser.load_state_dict(snapshot['optimiser'])
        self.schedule.load_state_dict(snapshot['schedule'])


def load_batch(folder: Path, seeds: Sequence[int], rng: np.random.Generator,
               device: torch.device) -> Batch:
    """Read episodes from disk, with an exposure of its own for each."""
    images: List[Tensor] = []
    gains: List[Tensor] = []
    notes: List[Tensor] = []
    for seed in seeds:
        pictures, note = load_lesson(folder, seed)
        images.append(torch.from_numpy(np.array(pictures[:LONGEST])))
        notes.append(torch.from_numpy(note[:LONGEST]))
        gains.append(torch.full((len(images[-1]), 1, 1, 1), 1 + rng.uniform(-EXPOSURE, EXPOSURE)))
    padded = pad_sequence(notes, batch_first=True)
    lengths = torch.tensor([len(note) for note in notes])
    real = torch.arange(padded.shape[1])[None] < lengths[:, None]
    return Batch(torch.cat(images).to(device), torch.cat(gains).float().to(device),
                 padded[..., :ACTIONS].to(device), padded[..., ACTIONS:].to(device),
                 real.to(device))


def _learning_rate(step: int, total: int) -> float:
    """Warm up over 100 steps, then fall along a cosine to a fiftieth."""
    if step < 100:
        return (step + 1) / 100
    progress = min(step / max(total, 1), 1.0)
    return 0.02 + 0.98 * (1 + math.cos(math.pi * progress)) / 2
