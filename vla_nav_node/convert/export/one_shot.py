"""The export that people usually make, to be measured beside: one picture in, no state."""

from pathlib import Path

import torch
from torch import nn, Tensor

from .step_graph import write_onnx
from ...backends.torch.network import PolicyNetwork
from ...vision.preprocess import InputSpec


class OneShot(nn.Module):
    """Normalised floats [1, 3, H, W] -> action [1, 2], each time from the zero state."""

    def __init__(self, network: PolicyNetwork) -> None:
        """Share the network's weights."""
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> Tensor:
        """Run the layers as the original's forward does, nn.RNN, nn.LSTM or nn.GRU included."""
        features = self.network.vision_encoder(image)
        hidden, _ = self.network.rnn(features[:, None])
        return self.network.actions(hidden[:, -1])


def export_one_shot(network: PolicyNetwork, path: Path, spec: InputSpec) -> None:
    """Write the network with ONNX's own RNN, LSTM or GRU operator: image -> action."""
    image = torch.zeros(1, 3, spec.height, spec.width)
    write_onnx(OneShot(network).eval(), (image,), path, ['image'], ['action'])
