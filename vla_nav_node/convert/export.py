"""Write a network as its step graph: one time step, the cell as plain matrix products."""

from copy import deepcopy
from pathlib import Path
from typing import Callable, Dict, List, Tuple
import warnings

import torch
from torch import nn, Tensor

from ..backends.torch_backend import as_half
from ..network import PolicyNetwork
from ..preprocess import InputSpec

OPSET = 17  # the newest that ONNX Runtime 1.13 and TensorRT 8.6 read
PRECISIONS = ('fp32', 'fp16')  # int8 is made from the fp32 graph: see quantize


class StepGraph(nn.Module):
    """
    `(image, state) -> (action, state')`, the same numbers as PolicyNetwork.step.

    With a network made half by `as_half`, weights, products and layers are fp16; the pixels'
    normalisation, the gates and the state that is carried from step to step stay fp32.

    The gates are written out as nn.LSTM, nn.GRU and nn.RNN document them, because a runtime
    quantises and fuses matrix products but not its sequence operators.
    """

    def __init__(self, network: PolicyNetwork) -> None:
        """Share the network's weights."""
        super().__init__()
        self.network = network

    def forward(self, image: Tensor, *state: Tensor) -> Tuple[Tensor, ...]:
        """Run one step; shapes as in PolicyNetwork.step with a batch of one."""
        cells: Dict[str, Callable[..., Tuple[Tensor, ...]]] = {
            'LSTM': self._lstm, 'GRU': self._gru, 'RNN': self._rnn}
        cell = cells[self.network.kind]
        x = self.network.features(image)
        after: List[Tuple[Tensor, ...]] = []
        for layer in range(self.network.rnn.num_layers):
            after.append(cell(x, layer, *(part[layer] for part in state)))
            x = after[-1][0]
        head = next(self.network.actions.parameters()).dtype
        action = self.network.actions(_as(x, head))
        return (_as(action, torch.float32), *map(torch.stack, zip(*after)))

    def _products(self, x: Tensor, h: Tensor, layer: int) -> Tuple[Tensor, Tensor]:
        return self._product(x, f'ih_l{layer}'), self._product(h, f'hh_l{layer}')

    def _product(self, x: Tensor, name: str) -> Tensor:
        weight = getattr(self.network.rnn, f'weight_{name}')
        bias = getattr(self.network.rnn, f'bias_{name}', None)
        return _as(nn.functional.linear(_as(x, weight.dtype), weight, bias), torch.float32)

    def _lstm(self, x: Tensor, layer: int, h: Tensor, c: Tensor) -> Tuple[Tensor, ...]:
        i, f, g, o = torch.chunk(sum(self._products(x, h, layer)), 4, dim=1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        return torch.sigmoid(o) * torch.tanh(c), c

    def _gru(self, x: Tensor, layer: int, h: Tensor) -> Tuple[Tensor, ...]:
        from_x, from_h = self._products(x, h, layer)
        r_x, z_x, n_x = torch.chunk(from_x, 3, dim=1)
        r_h, z_h, n_h = torch.chunk(from_h, 3, dim=1)
        z = torch.sigmoid(z_x + z_h)
        n = torch.tanh(n_x + torch.sigmoid(r_x + r_h) * n_h)
        return ((1 - z) * n + z * h,)

    def _rnn(self, x: Tensor, layer: int, h: Tensor) -> Tuple[Tensor, ...]:
        activation = torch.relu if self.network.rnn.nonlinearity == 'relu' else torch.tanh
        return (activation(sum(self._products(x, h, layer))),)


def _as(x: Tensor, dtype: torch.dtype) -> Tensor:
    """Cast where that is needed: the exporter writes even a cast that changes nothing."""
    return x if x.dtype == dtype else x.to(dtype)


def export_onnx(network: PolicyNetwork, path: Path, spec: InputSpec,
                precision: str = 'fp32') -> None:
    """
    Write the step graph: image, h_in (, c_in) -> action, h_out (, c_out).

    All of these but the image are float32, in either precision.
    """
    half = precision == 'fp16'
    graph = StepGraph(as_half(deepcopy(network)) if half else network).eval()
    names = ['h', 'c'][:len(network.zero_state())]
    image = torch.zeros(spec.shape, dtype=torch.uint8)
    with warnings.catch_warnings(), torch.inference_mode():
        # The exporter that needs no further package; torch means to replace it some day.
        warnings.simplefilter('ignore', DeprecationWarning)
        torch.onnx.export(
            graph, (image, *network.zero_state()), str(path), dynamo=False,
            opset_version=OPSET, input_names=['image', *(f'{n}_in' for n in names)],
            output_names=['action', *(f'{n}_out' for n in names)])
