"""Typical damage to a step graph by faulty conversions; each function changes a model."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper


def weights_of(bundle: Any) -> dict:
    """Return the trained weights of a bundle by name."""
    from safetensors.numpy import load_file
    return load_file(bundle.file('policy.safetensors'))


def alter(model: onnx.ModelProto, wanted: np.ndarray, change: Any) -> None:
    """Change the initializer that holds these weights, transposed or not."""
    for initializer in model.graph.initializer:
        found = numpy_helper.to_array(initializer)
        for turned in (False, True):
            if np.array_equal(found.T if turned else found, wanted):
                value = change(wanted.copy())
                value = np.ascontiguousarray(value.T if turned else value)
                initializer.CopyFrom(numpy_helper.from_array(value, initializer.name))
                return
    raise AssertionError(f'no initializer holds these {wanted.shape} weights')


def scale_a_matrix(model: onnx.ModelProto, weights: dict, name: str = 'rnn.weight_ih_l0') -> None:
    """Scale one weight matrix by 1.05."""
    alter(model, weights[name], lambda matrix: matrix * np.float32(1.05))


def forget_a_bias(model: onnx.ModelProto, weights: dict) -> None:
    """Zero the bias of the LSTM's forget gate, the second of four; torch has two biases a gate."""
    hidden = weights['rnn.weight_hh_l0'].shape[1]

    def zero(bias: np.ndarray) -> np.ndarray:
        bias[hidden:2 * hidden] = 0
        return bias
    for name in ('rnn.bias_ih_l0', 'rnn.bias_hh_l0'):
        alter(model, weights[name], zero)


def drop_the_state(model: onnx.ModelProto, weights: dict) -> None:
    """Read zeros instead of the state."""
    for value in model.graph.input[1:]:
        shape = [dim.dim_value for dim in value.type.tensor_type.shape.dim]
        zero = numpy_helper.from_array(np.zeros(shape, np.float32), f'no_{value.name}')
        model.graph.initializer.append(zero)
        for node in model.graph.node:
            node.input[:] = [zero.name if name == value.name else name for name in node.input]


def swap_channels(model: onnx.ModelProto, weights: dict) -> None:
    """Swap red and blue."""
    alter(model, weights['vision_encoder.0.weight'], lambda kernel: kernel[:, ::-1])


def normalise_twice(model: onnx.ModelProto, weights: dict) -> None:
    """Subtract the mean and divide by the deviation once more, before the first convolution."""
    nodes = model.graph.node
    number, conv = next((number, node) for number, node in enumerate(nodes)
                        if node.op_type == 'Conv')
    divided = next(node for node in nodes if node.output[0] == conv.input[0])
    less = next(node for node in nodes if node.output[0] == divided.input[0])
    assert (less.op_type, divided.op_type) == ('Sub', 'Div')
    nodes.insert(number, helper.make_node('Div', ['less_again', divided.input[1]], ['again']))
    nodes.insert(number, helper.make_node('Sub', [conv.input[0], less.input[1]], ['less_again']))
    conv.input[0] = 'again'


def quantise(source: Path, target: Path) -> None:
    """Quantise the matrix products, with a scale for each column of the weights."""
    from onnxruntime.quantization import quantize_dynamic, QuantType
    quantize_dynamic(source, target, op_types_to_quantize=['MatMul', 'Gemm'],
                     weight_type=QuantType.QInt8, per_channel=True)


def saturate(model: onnx.ModelProto, weights: dict, name: str = 'rnn.weight_ih_l0') -> None:
    """Quantise one matrix to a fifth of its range, and clip the rest."""
    found = {one.name: one for one in model.graph.initializer}
    for key, initializer in found.items():
        kept = numpy_helper.to_array(initializer)
        matrix = weights[name]
        if not key.endswith('_quantized') or kept.shape not in (matrix.shape, matrix.T.shape):
            continue
        scale = np.abs(matrix).max() / 127 / 5
        clipped = np.clip(np.rint(matrix / scale), -127, 127).astype(np.int8)
        turned = clipped if kept.shape == matrix.shape else np.ascontiguousarray(clipped.T)
        initializer.CopyFrom(numpy_helper.from_array(turned, key))
        scale_name = key.replace('_quantized', '_scale')
        found[scale_name].CopyFrom(numpy_helper.from_array(
            np.full(numpy_helper.to_array(found[scale_name]).shape, scale, np.float32),
            scale_name))
        return
    raise AssertionError(f'no quantised {name}')


DAMAGES = {damage.__name__: damage for damage in (
    scale_a_matrix, forget_a_bias, drop_the_state, swap_channels, normalise_twice)}
