"""
The policy of document 000 as its author wrote and saved it, with known weights.

It is built from torch alone, without the package's own network, so that an import is compared with
what the author's code computes. `python test/original.py simple best.pth` writes one.
"""

from pathlib import Path
import sys
from typing import Any, Dict, Sequence

import torch
from torch import nn

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of pixels from 0 to 1
VAL_MAE, EPOCH = 0.222, 7
SIMPLE = {'widths': (64, 128, 256), 'features': 2048, 'hidden': 1024, 'head': (1024, 512, 256)}
ACCURATE = {'widths': (64, 128, 256, 512), 'features': 2048, 'hidden': 4096,
            'head': (1024, 512, 256)}
TINY = {'widths': (4, 6, 8), 'features': 16, 'hidden': 12, 'head': (10, 8)}


class Original(nn.Module):
    """`vision_encoder`, `rnn`, `actions`: an image sequence [B, T, 3, H, W] -> [B, T, 2]."""

    def __init__(self, widths: Sequence[int], features: int, hidden: int, head: Sequence[int],
                 cell: Any = nn.RNN, layers: int = 4, **recurrent: Any) -> None:
        """Build the layers in the author's order."""
        super().__init__()
        encoder = [nn.Conv2d(3, widths[0], 7, 2, 3), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
        for before, after in zip(widths, widths[1:]):
            encoder += [nn.Conv2d(before, after, 3, 2, 1), nn.ReLU()]
        self.vision_encoder = nn.Sequential(
            *encoder, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(widths[-1], features))
        self.rnn = cell(features, hidden, layers, batch_first=True, **recurrent)
        linears = [nn.Linear(*sizes) for sizes in zip((hidden, *head), (*head, 2))]
        self.actions = nn.Sequential(*[
            layer for linear in linears for layer in (linear, nn.ReLU())][:-1])

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Run a sequence from the zero state."""
        batch, steps = images.shape[:2]
        features = self.vision_encoder(images.flatten(0, 1)).view(batch, steps, -1)
        hidden = self.rnn(features)[0]
        return self.actions(hidden.flatten(0, 1)).view(batch, steps, -1)


def original(seed: int = 0, **sizes: Any) -> Original:
    """
    Return the network with weights of `seed`, large enough that each of them matters.

    Torch's own initial weights give nearly the same action for every picture. These give actions
    of up to about 0.5 m/s, and a state that fades.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = Original(**{**TINY, **sizes}).eval()
        recurrent = 0.8 if isinstance(network.rnn, nn.RNN) else 2.0  # gates damp
        for name, weight in network.named_parameters():
            if weight.dim() > 1:
                gain = recurrent if name.startswith('rnn') else 1.5 if len(weight) > 2 else 0.4
                nn.init.normal_(weight, std=gain / weight[0].numel() ** 0.5)
    return network


def document(network: nn.Module) -> Dict[str, Any]:
    """Return the dict that the author saved."""
    return {'model_state_dict': network.state_dict(), 'val_mae': VAL_MAE, 'epoch': EPOCH}


def write_original(path: Path, **sizes: Any) -> Original:
    """Save the network as the author did; return it."""
    network = original(**sizes)
    torch.save(document(network), path)
    return network


def expected_actions(network: Original, pictures: torch.Tensor) -> torch.Tensor:
    """Return the author's actions [T, 2] for uint8 pictures [T, H, W, 3], RGB."""
    pixels = pictures.permute(0, 3, 1, 2).float() / 255.0
    pixels = (pixels - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)
    with torch.inference_mode():
        return network(pixels[None])[0]


if __name__ == '__main__':
    sizes = {'simple': SIMPLE, 'accurate': ACCURATE, 'tiny': TINY}[sys.argv[1]]
    write_original(Path(sys.argv[2]), **sizes)
