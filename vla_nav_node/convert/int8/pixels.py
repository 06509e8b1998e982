"""Let the first convolution read the camera's bytes: they are int8 already, and without loss."""

from typing import Dict, Optional, Tuple

import numpy as np
import onnx
from onnx import helper, numpy_helper

from ..export.graph_nodes import constants_of, makers_of, put_first, remove_unused

FURTHEST = 0.5  # grey levels between a channel's mean and the zero point that stands for it
BYTES, PIXELS, SCALE = 'bytes', 'pixels', 1.0


def take_bytes(model: onnx.ModelProto) -> Optional[int]:
    """
    Move (pixel - mean) / std into the first convolution's weights, and give the zero point.

    The convolution then takes `pixel - zero point`, which int8 stores as the pixel itself. Where
    the channels' means are apart this cannot be: a convolution pads all channels with the one
    zero point, and the border of the picture would be another. None then, and nothing is changed.
    """
    graph = model.graph
    conv = next((node for node in graph.node if node.op_type == 'Conv'), None)
    found = _normalisation(graph, conv) if conv is not None else None
    if conv is None or found is None:
        return None
    mean, std = found
    zero = int(np.clip(np.rint(mean.mean()), 0, 255))
    if np.abs(mean - zero).max() > FURTHEST:
        return None
    weight, bias = _folded(graph, conv, mean - zero, std)
    _rewrite(graph, conv, zero, {f'{conv.name}.weight': weight, f'{conv.name}.bias': bias})
    return zero


def read_bytes(graph: onnx.GraphProto) -> None:
    """Take out what turns bytes into `pixel - zero point` and that back into bytes."""
    quantised = next(node for node in graph.node
                     if node.op_type == 'QuantizeLinear' and node.input[0] == PIXELS)
    for node in graph.node:
        for index, name in enumerate(node.input):
            if name == quantised.output[0]:
                node.input[index] = BYTES
    remove_unused(graph)


def _normalisation(graph: onnx.GraphProto, conv: onnx.NodeProto
                   ) -> Optional[Tuple[np.ndarray, np.ndarray]]:
    """Return mean and std of each channel, where the exporter wrote them before `conv`."""
    makers = makers_of(graph.node)
    values = constants_of(graph)
    divide = makers.get(conv.input[0])
    subtract = makers.get(divide.input[0]) if divide and divide.op_type == 'Div' else None
    if divide is None or subtract is None or subtract.op_type != 'Sub':
        return None
    mean, std = values[subtract.input[1]].ravel(), values[divide.input[1]].ravel()
    whole = values[conv.input[1]].shape[1] == len(mean) == len(std)  # not one in groups
    return (mean, std) if whole else None


def _folded(graph: onnx.GraphProto, conv: onnx.NodeProto, offset: np.ndarray,
            std: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
    """Return weights [O, 3, h, w] and bias [O] for pixels less the zero point."""
    constants = constants_of(graph)
    weight = constants[conv.input[1]] / std[None, :, None, None]
    bias = -np.einsum('ocij,c->o', weight, offset)
    return weight, bias + (constants[conv.input[2]] if len(conv.input) > 2 else 0)


def _rewrite(graph: onnx.GraphProto, conv: onnx.NodeProto, zero: int,
             constants: Dict[str, np.ndarray]) -> None:
    """Put image -> bytes -> pixels -> conv in the place of what was before conv."""
    before = [
        helper.make_node('Transpose', ['image'], [BYTES], BYTES, perm=[0, 3, 1, 2]),
        helper.make_node('Cast', [BYTES], ['bytes.float'], 'bytes.float',
                         to=onnx.TensorProto.FLOAT),
        helper.make_node('Sub', ['bytes.float', 'bytes.zero'], [PIXELS], PIXELS)]
    del conv.input[:]
    conv.input.extend([PIXELS, *constants])
    put_first(graph, before)
    graph.initializer.extend(
        numpy_helper.from_array(np.asarray(value, np.float32), name)
        for name, value in (*constants.items(), ('bytes.zero', zero)))
    remove_unused(graph)
