"""Learn to drive from lessons: episodes of features, the recurrent layer unrolled over them."""

from dataclasses import dataclass
import math
from typing import Dict, Sequence, Tuple

import numpy as np
import torch
from torch import nn, Tensor
from torch.nn.utils.rnn import pad_sequence

from .auxiliary_targets import HINTS, RAYS
from ...backends.torch.network import ACTIONS, PolicyNetwork

HINT_WEIGHT = 0.2  # of the loss; the hints only shape the hidden state
NEAR, NEAR_WEIGHT = 0.43, 3.0  # m from the robot's centre: frames so near to something count more
LEARNING_RATE = 1e-3
AVERAGE = 0.998  # of the running mean of the weights, which is what drives and is shipped
LONGEST = 400  # frames of an episode that are learnt at once, bounds the memory


@dataclass(frozen=True)
class Batch:
    """Episodes side by side, padded to the longest: [B, T, ...]; `real` marks the frames."""

    features: Tensor  # [B, T, F]
    labels: Tensor  # [B, T, 2]
    hints: Tensor  # [B, T, HINTS]
    real: Tensor  # bool [B, T]


class Learner(nn.Module):
    """The network behind its encoder, a hint head, and the running mean of the weights."""

    def __init__(self, network: PolicyNetwork, device: str, total_steps: int) -> None:
        """Start from the network's weights; `total_steps` is the length of the schedule."""
        super().__init__()
        self.device = torch.device(device)
        self.network = network.to(self.device)
        self.hint_head = nn.Linear(network.rnn.hidden_size, HINTS).to(self.device)
        taught = [*network.rnn.parameters(), *network.actions.parameters(),
                  *self.hint_head.parameters()]
        self.optimiser = torch.optim.AdamW(taught, lr=LEARNING_RATE, weight_decay=1e-4)
        self.schedule = torch.optim.lr_scheduler.LambdaLR(
            self.optimiser, lambda step: _learning_rate(step, total_steps))
        self.mean: Dict[str, Tensor] = {}

    def learn(self, batch: Batch) -> Tuple[float, float]:
        """Take one step; give the mean absolute errors of action (m/s) and hints (m)."""
        action, hint = self._forward(batch)
        labels, hints = batch.labels[batch.real], batch.hints[batch.real]
        weight = 1 + (NEAR_WEIGHT - 1) * (hints[:, -RAYS:].amin(1, keepdim=True) < NEAR)
        action_error = ((action - labels).abs() * weight).mean() / weight.mean()
        hint_loss = nn.functional.smooth_l1_loss(hint, hints)
        self.optimiser.zero_grad(set_to_none=True)
        (action_error + HINT_WEIGHT * hint_loss).backward()
        nn.utils.clip_grad_norm_(self.optimiser.param_groups[0]['params'], 1.0)
        self.optimiser.step()
        self.schedule.step()
        self._average()
        return action_error.item(), (hint - hints).abs().mean().item()

    def _forward(self, batch: Batch) -> Tuple[Tensor, Tensor]:
        """Unroll from the first frame; give action and hints of the real frames [N, ...]."""
        hidden, _ = self.network.sequence(
            batch.features, self.network.zero_state(len(batch.real)))
        hidden = hidden[batch.real]
        return self.network.actions(hidden), self.hint_head(hidden)

    @torch.no_grad()
    def _average(self) -> None:
        for name, value in self.network.state_dict().items():
            if name in self.mean:
                self.mean[name].lerp_(value, 1 - AVERAGE)
            else:
                self.mean[name] = value.clone()

    def averaged(self) -> Dict[str, Tensor]:
        """Return the running mean of the weights, on the host, contiguous."""
        found = self.mean or self.network.state_dict()
        return {name: value.cpu().contiguous() for name, value in found.items()}

    def snapshot(self) -> dict:
        """Return all that a resumed training needs."""
        return {'weights': self.state_dict(), 'mean': self.mean,
                'optimiser': self.optimiser.state_dict(), 'schedule': self.schedule.state_dict()}

    def restore(self, snapshot: dict) -> None:
        """Take over what `snapshot` gave."""
        self.load_state_dict(snapshot['weights'])
        self.mean = snapshot['mean']
        self.optimiser.load_state_dict(snapshot['optimiser'])
        self.schedule.load_state_dict(snapshot['schedule'])


def make_batch(lessons: Sequence[np.ndarray], device: torch.device) -> Batch:
    """Put lessons (float32 [T, F + 2 + HINTS] each) side by side."""
    padded = pad_sequence([torch.from_numpy(one[:LONGEST]) for one in lessons],
                          batch_first=True).to(device)
    lengths = torch.tensor([min(len(one), LONGEST) for one in lessons])
    real = torch.arange(padded.shape[1])[None] < lengths[:, None]
    features, labels, hints = padded.split(
        [padded.shape[2] - ACTIONS - HINTS, ACTIONS, HINTS], dim=2)
    return Batch(features, labels, hints, real.to(device))


def _learning_rate(step: int, total: int) -> float:
    """Warm up over 100 steps, then fall along a cosine to a fiftieth."""
    if step < 100:
        return (step + 1) / 100
    progress = min(step / max(total, 1), 1.0)
    return 0.02 + 0.98 * (1 + math.cos(math.pi * progress)) / 2
