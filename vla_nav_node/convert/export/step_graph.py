"""Write a network as its step graph: one time step, the cell as plain matrix products."""

from copy import deepcopy
from pathlib import Path
from typing import List, Tuple
import warnings

import torch
from torch import nn, Tensor

from ..int8.quiet_library import no_printed_graph
from ...backends.torch.network import as_half, PolicyNetwork, StepGraph
from ...errors import BundleError, first_line
from ...vision.preprocess import InputSpec

OPSET = 17  # the newest that ONNX Runtime 1.13 and TensorRT 8.6 read
PRECISIONS = ('fp32', 'fp16')  # int8 is made from the fp32 graph: see quantize


def export_onnx(network: PolicyNetwork, path: Path, spec: InputSpec,
                precision: str = 'fp32') -> None:
    """
    Write the step graph: image, h_in (, c_in) -> action, h_out (, c_out).

    All of these but the image are float32, in either precision. Raise BundleError if the exporter
    cannot write the network.
    """
    half = precision == 'fp16'
    graph = StepGraph(as_half(deepcopy(network)) if half else network).eval()
    names = ['h', 'c'][:len(network.zero_state())]
    image = torch.zeros(spec.shape, dtype=torch.uint8)
    write_onnx(graph, (image, *network.zero_state()), path,
               ['image', *(f'{n}_in' for n in names)], ['action', *(f'{n}_out' for n in names)])


def write_onnx(module: nn.Module, arguments: Tuple[Tensor, ...], path: Path, inputs: List[str],
               outputs: List[str]) -> None:
    """Trace a module with these arguments into a file, or raise BundleError."""
    try:
        with warnings.catch_warnings(), torch.inference_mode(), no_printed_graph():
            # The exporter that needs no further package; torch means to replace it some day. What
            # it warns of shows where the file is held against the network.
            warnings.simplefilter('ignore')
            torch.onnx.export(module, arguments, str(path), dynamo=False, opset_version=OPSET,
                              input_names=inputs, output_names=outputs)
    except (ArithmeticError, AssertionError, AttributeError, LookupError, MemoryError, OSError,
            RuntimeError, TypeError, ValueError) as error:  # the exporter's own are of these
        raise BundleError(f'{path.name} cannot be exported: {_reason(error)}',
                          'layers and sizes that ONNX has',
                          'replace the layer that is named') from error


def _reason(error: Exception) -> str:
    """Return what the exporter says first; behind that come dozens of lines of its graph."""
    return ' '.join(first_line(error).partition('[Caused by')[0].split())[:200]
