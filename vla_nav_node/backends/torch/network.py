"""The torch network: a convolutional encoder, a recurrent layer, an action head."""

from pathlib import Path
from typing import Any, Callable, Dict, List, Sequence, Tuple

import numpy as np
import torch
from torch import nn, Tensor
from torch.nn.modules.utils import _pair

from ...errors import BundleError


class AdaptiveAvgPool2d(nn.AdaptiveAvgPool2d):
    """
    Torch's layer, which ONNX and TorchScript's oneDNN support only if all bins have one size.

    Otherwise it is traced as a product with a matrix along each axis, with the same result.
    """

    def forward(self, maps: Tensor) -> Tensor:
        """Pool [..., H, W] -> [..., h, w]; None in `output_size` keeps an axis as it is."""
        sides = [int(side) for side in maps.shape[-2:]]
        sizes = [side if size is None else int(size)
                 for side, size in zip(sides, _pair(self.output_size))]
        if not torch.jit.is_tracing() or set(sizes) == {1}:
            return nn.functional.adaptive_avg_pool2d(maps, sizes)
        if all(side % size == 0 for side, size in zip(sides, sizes)):
            bins = [side // size for side, size in zip(sides, sizes)]
            return nn.functional.avg_pool2d(maps, bins)
        for side, size in zip(sides, sizes):
            # The matrix comes first: a constant in second place would count as a layer's weights.
            means = torch.from_numpy(bin_means(side, size)).to(maps)
            maps = torch.matmul(means, maps).transpose(-1, -2)
        return maps


def bin_means(side: int, size: int) -> np.ndarray:
    """Return float32 [size, side]; each row takes the mean of one of torch's bins."""
    means = np.zeros((size, side), np.float32)
    for row in range(size):
        start, end = row * side // size, -(-(row + 1) * side // size)
        means[row, start:end] = 1.0 / (end - start)
    return means


# The layers of an encoder or a head, with torch.nn's names and arguments. Dropout is
# listed so that the layers after it keep their numbers in the names of a checkpoint's weights.
LAYERS = {layer.__name__: layer for layer in (
    nn.Conv2d, nn.Linear, nn.BatchNorm2d, nn.BatchNorm1d, nn.LayerNorm,
    nn.MaxPool2d, nn.AvgPool2d, AdaptiveAvgPool2d, nn.Flatten,
    nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.GELU, nn.SiLU, nn.Hardswish, nn.Tanh, nn.Sigmoid,
    nn.Dropout, nn.Dropout2d, nn.Identity)}
RECURRENT = {layer.__name__: layer for layer in (nn.LSTM, nn.GRU, nn.RNN)}
ACTIONS = 2  # linear_x, linear_y


class PolicyNetwork(nn.Module):
    """
    CNN + LSTM, GRU or RNN, as a bundle's `architecture` describes it.

    `mean` and `std` are for each of the three channels, in units of 0..255. The submodules carry
    the names of the original checkpoints: `vision_encoder`, `rnn`, `actions`.
    """

    def __init__(self, architecture: Dict[str, Any], mean: Sequence[float],
                 std: Sequence[float]) -> None:
        """Build the layers with random weights; see load_network for a trained policy."""
        super().__init__()
        recurrent = dict(architecture['recurrent'])
        kind = recurrent.pop('type')
        self.vision_encoder = nn.Sequential(*map(_layer, architecture['encoder']))
        self.rnn = RECURRENT[kind](batch_first=True, **recurrent)
        self.actions = _head(recurrent['hidden_size'], architecture.get('head', ()))
        # Not part of the state dict: only the manifest holds them.
        self.register_buffer('mean', torch.tensor(mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer('std', torch.tensor(std).view(1, 3, 1, 1), persistent=False)

    @property
    def kind(self) -> str:
        """Return the type of the recurrent layer: LSTM, GRU or RNN."""
        return type(self.rnn).__name__

    def features(self, images: Tensor) -> Tensor:
        """Encode uint8 [N, H, W, 3] -> [N, F]."""
        pixels = images.permute(0, 3, 1, 2).float()  # [N, 3, H, W]
        return self.vision_encoder((pixels - self.mean) / self.std)

    def sequence(self, features: Tensor, state: Tuple[Tensor, ...]) -> Tuple[Tensor, Any]:
        """Run features [B, T, F] from `state` -> hidden [B, T, hidden], new state."""
        packed = state if self.kind == 'LSTM' else state[0]
        hidden, after = self.rnn(features, packed)
        return hidden, (tuple(after) if self.kind == 'LSTM' else (after,))

    def step(self, images: Tensor, *state: Tensor) -> Tuple[Tensor, ...]:
        """Run one time step: uint8 [B, H, W, 3], state -> action [B, 2] m/s, new state."""
        hidden, after = self.sequence(self.features(images)[:, None], state)
        return (self.actions(hidden[:, 0]), *after)

    def zero_state(self, batch: int = 1) -> Tuple[Tensor, ...]:
        """Return the zeros [layers, B, hidden] for the first frame, on the network's device."""
        zeros = torch.zeros(self.rnn.num_layers, batch, self.rnn.hidden_size,
                            device=self.mean.device)
        return (zeros, zeros.clone()) if self.kind == 'LSTM' else (zeros,)


class StepGraph(nn.Module):
    """
    `(image, state) -> (action, state')` with the same results as PolicyNetwork.step.

    With a network from `as_half`, weights, products and layers are fp16; the normalisation, the
    gates and the state stay fp32.

    The gates are written out as nn.LSTM, nn.GRU and nn.RNN document them, because runtimes
    quantise and fuse matrix products but not their sequence operators.
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
        head_dtype = next(self.network.actions.parameters()).dtype
        action = self.network.actions(_cast(x, head_dtype))
        return (_cast(action, torch.float32), *map(torch.stack, zip(*after)))

    def _products(self, x: Tensor, h: Tensor, layer: int) -> Tuple[Tensor, Tensor]:
        return self._product(x, f'ih_l{layer}'), self._product(h, f'hh_l{layer}')

    def _product(self, x: Tensor, name: str) -> Tensor:
        weight = getattr(self.network.rnn, f'weight_{name}')
        bias = getattr(self.network.rnn, f'bias_{name}', None)
        return _cast(nn.functional.linear(_cast(x, weight.dtype), weight, bias), torch.float32)

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


def as_half(network: PolicyNetwork) -> PolicyNetwork:
    """Convert the layers to half precision in place; the normalisation stays fp32."""
    for layers in (network.vision_encoder, network.rnn, network.actions):
        layers.half()
    network.vision_encoder.register_forward_pre_hook(lambda _, inputs: (inputs[0].half(),))
    return network


def load_network(weights: Path, architecture: Dict[str, Any], mean: Sequence[float],
                 std: Sequence[float]) -> PolicyNetwork:
    """
    Build a network and fill every weight from a safetensors file.

    Raise BundleError if a key is missing, unexpected or of another shape.
    """
    from safetensors.torch import load_file
    network = PolicyNetwork(architecture, mean, std)
    found = load_file(weights)
    problems = differences(network.state_dict(), found)
    if problems:
        raise BundleError(f'{weights.name} does not fit the architecture: ' + ', '.join(problems),
                          'the weights of the network that policy.yaml describes')
    network.load_state_dict(found)
    return network.eval()


def differences(expected: Dict[str, Tensor], found: Dict[str, Tensor]) -> List[str]:
    """Return every key that is missing, unexpected or of another shape."""
    missing = [f'{key} is missing' for key in expected if key not in found]
    extra = [f'{key} is unexpected' for key in found if key not in expected]
    shapes = [
        f'{key} is {list(found[key].shape)} instead of {list(value.shape)}'
        for key, value in expected.items() if key in found and found[key].shape != value.shape]
    return missing + extra + shapes


def _layer(description: Dict[str, Any]) -> nn.Module:
    arguments = dict(description)
    kind = arguments.pop('type')
    if kind not in LAYERS:
        raise BundleError(f'layer {kind!r}', 'one of ' + ', '.join(LAYERS))
    return LAYERS[kind](**arguments)


def _head(width: int, head: Sequence[Any]) -> nn.Sequential:
    """Build the head from its hidden sizes, with ReLU between, or from a list of layers."""
    descriptions = [layer for layer in head if isinstance(layer, dict)]
    if descriptions:
        return nn.Sequential(*map(_layer, descriptions))
    layers: List[nn.Module] = []
    for size in head:
        layers += [nn.Linear(width, size), nn.ReLU()]
        width = size
    return nn.Sequential(*layers, nn.Linear(width, ACTIONS))


def _cast(x: Tensor, dtype: torch.dtype) -> Tensor:
    """Cast only if needed: the exporter would write even a cast to the same type."""
    return x if x.dtype == dtype else x.to(dtype)
