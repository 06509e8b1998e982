"""Matrix products of a step graph with weights of 8 or 4 bits, in the operators that run so."""

from typing import Any, Dict, List, Tuple

import numpy as np
import onnx
from onnx import helper, numpy_helper

MOST_INT8 = 127.0
BLOCK = 32  # weights that share a scale in 4 bits: MatMulNBits' usual, and its quickest here
MOST_INT4, ZERO_INT4 = 7.0, 8  # stored as 1 to 15 around 8
INT8_ACTIVATIONS = 4  # MatMulNBits' accuracy_level: multiply in int8, as the 8-bit products do
CONTRIB = 'com.microsoft'


class Product:
    """One product y = x W + b (a Gemm or MatMul with constant W), and its quantised forms."""

    def __init__(self, graph: onnx.GraphProto, node: onnx.NodeProto) -> None:
        """Read the weights: float32 [K, N]."""
        constants = {one.name: one for one in graph.initializer}
        self.name, self.x, self.y = node.name, node.input[0], node.output[0]
        self.bias = node.input[2] if len(node.input) > 2 else ''
        weight = numpy_helper.to_array(constants[node.input[1]])
        flags = {one.name: helper.get_attribute_value(one) for one in node.attribute}
        self.weight = weight.T if flags.get('transB') else weight
        self._made: Dict[int, Tuple[List[Any], List[Any]]] = {}

    def quantised(self, bits: int) -> Tuple[List[onnx.NodeProto], List[onnx.TensorProto]]:
        """Give the nodes and constants that take the product's place; made once."""
        if bits not in self._made:
            self._made[bits] = self._in_8_bits() if bits == 8 else self._in_4_bits()
        return self._made[bits]

    def _in_8_bits(self) -> Tuple[List[onnx.NodeProto], List[onnx.TensorProto]]:
        """
        Write it as a product of integers, with a scale for each column of W.

        The range of x is taken anew in every step: it needs no calibration and cannot saturate.
        ONNX Runtime fuses these six nodes into one.
        """
        q, scale = per_column(self.weight)
        names = {part: f'{self.name}.{part}' for part in (
            'weight', 'scale', 'x', 'x_scale', 'x_zero', 'sum', 'float', 'scales', 'product')}
        nodes = [
            self._node('DynamicQuantizeLinear', [self.x],
                       [names['x'], names['x_scale'], names['x_zero']]),
            self._node('MatMulInteger', [names['x'], names['weight'], names['x_zero']],
                       [names['sum']]),
            self._node('Cast', [names['sum']], [names['float']], to=onnx.TensorProto.FLOAT),
            self._node('Mul', [names['x_scale'], names['scale']], [names['scales']]),
            self._node('Mul', [names['float'], names['scales']],
                       [names['product'] if self.bias else self.y])]
        return self._with_bias(nodes, names['product']), [
            numpy_helper.from_array(q, names['weight']),
            numpy_helper.from_array(scale, names['scale'])]

    def _in_4_bits(self) -> Tuple[List[onnx.NodeProto], List[onnx.TensorProto]]:
        """Write it as ONNX Runtime's MatMulNBits, with a scale for every 32 weights."""
        packed, scale = per_block(self.weight)
        names = {part: f'{self.name}.{part}' for part in ('weight', 'scale', 'product')}
        inner, outer = self.weight.shape
        nodes = [self._node(
            'MatMulNBits', [self.x, names['weight'], names['scale']],
            [names['product'] if self.bias else self.y], domain=CONTRIB, K=inner, N=outer,
            bits=4, block_size=BLOCK, accuracy_level=INT8_ACTIVATIONS)]
        return self._with_bias(nodes, names['product']), [
            numpy_helper.from_array(packed, names['weight']),
            numpy_helper.from_array(scale, names['scale'])]

    def _with_bias(self, nodes: List[onnx.NodeProto], product: str) -> List[onnx.NodeProto]:
        if not self.bias:
            return nodes
        return [*nodes, self._node('Add', [product, self.bias], [self.y])]

    def _node(self, operator: str, inputs: List[str], outputs: List[str],
              **attributes: Any) -> onnx.NodeProto:
        return helper.make_node(operator, inputs, outputs, f'{outputs[0]}.{operator}',
                                **attributes)


def per_column(weight: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
    """Round float32 [K, N] to int8 and a scale for each column: float32 [N]."""
    scale = np.abs(weight).max(axis=0) / MOST_INT8
    scale = np.where(scale > 0, scale, 1).astype(np.float32)
    return np.ascontiguousarray(np.rint(weight / scale)).astype(np.int8), scale


def per_block(weight: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
    """
    Round float32 [K, N] to 4 bits, two to a byte: uint8 [N, K / 32, 16], float32 [N * K / 32].

    K is padded with zeros to whole blocks.
    """
    inner, outer = weight.shape
    padded = np.zeros((outer, -(-inner // BLOCK) * BLOCK), np.float32)
    padded[:, :inner] = weight.T
    blocks = padded.reshape(outer, -1, BLOCK)
    scale = np.abs(blocks).max(axis=2, keepdims=True) / MOST_INT4
    scale = np.where(scale > 0, scale, 1).astype(np.float32)
    q = (np.rint(blocks / scale) + ZERO_INT4).astype(np.uint8)
    return q[..., 0::2] | q[..., 1::2] << 4, scale.ravel()
