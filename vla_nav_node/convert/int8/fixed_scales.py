"""
The int8 step graph with fixed scales: quantise / dequantise nodes, the only int8 of TensorRT.

`vla_nav quantize` makes int8 for CPUs, whose products take the range of their input anew in every
step; TensorRT wants all ranges beforehand, symmetric ones, and biases left alone.
"""

from pathlib import Path
import tempfile
from typing import Dict, Iterator, Optional

import numpy as np

from .quiet_library import silence
from .trial import StepFile
from ...bundle.bundle import Bundle, graph_name

FILE = 'policy.int8.qdq.onnx'
PRODUCTS = ['Conv', 'Gemm', 'MatMul']
CALIBRATION = 2000  # frames at most; 400 instead of 200 took two fifths of the drift away


def write_fixed_scales(bundle: Bundle, frames: np.ndarray, path: Path) -> None:
    """
    Write the step graph of a bundle in int8 with scales calibrated on `frames`.

    `frames` are uint8 [N, H, W, 3] in temporal order. Weights stay float32 in the file, with a
    scale for each output channel: that is how all of TensorRT 8.6 to 11 read them.
    """
    import onnx
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static

    from ..export.graph_nodes import layers_of
    source = bundle.file(graph_name('fp32'))
    layers = [layer.node for layer in layers_of(onnx.load(str(source)))]  # not a pool's products
    with tempfile.TemporaryDirectory() as folder, silence():
        written = Path(folder, FILE)
        quantize_static(
            str(source), str(written), _Drive(source, frames[:CALIBRATION]),
            quant_format=QuantFormat.QDQ, op_types_to_quantize=PRODUCTS,
            nodes_to_quantize=layers, per_channel=True,
            activation_type=QuantType.QInt8, weight_type=QuantType.QInt8,
            extra_options={'ActivationSymmetric': True, 'WeightSymmetric': True,
                           'AddQDQPairToWeight': True, 'QuantizeBias': False,
                           # What comes out is rounded only where it goes into the next product:
                           # the gates add and multiply in float. Two fifths less drift.
                           'OpTypesToExcludeOutputQuantization': PRODUCTS})
        path.write_bytes(written.read_bytes())


class _Drive:
    """Hand out the inputs of one step after the other, with the state that is carried along."""

    def __init__(self, graph: Path, frames: np.ndarray) -> None:
        self._step = StepFile(graph)
        self._state = self._step.zero
        self._frames: Iterator[np.ndarray] = iter(frames)

    def get_next(self) -> Optional[Dict[str, np.ndarray]]:
        """Return the next step's inputs, None after the last."""
        frame = next(self._frames, None)
        if frame is None:
            return None
        feed = self._step.feed(frame, self._state)
        _, self._state = self._step(frame, self._state)
        return feed
