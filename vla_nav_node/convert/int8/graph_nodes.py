"""Find and edit the nodes of a step graph; name its layers as the network names them."""

from dataclasses import dataclass
import math
import re
from typing import Dict, Iterable, List, Sequence, Tuple

import numpy as np
import onnx
from onnx import numpy_helper

CONVOLUTION, PRODUCT = 'convolution', 'product'
Part = Tuple[List[onnx.NodeProto], List[onnx.TensorProto]]  # nodes, and the constants they use
KINDS = {'Conv': CONVOLUTION, 'Gemm': PRODUCT, 'MatMul': PRODUCT}


@dataclass(frozen=True)
class Layer:
    """One convolution or matrix product with constant weights."""

    name: str  # vision_encoder.0, rnn.weight_hh_l0, actions.2
    node: str  # the node's name in the graph
    kind: str
    weights: int  # how many
    recurrent: bool


def layers_of(model: onnx.ModelProto) -> List[Layer]:
    """Return the layers in the graph's order."""
    constants = {one.name: one for one in model.graph.initializer}
    layers = []
    for node in model.graph.node:
        if node.op_type in KINDS and node.input[1] in constants:
            module = node.name.split('/')[-2]  # empty for the step graph itself: the cell
            layers.append(Layer(
                _layer_name(node, module), node.name, KINDS[node.op_type],
                math.prod(constants[node.input[1]].dims), recurrent=not module))
    return layers


def _layer_name(node: onnx.NodeProto, module: str) -> str:
    """
    Return the name of the layer's weights in the checkpoint, else that of its module.

    The exporter names a constant after its parameter unless it was folded with something else.
    """
    constant = re.fullmatch(r'network\.(.+?)(\.weight)?', node.input[1])
    return constant[1] if constant else module or f'rnn{node.name}'


def split_at_product(model: onnx.ModelProto
                     ) -> Tuple[List[onnx.NodeProto], List[onnx.NodeProto], str]:
    """
    Split the nodes into those that the first product depends on, and the rest.

    Return both, and the tensor between them: the first product's input.
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
    """Return the node that makes each tensor, by the tensor's name."""
    return {name: node for node in nodes for name in node.output}


def prepend(graph: onnx.GraphProto, nodes: Sequence[onnx.NodeProto]) -> None:
    """Insert nodes before all others: a graph lists nodes after those whose outputs they use."""
    for node in reversed(nodes):
        graph.node.insert(0, node)


def constants_of(graph: onnx.GraphProto) -> Dict[str, np.ndarray]:
    """Return the graph's constants by name, both initializers and Constant nodes."""
    values = {one.name: numpy_helper.to_array(one) for one in graph.initializer}
    values.update({node.output[0]: numpy_helper.to_array(node.attribute[0].t)
                   for node in graph.node if node.op_type == 'Constant'})
    return values


def remove_unused(graph: onnx.GraphProto) -> None:
    """Remove the nodes and constants that no output depends on."""
    wanted = {one.name for one in graph.output}
    for node in reversed(list(graph.node)):
        if wanted.isdisjoint(node.output):
            graph.node.remove(node)
        else:
            wanted.update(node.input)
    for one in list(graph.initializer):
        if one.name not in wanted:
            graph.initializer.remove(one)
