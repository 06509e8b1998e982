"""The layers with weights in a step graph, under the names that they have in the network."""

from dataclasses import dataclass
import math
import re
from typing import Dict, Iterable, List, Sequence, Tuple

import numpy as np
import onnx
from onnx import numpy_helper

CONVOLUTION, PRODUCT = 'convolution', 'product'
Part = Tuple[List[onnx.NodeProto], List[onnx.TensorProto]]  # nodes, and the constants they take
KINDS = {'Conv': CONVOLUTION, 'Gemm': PRODUCT, 'MatMul': PRODUCT}


@dataclass(frozen=True)
class Layer:
    """One convolution or matrix product."""

    name: str  # vision_encoder.0, rnn.weight_hh_l0, actions.2
    node: str  # the node's name in the graph
    kind: str
    weights: int  # how many
    recurrent: bool


def layers_of(model: onnx.ModelProto) -> List[Layer]:
    """List them in the graph's order."""
    constants = {one.name: one for one in model.graph.initializer}
    return [_layer(node, constants) for node in model.graph.node
            if node.op_type in KINDS and node.input[1] in constants]


def _layer(node: onnx.NodeProto, constants: Dict[str, onnx.TensorProto]) -> Layer:
    weights = math.prod(constants[node.input[1]].dims)
    module = node.name.split('/')[-2]  # that of the step graph itself, the cell, has no name
    return Layer(_name(node, module), node.name, KINDS[node.op_type], weights, not module)


def _name(node: onnx.NodeProto, module: str) -> str:
    """
    Name a layer as its weights are named in the checkpoint, or as its module is.

    The exporter names a constant after its parameter unless it was folded with something else.
    """
    constant = re.fullmatch(r'network\.(.+?)(\.weight)?', node.input[1])
    return constant[1] if constant else module or f'rnn{node.name}'


def split(model: onnx.ModelProto) -> Tuple[List[onnx.NodeProto], List[onnx.NodeProto], str]:
    """
    Part the nodes into the convolutions with what lies between them, and the rest.

    Give both, and the tensor that leads from one to the other: what the first product takes.
    """
    products = {layer.node for layer in layers_of(model) if layer.kind == PRODUCT}
    border = next(node.input[0] for node in model.graph.node if node.name in products)
    makers = makers_of(model.graph.node)
    wanted, front = [border], set()
    while wanted:
        name = wanted.pop()
        if name in makers and name not in front:
            front.update(makers[name].output)
            wanted += makers[name].input
    return ([node for node in model.graph.node if node.output[0] in front],
            [node for node in model.graph.node if node.output[0] not in front], border)


def makers_of(nodes: Iterable[onnx.NodeProto]) -> Dict[str, onnx.NodeProto]:
    """Return the node that each tensor comes from, by the tensor's name."""
    return {name: node for node in nodes for name in node.output}


def put_first(graph: onnx.GraphProto, nodes: Sequence[onnx.NodeProto]) -> None:
    """Put nodes before all that a graph has: nodes come after what they take."""
    for node in reversed(nodes):
        graph.node.insert(0, node)


def constants_of(graph: onnx.GraphProto) -> Dict[str, np.ndarray]:
    """Return the values that are in a graph, however the exporter wrote them."""
    values = {one.name: numpy_helper.to_array(one) for one in graph.initializer}
    values.update({node.output[0]: numpy_helper.to_array(node.attribute[0].t)
                   for node in graph.node if node.op_type == 'Constant'})
    return values


def remove_unused(graph: onnx.GraphProto) -> None:
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
