"""Step graphs of one policy with some layers quantised and the others as they were."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Dict, FrozenSet, List

import numpy as np
import onnx
from onnx import helper

from .convolutions import Convolutions
from .layers import CONVOLUTION, Layer, layers_of, PRODUCT, split
from .products import CONTRIB, Product


@dataclass(frozen=True)
class Choice:
    """Which layers are quantised, by their names; those in neither set stay float."""

    int8: FrozenSet[str]
    int4: FrozenSet[str] = field(default_factory=frozenset)

    def without(self, name: str) -> 'Choice':
        """Give the choice with one more layer left float."""
        return Choice(self.int8 - {name}, self.int4 - {name})


class Mixtures:
    """Makes step graphs by choice; what was quantised once is kept for the next."""

    def __init__(self, fp32: Path, frames: np.ndarray) -> None:
        """Read the fp32 step graph; `frames` (uint8 [N, H, W, 3]) calibrate the convolutions."""
        self._model = onnx.load(str(fp32))
        self.layers: List[Layer] = layers_of(self._model)
        front, self._rest, border = split(self._model)
        self._front = Convolutions(self._model, front, border, frames)
        graph = self._model.graph
        nodes = {node.name: node for node in graph.node}
        self._products = {layer.name: Product(graph, nodes[layer.node])
                          for layer in self.layers if layer.kind == PRODUCT}

    def write(self, choice: Choice, path: Path) -> None:
        """Write the step graph of a choice."""
        convolutions = frozenset(layer.node for layer in self.layers
                                 if layer.kind == CONVOLUTION and layer.name in choice.int8)
        nodes, constants = self._front.quantised(convolutions)
        nodes, constants = list(nodes), list(constants)
        replaced = self._bits(choice)
        for node in self._rest:
            if node.name in replaced:
                more, weights = self._products[replaced[node.name][0]].quantised(
                    replaced[node.name][1])
                nodes += more
                constants += weights
            else:
                nodes.append(node)
        onnx.save(self._assembled(nodes, constants), str(path))

    def _bits(self, choice: Choice) -> Dict[str, tuple]:
        """Give (layer, bits) for each node that is replaced."""
        return {layer.node: (layer.name, 4 if layer.name in choice.int4 else 8)
                for layer in self.layers
                if layer.kind == PRODUCT and layer.name in choice.int8 | choice.int4}

    def _assembled(self, nodes: List[onnx.NodeProto],
                   constants: List[onnx.TensorProto]) -> onnx.ModelProto:
        """Put the parts together, with those of the old constants that are still in use."""
        there = {one.name for one in constants} | {name for node in nodes for name in node.output}
        used = {name for node in nodes for name in node.input} - there
        old = self._model.graph
        kept = [one for one in old.initializer if one.name in used]
        graph = helper.make_graph(nodes, old.name, old.input, old.output, constants + kept)
        opsets = [*self._model.opset_import]
        if any(node.domain == CONTRIB for node in nodes):
            opsets.append(helper.make_opsetid(CONTRIB, 1))
        return helper.make_model(graph, opset_imports=opsets, ir_version=self._model.ir_version)
