"""The export that people usually make, to be measured beside: one picture in, no state."""

from pathlib import Path
import warnings

import torch
from torch import nn, Tensor

from .export import OPSET
from ..network import PolicyNetwork
from ..preprocess import InputSpec


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
    with warnings.catch_warnings(), torch.inference_mode():
        # As in export.py; and that the shapes and the batch are fixed, which is what is wanted.
        for category in (DeprecationWarning, UserWarning, torch.jit.TracerWarning):
            warnings.simplefilter('ignore', category)
        torch.onnx.export(OneShot(network).eval(), (image,), str(path), dynamo=False,
                          opset_version=OPSET, input_names=['image'], output_names=['action'])
