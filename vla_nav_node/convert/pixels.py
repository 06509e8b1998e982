"""Let the first convolution read the camera's bytes: they are int8 already, and without loss."""

from typing import Any, Dict, List, Optional, Tuple

import numpy as np
import onnx
from onnx import helper, numpy_helper

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
    image = [one.dim_value for one in graph.input[0].type.tensor_type.shape.dim]
    weight, shape = _in_groups(conv, weight, image)
    _rewrite(graph, conv, zero, (weight, bias), shape)
    return zero


def read_bytes(graph: onnx.GraphProto) -> None:
    """Take out what turns bytes into `pixel - zero point` and that back into bytes."""
    quantised = next(node for node in graph.node
                     if node.op_type == 'QuantizeLinear' and node.input[0] == PIXELS)
    for node in graph.node:
        for index, name in enumerate(node.input):
            if name == quantised.output[0]:
                node.input[index] = BYTES
    _remove_unused(graph)


def _normalisation(graph: onnx.GraphProto, conv: onnx.NodeProto
                   ) -> Optional[Tuple[np.ndarray, np.ndarray]]:
    """Give mean and std of each channel, where the exporter wrote them before `conv`."""
    makers = {name: node for node in graph.node for name in node.output}
    values = {one.name: numpy_helper.to_array(one) for one in graph.initializer}
    values.update({node.output[0]: numpy_helper.to_array(node.attribute[0].t)
                   for node in graph.node if node.op_type == 'Constant'})
    divide = makers.get(conv.input[0])
    subtract = makers.get(divide.input[0]) if divide and divide.op_type == 'Div' else None
    if divide is None or subtract is None or subtract.op_type != 'Sub':
        return None
    mean, std = values[subtract.input[1]].ravel(), values[divide.input[1]].ravel()
    return (mean, std) if len(mean) == len(std) == 3 else None


def _folded(graph: onnx.GraphProto, conv: onnx.NodeProto, offset: np.ndarray,
            std: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
    """Give weights [O, 3, h, w] and bias [O] for pixels less the zero point."""
    constants = {one.name: numpy_helper.to_array(one) for one in graph.initializer}
    weight = constants[conv.input[1]] / std[None, :, None, None]
    bias = -np.einsum('ocij,c->o', weight, offset)
    return weight, bias + (constants[conv.input[2]] if len(conv.input) > 2 else 0)


def _in_groups(conv: onnx.NodeProto, weight: np.ndarray, image: List[int]
               ) -> Tuple[np.ndarray, List[int]]:
    """
    Let a convolution of stride s see s neighbours as one pixel of 3 s channels, with stride 1.

    The bytes lie like that already: [1, H, W, 3] is [1, H, W / s, 3 s]. The kernel, widened with
    zeros to whole groups, then gathers fewer and longer pieces, which takes half of the time.
    """
    told = {one.name: helper.get_attribute_value(one) for one in conv.attribute}
    _, height, width, channels = image
    kernel, pads, step = weight.shape[3], told['pads'], told['strides'][1]
    left, right = -(-pads[1] // step), (kernel - 1 - pads[1]) // step
    across = (width + pads[1] + pads[3] - kernel) // step + 1
    pad_right = across - width // step + right
    if step == 1 or width % step or pad_right < 0 or told.get('group', 1) != 1 \
            or set(told.get('dilations', [1])) != {1}:
        return weight, image
    wide = np.zeros((*weight.shape[:3], (left + right + 1) * step), weight.dtype)
    start = left * step - pads[1]
    wide[..., start:start + kernel] = weight
    filters, _, rows, _ = weight.shape
    parts = wide.reshape(filters, channels, rows, -1, step)  # [O, c, i, j, neighbour]
    _set(conv, kernel_shape=[rows, left + right + 1], strides=[told['strides'][0], 1],
         pads=[pads[0], left, pads[2], pad_right])
    grouped = parts.transpose(0, 4, 1, 2, 3).reshape(filters, step * channels, rows, -1)
    return grouped, [1, height, width // step, channels * step]


def _set(node: onnx.NodeProto, **attributes: Any) -> None:
    kept = [one for one in node.attribute if one.name not in attributes]
    del node.attribute[:]
    node.attribute.extend(kept)
    node.attribute.extend(helper.make_attribute(*item) for item in attributes.items())


def _rewrite(graph: onnx.GraphProto, conv: onnx.NodeProto, zero: int,
             constants: Tuple[np.ndarray, np.ndarray], shape: List[int]) -> None:
    """Put image -> bytes -> pixels -> conv in the place of what was before conv."""
    names = [f'{conv.name}.weight', f'{conv.name}.bias']
    values: Dict[str, np.ndarray] = dict(zip(names, (one.astype(np.float32) for one in constants)))
    values.update({'bytes.shape': np.array(shape, np.int64), 'bytes.zero': np.float32(zero)})
    before = [
        helper.make_node('Reshape', ['image', 'bytes.shape'], ['bytes.rows'], 'bytes.rows'),
        helper.make_node('Transpose', ['bytes.rows'], [BYTES], BYTES, perm=[0, 3, 1, 2]),
        helper.make_node('Cast', [BYTES], ['bytes.float'], 'bytes.float',
                         to=onnx.TensorProto.FLOAT),
        helper.make_node('Sub', ['bytes.float', 'bytes.zero'], [PIXELS], PIXELS)]
    conv.input[0] = PIXELS
    del conv.input[1:]
    conv.input.extend(names)
    nodes = before + list(graph.node)
    del graph.node[:]
    graph.node.extend(nodes)
    graph.initializer.extend(
        numpy_helper.from_array(np.asarray(value), name) for name, value in values.items())
    _remove_unused(graph)


def _remove_unused(graph: onnx.GraphProto) -> None:
    """Remove nodes, from the last on, and then constants, that nobody takes anything from."""
    wanted = {one.name for one in graph.output}
    for node in reversed(list(graph.node)):
        if wanted.isdisjoint(node.output):
            graph.node.remove(node)
        else:
            wanted.update(node.input)
    for one in list(graph.initializer):
        if one.name not in wanted:
            graph.initializer.remove(one)
