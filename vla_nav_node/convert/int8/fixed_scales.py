"""
Quantise with scales calibrated on frames: quantise / dequantise nodes (QDQ).

TensorRT knows no other int8: it needs all ranges beforehand, symmetric, and float biases. The
int8 graph for CPUs uses fixed scales for its convolutions only.
"""

import logging
from pathlib import Path
import tempfile
from typing import Any, Dict, Iterable, Iterator, Optional

import numpy as np

from ..verify.drift import StepFile
from ...bundle.bundle import Bundle, graph_name

FILE = 'policy.int8.qdq.onnx'
PRODUCTS = ['Conv', 'Gemm', 'MatMul']
CALIBRATION = 2000  # frames at most; 400 instead of 200 took two fifths of the drift away
Feed = Dict[str, np.ndarray]  # the inputs of one step, by name


def write_fixed_scales(bundle: Bundle, frames: np.ndarray, path: Path) -> None:
    """
    Write the step graph of a bundle in int8 with scales calibrated on `frames`.

    `frames` are uint8 [N, H, W, 3] in temporal order. Weights stay float32 in the file, with a
    scale for each output channel: all of TensorRT 8.6 to 11 read that.
    """
    import onnx
    from onnxruntime.quantization import QuantType

    from .graph_nodes import layers_of
    source = bundle.file(graph_name('fp32'))
    layers = [layer.node for layer in layers_of(onnx.load(str(source)))]  # not a pool's products
    path.write_bytes(quantise_static(
        source, _rollout_feeds(source, frames[:CALIBRATION]), op_types_to_quantize=PRODUCTS,
        nodes_to_quantize=layers, activation_type=QuantType.QInt8, weight_type=QuantType.QInt8,
        extra_options={'ActivationSymmetric': True, 'WeightSymmetric': True,
                       'AddQDQPairToWeight': True, 'QuantizeBias': False,
                       # Round outputs only where they enter the next product: the gates add and
                       # multiply in float. That is two fifths less drift.
                       'OpTypesToExcludeOutputQuantization': PRODUCTS}))


def _rollout_feeds(graph: Path, frames: np.ndarray) -> Iterator[Feed]:
    """Yield the inputs of each step of a rollout with carried state."""
    step = StepFile(graph)
    state = step.zero
    for frame in frames:
        yield step.feed(frame[None], state)
        _, state = step.infer(frame[None], state)


def quantise_static(source: Path, feeds: Iterable[Feed], **options: Any) -> bytes:
    """Return the graph at `source` quantised by onnxruntime as QDQ, calibrated on `feeds`."""
    from onnxruntime.quantization import QuantFormat, quantize_static
    logging.disable(logging.WARNING)  # each call repeats advice about larger graphs
    try:
        with tempfile.TemporaryDirectory() as folder:
            target = Path(folder, FILE)
            quantize_static(str(source), str(target), _Reader(feeds), per_channel=True,
                            quant_format=QuantFormat.QDQ, **options)
            return target.read_bytes()
    finally:
        logging.disable(logging.NOTSET)


class _Reader:
    """Feeds one by one, in the form that onnxruntime's calibration asks for."""

    def __init__(self, feeds: Iterable[Feed]) -> None:
        self._feeds = iter(feeds)

    def get_next(self) -> Optional[Feed]:
        return next(self._feeds, None)
