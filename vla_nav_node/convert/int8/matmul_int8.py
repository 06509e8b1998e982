"""Quantise the matrix products of a step graph to 8 or 4 bits, in operators that compute so."""

from typing import Any, Dict, List, Optional, Tuple

import numpy as np
import onnx
from onnx import helper, numpy_helper

from .gptq import compensated, scale_of
from .graph_nodes import makers_of, Part

MOST_INT8 = 127
# Weights that share a scale in MatMulNBits. A step of "accurate" in 4 bits, two cores: 2.7 ms of
# products with 128 in a block, 3.3 with 32 (the scales are read too).
BLOCK = 128
INT8_ACTIVATIONS = 4  # MatMulNBits' accuracy_level: multiply in int8, as the 8-bit products do
CONTRIB = 'com.microsoft'
PASSING = ('Flatten', 'Reshape', 'Identity')  # operators that only move numbers
Rounded = Tuple[np.ndarray, np.ndarray]  # weights, scales
Int8Tensor = Tuple[str, str, str]  # the names of an int8 tensor, its scale and its zero point


class MatmulInt8:
    """One product y = x W + b (a Gemm or MatMul with constant W), and its quantised forms."""

    def __init__(self, graph: onnx.GraphProto, node: onnx.NodeProto) -> None:
        """Read the weights: float32 [K, N]."""
        weight = numpy_helper.to_array(next(
            one for one in graph.initializer if one.name == node.input[1]))
        flags = {one.name: helper.get_attribute_value(one) for one in node.attribute}
        self.name, self.x, self.y = node.name, node.input[0], node.output[0]
        self.bias = node.input[2] if len(node.input) > 2 else ''
        self.weight = weight.T if flags.get('transB') else weight
        self.inputs: Optional[np.ndarray] = None  # float32 [S, K]: x on real frames
        self._rounded: Dict[int, Rounded] = {}  # by bits, 0 per column; a search asks often

    def in_columns(self, quantised: Optional[Int8Tensor] = None) -> Part:
        """
        Return the product in 8-bit integers, with a scale for each column of W.

        `quantised` is x in int8, if there is such a tensor already. Otherwise x is quantised by
        its range in every step, which needs no calibration and cannot saturate. ONNX Runtime fuses
        these six nodes into one.
        """
        if 0 not in self._rounded:
            self._rounded[0] = per_column(self.weight)
        names = {part: f'{self.name}.{part}' for part in (
            'weight', 'scale', 'x', 'x_scale', 'x_zero', 'sum', 'float', 'scales', 'product')}
        x, x_scale, x_zero = quantised or (names['x'], names['x_scale'], names['x_zero'])
        nodes = [] if quantised else [
            _node('DynamicQuantizeLinear', [self.x], [x, x_scale, x_zero])]
        nodes += [
            _node('MatMulInteger', [x, names['weight'], x_zero], [names['sum']]),
            _node('Cast', [names['sum']], [names['float']], to=onnx.TensorProto.FLOAT),
            _node('Mul', [x_scale, names['scale']], [names['scales']]),
            _node('Mul', [names['float'], names['scales']],
                  [names['product'] if self.bias else self.y])]
        return self._with_bias(nodes, *self._rounded[0])

    def in_blocks(self, bits: int) -> Part:
        """
        Return the product as ONNX Runtime's MatMulNBits: 4 or 8 bits, a scale for each BLOCK.

        If `inputs` are known, the 4-bit weights are chosen for them (GPTQ).
        """
        if bits not in self._rounded:
            self._rounded[bits] = per_block(self.weight, bits, self.inputs if bits == 4 else None)
        inner, outer = self.weight.shape
        node = _node(
            'MatMulNBits', [self.x, f'{self.name}.weight', f'{self.name}.scale'],
            [f'{self.name}.product' if self.bias else self.y], domain=CONTRIB, K=inner, N=outer,
            bits=bits, block_size=BLOCK, accuracy_level=INT8_ACTIVATIONS)
        node.name += f'.{bits}bits'  # the only place where the runtime's profile shows it
        return self._with_bias([node], *self._rounded[bits])

    def _with_bias(self, nodes: List[onnx.NodeProto], weight: np.ndarray,
                   scale: np.ndarray) -> Part:
        if self.bias:
            nodes = [*nodes, _node('Add', [f'{self.name}.product', self.bias], [self.y])]
        return nodes, [numpy_helper.from_array(weight, f'{self.name}.weight'),
                       numpy_helper.from_array(scale, f'{self.name}.scale')]


def _node(operator: str, inputs: List[str], outputs: List[str],
          **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(operator, inputs, outputs, f'{outputs[0]}.{operator}', **attributes)


def int8_source(nodes: List[onnx.NodeProto], name: str
                ) -> Tuple[List[onnx.NodeProto], Optional[Int8Tensor]]:
    """
    Find the int8 tensor that `name` was dequantised from, if it was only reshaped since.

    Rounding it again, to another scale, would cost accuracy and time. Return the nodes that
    reshape the int8 tensor, and its names; nothing and None if there is none.
    """
    makers = makers_of(nodes)
    passed: List[onnx.NodeProto] = []
    maker = makers.get(name)
    while maker is not None and maker.op_type in PASSING:
        passed.append(maker)
        maker = makers.get(maker.input[0])
    if maker is None or maker.op_type != 'DequantizeLinear':
        return [], None
    tensor, scale, zero = maker.input
    copies = []
    for node in reversed(passed):
        copy = onnx.NodeProto()
        copy.CopyFrom(node)
        copy.name, copy.input[0], copy.output[0] = f'{node.name}.int8', tensor, f'{tensor}.passed'
        tensor = copy.output[0]
        copies.append(copy)
    return copies, (tensor, scale, zero)


def per_column(weight: np.ndarray) -> Rounded:
    """Round float32 [K, N] to int8 and a scale for each column: float32 [N]."""
    scale = scale_of(weight, MOST_INT8)
    return np.ascontiguousarray(np.rint(weight / scale)).astype(np.int8), scale


def per_block(weight: np.ndarray, bits: int, inputs: Optional[np.ndarray] = None) -> Rounded:
    """
    Round float32 [K, N] to 4 or 8 bits with a scale for each BLOCK of a column.

    With `inputs` (float32 [S, K]) the rounding errors are made to cancel on them.

    Return uint8 [N, K / BLOCK, BLOCK * bits / 8], around 8 or 128 and with two of 4 bits to a
    byte, and float32 [N * K / BLOCK]. K is padded with zeros to whole blocks.
    """
    inner, outer = weight.shape
    zero = 1 << bits - 1
    blocks = -(-inner // BLOCK)
    if inputs is None:
        padded = np.zeros((blocks * BLOCK, outer), np.float32)
        padded[:inner] = weight
        scale = scale_of(padded.reshape(blocks, BLOCK, outer), zero - 1)
        rounded = np.rint(padded / np.repeat(scale, BLOCK, axis=0))
    else:
        rounded, scale = compensated(weight, inputs, zero - 1, BLOCK)
    stored = np.full((blocks * BLOCK, outer), zero, np.uint8)
    stored[:inner] = rounded[:inner] + zero
    q = np.ascontiguousarray(stored.T).reshape(outer, blocks, BLOCK)
    return (q if bits == 8 else q[..., 0::2] | q[..., 1::2] << 4), np.ravel(scale.T)
