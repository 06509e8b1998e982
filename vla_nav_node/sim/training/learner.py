"""Imitation learning: the recurrent layer, unrolled over labelled episodes of features."""

from dataclasses import dataclass
import math
from typing import Dict, Sequence, Tuple

import numpy as np
import torch
from torch import nn, Tensor
from torch.nn.utils.rnn import pad_sequence

from .auxiliary_targets import RAYS, STATE_TARGETS
from ...backends.torch.network import ACTIONS, PolicyNetwork

AUXILIARY_WEIGHT = 0.2  # of the auxiliary loss, which only shapes the hidden state
NEAR, NEAR_WEIGHT = 0.43, 3.0  # m from the robot's centre: frames so near an obstacle weigh more
LEARNING_RATE = 1e-3
EMA_DECAY = 0.998  # of the exponential moving average of the weights, which drives and ships
MAX_FRAMES = 400  # of an episode; bounds the memory


@dataclass(frozen=True)
class Batch:
    """Episodes padded to the longest: [B, T, ...]; `real` marks the frames."""

    features: Tensor  # [B, T, F]
    labels: Tensor  # [B, T, 2]
    targets: Tensor  # auxiliary, [B, T, STATE_TARGETS]
    real: Tensor  # bool [B, T]


class Learner(nn.Module):
    """Trains the network behind its encoder; keeps a moving average of the weights."""

    def __init__(self, network: PolicyNetwork, device: str, total_steps: int) -> None:
        """Start from the network's weights; the schedule has `total_steps`."""
        super().__init__()
        self.device = torch.device(device)
        self.network = network.to(self.device)
        # For the auxiliary targets; its name is in the checkpoints of trainings.
        self.hint_head = nn.Linear(network.rnn.hidden_size, STATE_TARGETS).to(self.device)
        trained = [*network.rnn.parameters(), *network.actions.parameters(),
                   *self.hint_head.parameters()]
        self.optimiser = torch.optim.AdamW(trained, lr=LEARNING_RATE, weight_decay=1e-4)
        self.schedule = torch.optim.lr_scheduler.LambdaLR(
            self.optimiser, lambda step: _learning_rate(step, total_steps))
        self.mean: Dict[str, Tensor] = {}

    def train_step(self, batch: Batch) -> Tuple[float, float]:
        """Take one step; return the mean absolute errors of actions (m/s) and targets (m)."""
        action, auxiliary = self._forward(batch)
        labels, targets = batch.labels[batch.real], batch.targets[batch.real]
        weight = 1 + (NEAR_WEIGHT - 1) * (targets[:, -RAYS:].amin(1, keepdim=True) < NEAR)
        action_error = ((action - labels).abs() * weight).mean() / weight.mean()
        auxiliary_loss = nn.functional.smooth_l1_loss(auxiliary, targets)
        self.optimiser.zero_grad(set_to_none=True)
        (action_error + AUXILIARY_WEIGHT * auxiliary_loss).backward()
        nn.utils.clip_grad_norm_(self.optimiser.param_groups[0]['params'], 1.0)
        self.optimiser.step()
        self.schedule.step()
        self._update_mean()
        return action_error.item(), (auxiliary - targets).abs().mean().item()

    def _forward(self, batch: Batch) -> Tuple[Tensor, Tensor]:
        """Unroll from the first frame; return actions and targets of the real frames [N, ...]."""
        hidden, _ = self.network.sequence(
            batch.features, self.network.zero_state(len(batch.real)))
        hidden = hidden[batch.real]
        return self.network.actions(hidden), self.hint_head(hidden)

    @torch.no_grad()
    def _update_mean(self) -> None:
        for name, value in self.network.state_dict().items():
            if name in self.mean:
                self.mean[name].lerp_(value, 1 - EMA_DECAY)
            else:
                self.mean[name] = value.clone()

    def averaged(self) -> Dict[str, Tensor]:
        """Return the moving average of the weights, on the host, contiguous."""
        weights = self.mean or self.network.state_dict()
        return {name: value.cpu().contiguous() for name, value in weights.items()}

    def snapshot(self) -> dict:
        """Return the state of the training, to resume it by `restore`."""
        return {'weights': self.state_dict(), 'mean': self.mean,
                'optimiser': self.optimiser.state_dict(), 'schedule': self.schedule.state_dict()}

    def restore(self, snapshot: dict) -> None:
        """Restore the state that `snapshot` returned."""
        self.load_state_dict(snapshot['weights'])
        self.mean = snapshot['mean']
        self.optimiser.load_state_dict(snapshot['optimiser'])
        self.schedule.load_state_dict(snapshot['schedule'])


def make_batch(episodes: Sequence[np.ndarray], device: torch.device) -> Batch:
    """Pad labelled episodes, float32 [T, F + ACTIONS + STATE_TARGETS] each, to one batch."""
    rows = [torch.from_numpy(episode[:MAX_FRAMES]) for episode in episodes]
    padded = pad_sequence(rows, batch_first=True).to(device)
    lengths = torch.tensor([len(episode) for episode in rows])
    real = torch.arange(padded.shape[1])[None] < lengths[:, None]
    features, labels, targets = padded.split(
        [padded.shape[2] - ACTIONS - STATE_TARGETS, ACTIONS, STATE_TARGETS], dim=2)
    return Batch(features, labels, targets, real.to(device))


def _learning_rate(step: int, total: int) -> float:
    """Warm up over 100 steps, then decay along a cosine to a fiftieth."""
    if step < 100:
        return (step + 1) / 100
    progress = min(step / max(total, 1), 1.0)
    return 0.02 + 0.98 * (1 + math.cos(math.pi * progress)) / 2
