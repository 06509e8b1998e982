"""Convolutions of a step graph in int8, calibrated on real frames by onnxruntime.quantization."""

from pathlib import Path
import tempfile
from typing import Any, Dict, FrozenSet, Iterator, List, Optional

import numpy as np
import onnx
from onnx import helper, numpy_helper

from .pixel_blocks import read_blocks
from .pixels import PIXELS, read_bytes, SCALE, take_bytes
from .quiet_library import silence
from ..export.graph_nodes import Part

BETWEEN = ('Relu', 'MaxPool')  # taken along: they pass on int8 as it is


class Convolutions:
    """The front of a step graph, up to its first matrix product, and its quantised forms."""

    def __init__(self, model: onnx.ModelProto, nodes: List[onnx.NodeProto], border: str,
                 frames: np.ndarray) -> None:
        """Take the `nodes` that end in the tensor `border`, and the frames to calibrate on."""
        used = {name for node in nodes for name in node.input}
        constants = [one for one in model.graph.initializer if one.name in used]
        image = next(one for one in model.graph.input if one.name == 'image')
        end = helper.make_tensor_value_info(border, onnx.TensorProto.FLOAT, None)
        graph = helper.make_graph(nodes, 'front', [image], [end], constants)
        self._model = helper.make_model(graph, opset_imports=model.opset_import,
                                        ir_version=model.ir_version)
        self._frames = frames
        self._made: Dict[FrozenSet[str], Part] = {}

    def quantised(self, nodes: FrozenSet[str]) -> Part:
        """Return the nodes and constants with the convolutions called `nodes` in int8."""
        if not nodes:
            return list(self._model.graph.node), list(self._model.graph.initializer)
        if nodes not in self._made:
            self._made[nodes] = self._quantise(nodes)
        return self._made[nodes]

    def _quantise(self, nodes: FrozenSet[str]) -> Part:
        """Write scales and zero points around them (QDQ), as runtimes read them."""
        from onnxruntime.quantization import QuantFormat, QuantType, quantize_static
        model, options = onnx.ModelProto(), {}
        model.CopyFrom(self._model)
        first = next(node.name for node in model.graph.node if node.op_type == 'Conv')
        zero = take_bytes(model) if first in nodes else None
        if zero is not None:
            options = {'TensorQuantOverrides': {PIXELS: [
                {'scale': np.array(SCALE, np.float32), 'zero_point': np.array(zero, np.uint8)}]}}
        others = [node.name for node in self._model.graph.node
                  if node.op_type == 'Conv' and node.name not in nodes]
        with tempfile.TemporaryDirectory() as folder, silence():
            before, after = Path(folder, 'float.onnx'), Path(folder, 'int8.onnx')
            onnx.save(model, str(before))
            quantize_static(
                str(before), str(after), _Reader(self._frames), quant_format=QuantFormat.QDQ,
                op_types_to_quantize=['Conv', *BETWEEN], nodes_to_exclude=others,
                per_channel=True, activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8,
                extra_options=options)
            graph = onnx.load(str(after)).graph
        if zero is not None:
            read_bytes(graph)
        if first in nodes:
            read_blocks(graph)
        dequantised = {node.output[0] for node in graph.node if node.op_type == 'DequantizeLinear'}
        _keep_float(graph, [node.name for node in graph.node if node.name in others
                            and node.input[0] in dequantised])
        return list(graph.node), list(graph.initializer)


def _keep_float(graph: onnx.GraphProto, names: List[str]) -> None:
    """
    Have the convolutions called `names` computed in float between int8 neighbours too.

    Between two of these ONNX Runtime quantises a float convolution by itself, and worse: with one
    scale for all filters. It does not look past a Max, not even one with the lowest number.
    """
    lowest = numpy_helper.from_array(np.finfo(np.float32).min, 'lowest')
    floats = [node for node in graph.node if node.name in names]
    for node in floats:
        output, node.output[0] = node.output[0], f'{node.output[0]}.float'
        graph.node.insert(list(graph.node).index(node) + 1, helper.make_node(
            'Max', [node.output[0], lowest.name], [output], f'{node.name}.Max'))
    if floats:
        graph.initializer.append(lowest)


class _Reader:
    """Hand out frames one by one, as onnxruntime's calibration asks for them."""

    def __init__(self, frames: np.ndarray) -> None:
        self._frames: Iterator[np.ndarray] = iter(frames)

    def get_next(self) -> Optional[Dict[str, Any]]:
        frame = next(self._frames, None)
        return None if frame is None else {'image': frame[None]}
