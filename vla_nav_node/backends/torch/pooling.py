"""AdaptiveAvgPool2d in any size: torch's own, and in graphs as two products."""

import numpy as np
import torch
from torch import nn, Tensor
from torch.nn.modules.utils import _pair


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
