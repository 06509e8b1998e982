"""Let the first convolution read the camera's bytes: they are int8 already, without loss."""

from typing import Dict, Optional, Tuple

import numpy as np
import onnx
from onnx import helper, numpy_helper

from .graph_nodes import constants_of, makers_of, prepend, remove_unused

FURTHEST = 0.5  # grey levels between a channel's mean and the zero point that stands for it
BYTES, PIXELS, SCALE = 'bytes', 'pixels', 1.0


def fold_normalisation(model: onnx.ModelProto) -> Optional[int]:
    """
    Move (pixel - mean) / std into the first convolution's weights; return the zero point.

    The convolution then takes `pixel - zero point`, which int8 stores as the pixel itself. If
    the channels' means differ, return None and change nothing: a convolution pads all channels
    with one zero point, and the picture's border would change.
    """
    graph = model.graph
    conv = next((node for node in graph.node if node.op_type == 'Conv'), None)
    normalisation = _normalisation(graph, conv) if conv is not None else None
    if conv is None or normalisation is None:
        return None
    mean, std = normalisation
    zero = int(np.clip(np.rint(mean.mean()), 0, 255))
    if np.abs(mean - zero).max() > FURTHEST:
        return None
    constants = constants_of(graph)
    weight = constants[conv.input[1]] / std[None, :, None, None]  # [O, 3, h, w]
    bias = -np.einsum('ocij,c->o', weight, mean - zero)
    if len(conv.input) > 2:
        bias = bias + constants[conv.input[2]]
    _rewrite(graph, conv, zero, {f'{conv.name}.weight': weight, f'{conv.name}.bias': bias})
    return zero


def read_camera_bytes(graph: onnx.GraphProto) -> None:
    """Remove the nodes that turn bytes into `pixel - zero point` and back into bytes."""
    quantised = next(node for node in graph.node
                     if node.op_type == 'QuantizeLinear' and node.input[0] == PIXELS)
    for node in graph.node:
        for index, name in enumerate(node.input):
            if name == quantised.output[0]:
                node.input[index] = BYTES
    remove_unused(graph)


def _normalisation(graph: onnx.GraphProto, conv: onnx.NodeProto
                   ) -> Optional[Tuple[np.ndarray, np.ndarray]]:
    """Return mean and std of each channel if the exporter wrote them right before `conv`."""
    makers = makers_of(graph.node)
    values = constants_of(graph)
    divide = makers.get(conv.input[0])
    subtract = makers.get(divide.input[0]) if divide and divide.op_type == 'Div' else None
    if divide is None or subtract is None or subtract.op_type != 'Sub':
        return None
    mean, std = values[subtract.input[1]].ravel(), values[divide.input[1]].ravel()
    ungrouped = values[conv.input[1]].shape[1] == len(mean) == len(std)
    return (mean, std) if ungrouped else None


def _rewrite(graph: onnx.GraphProto, conv: onnx.NodeProto, zero: int,
             constants: Dict[str, np.ndarray]) -> None:
    """Replace what precedes `conv` by image -> bytes -> pixels."""
    before = [
        helper.make_node('Transpose', ['image'], [BYTES], BYTES, perm=[0, 3, 1, 2]),
        helper.make_node('Cast', [BYTES], ['bytes.float'], 'bytes.float',
                         to=onnx.TensorProto.FLOAT),
        helper.make_node('Sub', ['bytes.float', 'bytes.zero'], [PIXELS], PIXELS)]
    del conv.input[:]
    conv.input.extend([PIXELS, *constants])
    prepend(graph, before)
    graph.initializer.extend(
        numpy_helper.from_array(np.asarray(value, np.float32), name)
        for name, value in (*constants.items(), ('bytes.zero', zero)))
    remove_unused(graph)
