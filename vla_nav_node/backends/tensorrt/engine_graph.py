"""A bundle's step graph as TensorRT can read it, and what it contains."""

from collections import Counter
from math import prod
from pathlib import Path
from typing import Any, Dict, List, NamedTuple

from ...errors import BackendError

# Count up when read_for_tensorrt changes graphs in another way: see EngineKey.recipe.
GRAPH_VERSION = 1
PRODUCTS = ('Conv', 'Gemm', 'MatMul')
# The operators of int8 for ONNX Runtime on a CPU; TensorRT takes int8 only from QuantizeLinear
# and DequantizeLinear.
INTEGER_PRODUCTS = ('ConvInteger', 'DynamicQuantizeLinear', 'MatMulInteger', 'QLinearConv',
                    'QLinearMatMul')


class StepFacts(NamedTuple):
    """What a step graph contains, to compare its engine with."""

    weights: int  # numbers in constant tensors
    products: Dict[str, int]  # convolutions and matrix products by the type of their weights


def read_for_tensorrt(path: Path) -> Any:
    """
    Return a step graph (an onnx.ModelProto), changed where TensorRT would not take it.

    Raise BackendError for operators that TensorRT does not have.
    """
    import onnx
    try:
        model = onnx.load(str(path))
    except Exception as error:  # protobuf's own errors have no common base
        raise BackendError(f'{path.name} is no ONNX graph: {type(error).__name__}',
                           'the step graph of the bundle', 'export it again') from error
    _refuse_foreign(model.graph, path.name)
    _refuse_offsets(model.graph, path.name)
    _cast_first(model.graph)
    return model


def graph_facts(model: Any) -> StepFacts:
    """Count the weights, and the products by the type of their weights."""
    import onnx
    nodes = model.graph.node
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    tensors.update({node.output[0]: node.attribute[0].t for node in nodes
                    if node.op_type == 'Constant' and node.attribute[0].HasField('t')})
    makers = {node.output[0]: node for node in nodes}
    products = Counter(_weight_type(node.input[1], tensors, makers) for node in nodes
                       if node.op_type in PRODUCTS)
    types = (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.INT8)
    weights = sum(prod(tensor.dims) for tensor in tensors.values() if tensor.data_type in types)
    return StepFacts(weights, dict(products))


def _weight_type(name: str, tensors: Dict[str, Any], makers: Dict[str, Any]) -> str:
    """Follow a weight back through nodes that only reshape or dequantise it."""
    import onnx
    types = {onnx.TensorProto.FLOAT: 'fp32', onnx.TensorProto.FLOAT16: 'fp16'}
    for _ in range(len(makers) + 1):
        if name in tensors:
            return types.get(tensors[name].data_type, 'other')
        node = makers.get(name)
        if node is None:
            return 'other'
        if node.op_type == 'DequantizeLinear':
            return 'int8'
        name = node.input[0]
    return 'other'


def _refuse_foreign(graph: Any, name: str) -> None:
    foreign = sorted({f'{node.domain}.{node.op_type}'.lstrip('.') for node in graph.node
                      if node.domain not in ('', 'ai.onnx') or node.op_type in INTEGER_PRODUCTS})
    if foreign:
        raise BackendError(
            f'{name} is made of operators that TensorRT does not have: ' + ', '.join(foreign),
            'QuantizeLinear and DequantizeLinear with fixed scales, for int8',
            'set precision to fp16 or fp32, or run vla_nav quantize --fixed-scales')


def _refuse_offsets(graph: Any, name: str) -> None:
    """Raise for zero points other than 0: TensorRT quantises symmetrically."""
    from onnx import numpy_helper
    constants = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type in ('QuantizeLinear', 'DequantizeLinear') and len(node.input) > 2:
            zero = constants.get(node.input[2])
            if zero is None or numpy_helper.to_array(zero).any():
                raise BackendError(f'{name} quantises with an offset at {node.name}',
                                   'zero points of 0, the only ones that TensorRT has',
                                   'quantise it symmetrically')


def _cast_first(graph: Any) -> None:
    """
    Cast the image before any other node uses it.

    TensorRT takes uint8 as an input, but no layer except a cast accepts it, not even the
    transposition that exporters put first.
    """
    import onnx
    users: List[Any] = [node for node in graph.node if 'image' in node.input]
    if all(node.op_type == 'Cast' for node in users):
        return
    for node in users:
        for index, name in enumerate(node.input):
            if name == 'image':
                node.input[index] = 'image_as_float'
    # The types inferred for the tensors in between are those of uint8.
    del graph.value_info[:]
    graph.node.insert(0, onnx.helper.make_node(
        'Cast', ['image'], ['image_as_float'], 'image_as_float', to=onnx.TensorProto.FLOAT))
