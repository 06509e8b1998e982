"""Write step graphs of one policy in which some layers are quantised and the others float."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import FrozenSet, Iterable, List, Mapping, Optional

import numpy as np
import onnx
from onnx import helper

from .convolutions import Convolutions
from .graph_nodes import (
    CONVOLUTION, Layer, layers_of, Part, PRODUCT, remove_unused, split_at_product)
from .matmul_int8 import CONTRIB, int8_source, Int8Tensor, MatmulInt8


@dataclass(frozen=True)
class Choice:
    """The names of the quantised layers; those in no set stay float."""

    int8: FrozenSet[str]  # a scale for each output
    blocks: FrozenSet[str] = frozenset()  # products that wait for memory: a scale for each block
    bits: int = 8  # of `blocks`: 8 or 4

    def without(self, name: str) -> 'Choice':
        """Return the choice with one more layer left float."""
        return replace(self, int8=self.int8 - {name}, blocks=self.blocks - {name})

    def in_blocks(self, names: FrozenSet[str], bits: int) -> 'Choice':
        """Return the choice with the layers called `names` in blocks."""
        return Choice(self.int8 - names, names, bits)


class MixedPrecisionGraph:
    """Writes the step graph of a choice; quantised parts are kept for the next choice."""

    def __init__(self, fp32: Path, frames: np.ndarray) -> None:
        """Read the fp32 step graph; `frames` (uint8 [N, H, W, 3]) calibrate the convolutions."""
        self._model = onnx.load(str(fp32))
        self.layers: List[Layer] = layers_of(self._model)
        front, self._rest, self._border = split_at_product(self._model)
        self._front = Convolutions(self._model, front, self._border, frames)
        graph = self._model.graph
        nodes = {node.name: node for node in graph.node}
        self._names = {layer.node: layer.name for layer in self.layers}
        self._products = {layer.name: MatmulInt8(graph, nodes[layer.node])
                          for layer in self.layers if layer.kind == PRODUCT}

    def write(self, choice: Choice, path: Path) -> None:
        """Write the step graph of a choice."""
        convolutions = frozenset(layer.node for layer in self.layers
                                 if layer.kind == CONVOLUTION and layer.name in choice.int8)
        front, weights = self._front.quantised(convolutions)
        reshaped, quantised = int8_source(front, self._border)
        nodes, constants = front + reshaped, list(weights)
        for node in self._rest:
            replacement, more = self._replace(node, choice, quantised)
            nodes += replacement
            constants += more
        onnx.save(self._assemble(nodes, constants), str(path))

    def write_with_inputs(self, names: Iterable[str], path: Path) -> None:
        """Write the fp32 step graph with the inputs of the products `names` as outputs too."""
        model = onnx.ModelProto()
        model.CopyFrom(self._model)
        outputs = {one.name for one in model.graph.output}
        for tensor in {self._products[name].x for name in names} - outputs:
            model.graph.output.append(
                helper.make_tensor_value_info(tensor, onnx.TensorProto.FLOAT, None))
        onnx.save(model, str(path))

    def use_inputs(self, recorded: Mapping[str, np.ndarray]) -> None:
        """Take tensors recorded on real frames, float32 [S, K], to choose 4-bit weights for."""
        for product in self._products.values():
            product.inputs = recorded.get(product.x, product.inputs)

    def _replace(self, node: onnx.NodeProto, choice: Choice,
                 quantised: Optional[Int8Tensor]) -> Part:
        """Return the node, or its quantised form if it is a product of the choice."""
        name = self._names.get(node.name, '')
        if name in choice.blocks:
            return self._products[name].in_blocks(choice.bits)
        if name in choice.int8:
            return self._products[name].in_columns(
                quantised if node.input[0] == self._border else None)
        return [node], []

    def _assemble(self, nodes: List[onnx.NodeProto],
                  constants: List[onnx.TensorProto]) -> onnx.ModelProto:
        """Return the model of these nodes, with the old constants that they still use."""
        made = {one.name for one in constants} | {name for node in nodes for name in node.output}
        used = {name for node in nodes for name in node.input} - made
        old = self._model.graph
        kept = [one for one in old.initializer if one.name in used]
        graph = helper.make_graph(nodes, old.name, old.input, old.output, constants + kept)
        remove_unused(graph)
        opsets = [*self._model.opset_import]
        if any(node.domain == CONTRIB for node in nodes):
            opsets.append(helper.make_opsetid(CONTRIB, 1))
        return helper.make_model(graph, opset_imports=opsets, ir_version=self._model.ir_version)
