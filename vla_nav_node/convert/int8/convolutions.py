"""Quantise the convolutions of a step graph to int8, calibrated on real frames."""

from pathlib import Path
import tempfile
from typing import Any, Dict, FrozenSet, List

import numpy as np
import onnx
from onnx import helper, numpy_helper

from .fixed_scales import quantise_static
from .graph_nodes import Part
from .pixel_blocks import read_blocks
from .pixels import fold_normalisation, PIXELS, read_camera_bytes, SCALE

BETWEEN = ('Relu', 'MaxPool')  # quantised too: they pass int8 on unchanged


class Convolutions:
    """The front of a step graph, up to its first matrix product, and its quantised forms."""

    def __init__(self, model: onnx.ModelProto, nodes: List[onnx.NodeProto], border: str,
                 frames: np.ndarray) -> None:
        """Take the `nodes` that end in the tensor `border`, and the calibration frames."""
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
        """Return the front's nodes and constants with the convolutions named `nodes` in int8."""
        if not nodes:
            return list(self._model.graph.node), list(self._model.graph.initializer)
        if nodes not in self._made:
            self._made[nodes] = self._quantise(nodes)
        return self._made[nodes]

    def _quantise(self, nodes: FrozenSet[str]) -> Part:
        from onnxruntime.quantization import QuantType
        model = onnx.ModelProto()
        model.CopyFrom(self._model)
        convolutions = [node.name for node in model.graph.node if node.op_type == 'Conv']
        zero = fold_normalisation(model) if convolutions[0] in nodes else None
        options: Dict[str, Any] = {} if zero is None else {'TensorQuantOverrides': {PIXELS: [
            {'scale': np.array(SCALE, np.float32), 'zero_point': np.array(zero, np.uint8)}]}}
        floats = [name for name in convolutions if name not in nodes]
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder, 'float.onnx')
            onnx.save(model, str(source))
            graph = onnx.load_from_string(quantise_static(
                source, ({'image': frame[None]} for frame in self._frames),
                op_types_to_quantize=['Conv', *BETWEEN], nodes_to_exclude=floats,
                activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8,
                extra_options=options)).graph
        if zero is not None:
            read_camera_bytes(graph)
        if convolutions[0] in nodes:
            read_blocks(graph)
        _keep_float(graph, floats)
        return list(graph.node), list(graph.initializer)


def _keep_float(graph: onnx.GraphProto, names: List[str]) -> None:
    """
    Keep the convolutions called `names` float, even behind an int8 neighbour.

    Between two int8 ones ONNX Runtime would quantise a float convolution by itself, and worse:
    with one scale for all filters. It does not look past a Max, not even with the lowest number.
    """
    dequantised = {node.output[0] for node in graph.node if node.op_type == 'DequantizeLinear'}
    guarded = [node for node in graph.node
               if node.name in names and node.input[0] in dequantised]
    if not guarded:
        return
    lowest = numpy_helper.from_array(np.finfo(np.float32).min, 'lowest')
    graph.initializer.append(lowest)
    for node in guarded:
        output, node.output[0] = node.output[0], f'{node.output[0]}.float'
        graph.node.insert(list(graph.node).index(node) + 1, helper.make_node(
            'Max', [node.output[0], lowest.name], [output], f'{node.name}.Max'))
