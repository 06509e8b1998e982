"""Export a network to ONNX: as a step graph with plain matrix products, or as one shot."""

from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from typing import Iterator, List, Tuple
import warnings

import torch
from torch import nn, Tensor

from ...backends.torch.network import as_half, PolicyNetwork, StepGraph
from ...errors import BundleError, first_line
from ...vision.preprocess import InputSpec

OPSET = 17  # the newest that ONNX Runtime 1.13 and TensorRT 8.6 read
PRECISIONS = ('fp32', 'fp16')  # int8 is made from the fp32 graph: see quantize


def export_onnx(network: PolicyNetwork, path: Path, spec: InputSpec,
                precision: str = 'fp32') -> None:
    """
    Write the step graph: image, h_in (, c_in) -> action, h_out (, c_out).

    All but the image are float32 in either precision. Raise BundleError if the exporter fails.
    """
    half = precision == 'fp16'
    graph = StepGraph(as_half(deepcopy(network)) if half else network).eval()
    names = ['h', 'c'][:len(network.zero_state())]
    image = torch.zeros(spec.shape, dtype=torch.uint8)
    _write_onnx(graph, (image, *network.zero_state()), path,
                ['image', *(f'{n}_in' for n in names)], ['action', *(f'{n}_out' for n in names)])


class OneShot(nn.Module):
    """Normalised floats [1, 3, H, W] -> action [1, 2], always from the zero state."""

    def __init__(self, network: PolicyNetwork) -> None:
        """Share the network's weights."""
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> Tensor:
        """Run the layers as the original's forward does, with nn.RNN, nn.LSTM or nn.GRU."""
        features = self.network.vision_encoder(image)
        hidden, _ = self.network.rnn(features[:, None])
        return self.network.actions(hidden[:, -1])


def export_one_shot(network: PolicyNetwork, path: Path, spec: InputSpec) -> None:
    """Write the usual export, to measure beside: image -> action, ONNX's own RNN, LSTM or GRU."""
    image = torch.zeros(1, 3, spec.height, spec.width)
    _write_onnx(OneShot(network).eval(), (image,), path, ['image'], ['action'])


def _write_onnx(module: nn.Module, arguments: Tuple[Tensor, ...], path: Path, inputs: List[str],
                outputs: List[str]) -> None:
    try:
        with warnings.catch_warnings(), torch.inference_mode(), _no_printed_graph():
            # The exporter that needs no further package; torch plans to replace it. Whatever it
            # warns of shows when the file is compared with the network.
            warnings.simplefilter('ignore')
            torch.onnx.export(module, arguments, str(path), dynamo=False, opset_version=OPSET,
                              input_names=inputs, output_names=outputs)
    except (ArithmeticError, AssertionError, AttributeError, LookupError, MemoryError, OSError,
            RuntimeError, TypeError, ValueError) as error:  # the exporter's own are of these
        # After its first sentence come dozens of lines of its graph.
        reason = ' '.join(first_line(error).partition('[Caused by')[0].split())[:200]
        raise BundleError(f'{path.name} cannot be exported: {reason}',
                          'layers and sizes that ONNX supports',
                          'replace the layer that is named') from error


@contextmanager
def _no_printed_graph() -> Iterator[None]:
    """Keep torch's exporter from printing dozens of lines of a graph that it could not write."""
    from torch import _C
    printed = getattr(_C, '_jit_onnx_log', None)  # no public switch suppresses it
    _C._jit_onnx_log = lambda *_: None
    try:
        yield
    finally:
        _C._jit_onnx_log = printed
