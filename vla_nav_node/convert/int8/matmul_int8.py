"""Matrix products of a step graph with weights of 8 or 4 bits, in the operators that run so."""

from typing import Any, Callable, Dict, List, Optional, Tuple

import numpy as np
import onnx
from onnx import helper, numpy_helper

from .gptq import compensated, scale_of
from ..export.graph_nodes import makers_of, Part

MOST_INT8 = 127
# Weights that share a scale in MatMulNBits. A step of "accurate" in 4 bits, two cores: 2.7 ms of
# products with 128 in a block, 3.3 with 32 (the scales are read too).
BLOCK = 128
INT8_ACTIVATIONS = 4  # MatMulNBits' accuracy_level: multiply in int8, as the 8-bit products do
CONTRIB = 'com.microsoft'
PASSING = ('Flatten', 'Reshape', 'Identity')  # what only moves numbers
Rounded = Tuple[np.ndarray, np.ndarray]  # weights, scales
Held = Tuple[str, str, str]  # tensor of int8, its scale, its zero point


class MatmulInt8:
    """One product y = x W + b (a Gemm or MatMul with constant W), and its quantised forms."""

    def __init__(self, graph: onnx.GraphProto, node: onnx.NodeProto) -> None:
        """Read the weights: float32 [K, N]."""
        constants = {one.name: one for one in graph.initializer}
        self.name, self.x, self.y = node.name, node.input[0], node.output[0]
        self.bias = node.input[2] if len(node.input) > 2 else ''
        weight = numpy_helper.to_array(constants[node.input[1]])
        flags = {one.name: helper.get_attribute_value(one) for one in node.attribute}
        self.weight = weight.T if flags.get('transB') else weight
        self.inputs: Optional[np.ndarray] = None  # float32 [S, K] that x was on real frames
        self._rounded: Dict[int, Rounded] = {}

    def in_columns(self, held: Optional[Held] = None) -> Part:
        """
        Give a product of integers of 8 bits, with a scale for each column of W, in its place.

        `held` is x as it is in int8 already, where it is: (x, scale, zero point). Elsewhere its
        range is taken anew in every step: that needs no calibration and cannot saturate. ONNX
        Runtime fuses these six nodes into one.
        """
        q, scale = self._once(0, per_column)
        names = {part: f'{self.name}.{part}' for part in (
            'weight', 'scale', 'x', 'x_scale', 'x_zero', 'sum', 'float', 'scales', 'product')}
        x, x_scale, x_zero = held or (names['x'], names['x_scale'], names['x_zero'])
        nodes = [] if held else [
            self._node('DynamicQuantizeLinear', [self.x], [x, x_scale, x_zero])]
        nodes += [
            self._node('MatMulInteger', [x, names['weight'], x_zero], [names['sum']]),
            self._node('Cast', [names['sum']], [names['float']], to=onnx.TensorProto.FLOAT),
            self._node('Mul', [x_scale, names['scale']], [names['scales']]),
            self._node('Mul', [names['float'], names['scales']],
                       [names['product'] if self.bias else self.y])]
        return self._with_bias(nodes, names['product']), [
            numpy_helper.from_array(q, names['weight']),
            numpy_helper.from_array(scale, names['scale'])]

    def in_blocks(self, bits: int) -> Part:
        """
        Give ONNX Runtime's MatMulNBits in its place: 4 or 8 bits, a scale for each BLOCK.

        Where `inputs` are known, 4 bits are chosen for those: see compensate.
        """
        packed, scale = self._once(bits, lambda weight: per_block(
            weight, bits, self.inputs if bits == 4 else None))
        names = {part: f'{self.name}.{part}' for part in ('weight', 'scale', 'product')}
        inner, outer = self.weight.shape
        nodes = [self._node(
            'MatMulNBits', [self.x, names['weight'], names['scale']],
            [names['product'] if self.bias else self.y], domain=CONTRIB, K=inner, N=outer,
            bits=bits, block_size=BLOCK, accuracy_level=INT8_ACTIVATIONS)]
        nodes[0].name += f'.{bits}bits'  # a profile of the runtime tells that in no other way
        return self._with_bias(nodes, names['product']), [
            numpy_helper.from_array(packed, names['weight']),
            numpy_helper.from_array(scale, names['scale'])]

    def _once(self, key: int, rounding: Callable[[np.ndarray], Rounded]) -> Rounded:
        """Round the weights, unless that was done before; a search asks often."""
        if key not in self._rounded:
            self._rounded[key] = rounding(self.weight)
        return self._rounded[key]

    def _with_bias(self, nodes: List[onnx.NodeProto], product: str) -> List[onnx.NodeProto]:
        if not self.bias:
            return nodes
        return [*nodes, self._node('Add', [product, self.bias], [self.y])]

    def _node(self, operator: str, inputs: List[str], outputs: List[str],
              **attributes: Any) -> onnx.NodeProto:
        return helper.make_node(operator, inputs, outputs, f'{outputs[0]}.{operator}',
                                **attributes)


def held_in_int8(nodes: List[onnx.NodeProto], name: str
                 ) -> Tuple[List[onnx.NodeProto], Optional[Held]]:
    """
    Find tensor `name` as int8, where a calibrated layer made it and it was only reshaped since.

    Rounding it a second time, in other steps, would cost accuracy and time. Give the nodes that
    reshape it as int8, and its names; nothing and None where there is no such thing.
    """
    makers = makers_of(nodes)
    passed: List[onnx.NodeProto] = []
    maker = makers.get(name)
    while maker is not None and maker.op_type in PASSING:
        passed.append(maker)
        maker = makers.get(maker.input[0])
    if maker is None or maker.op_type != 'DequantizeLinear':
        return [], None
    held, *about = maker.input
    added = []
    for node in reversed(passed):
        copy = onnx.NodeProto()
        copy.CopyFrom(node)
        copy.name, copy.input[0], copy.output[0] = f'{node.name}.int8', held, f'{held}.passed'
        held = copy.output[0]
        added.append(copy)
    return added, (held, about[0], about[1])


def per_column(weight: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
    """Round float32 [K, N] to int8 and a scale for each column: float32 [N]."""
    scale = scale_of(weight, MOST_INT8)
    return np.ascontiguousarray(np.rint(weight / scale)).astype(np.int8), scale


def per_block(weight: np.ndarray, bits: int, inputs: Optional[np.ndarray] = None) -> Rounded:
    """
    Round float32 [K, N] to 4 or 8 bits with a scale for each BLOCK of a column.

    With `inputs` (float32 [S, K]) the rounding errors are made to cancel on them.

    Give uint8 [N, K / BLOCK, BLOCK * bits / 8], around 8 or 128 and with two of 4 bits to a byte,
    and float32 [N * K / BLOCK]. K is padded with zeros to whole blocks.
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
