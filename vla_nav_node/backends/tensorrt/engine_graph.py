"""A bundle's step graph as TensorRT can read it, and what is in it."""

from pathlib import Path
from typing import Any, Dict, List, NamedTuple

from ...errors import BackendError

# Changes whenever the graph that TensorRT gets is made in another way: see EngineKey.recipe.
RECIPE = 1
PRODUCTS = ('Conv', 'Gemm', 'MatMul')
# What int8 consists of where it was made for ONNX Runtime on a CPU; TensorRT takes int8 only from
# QuantizeLinear and DequantizeLinear.
INTEGER_PRODUCTS = ('ConvInteger', 'DynamicQuantizeLinear', 'MatMulInteger', 'QLinearConv',
                    'QLinearMatMul')


class StepFacts(NamedTuple):
    """What a step graph states of itself, to hold the engine against."""

    weights: int  # numbers in constant tensors
    products: Dict[str, int]  # convolutions and matrix products by the type of their weights


def read_for_tensorrt(path: Path) -> Any:
    """
    Read a step graph (an onnx.ModelProto), changed where TensorRT would not take it.

    Raise BackendError for what TensorRT does not have at all.
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


def facts_of(model: Any) -> StepFacts:
    """Count the weights, and the products by the type of their weights."""
    import onnx
    types = {one.name: one for one in model.graph.initializer}
    types.update({node.output[0]: node.attribute[0].t for node in model.graph.node
                  if node.op_type == 'Constant' and node.attribute[0].HasField('t')})
    makers = {node.output[0]: node for node in model.graph.node}
    products: Dict[str, int] = {}
    for node in model.graph.node:
        if node.op_type in PRODUCTS:
            kind = _weight_type(node.input[1], types, makers)
            products[kind] = products.get(kind, 0) + 1
    names = {onnx.TensorProto.FLOAT: 'fp32', onnx.TensorProto.FLOAT16: 'fp16',
             onnx.TensorProto.INT8: 'int8'}
    counted = sum(_size(one.dims) for one in types.values() if one.data_type in names)
    return StepFacts(counted, products)


def _weight_type(name: str, types: Dict[str, Any], makers: Dict[str, Any]) -> str:
    """Follow a weight back through what only reshapes or dequantises it."""
    import onnx
    kinds = {onnx.TensorProto.FLOAT: 'fp32', onnx.TensorProto.FLOAT16: 'fp16'}
    for _ in range(len(makers) + 1):
        if name in types:
            return kinds.get(types[name].data_type, 'other')
        node = makers.get(name)
        if node is None:
            return 'other'
        if node.op_type == 'DequantizeLinear':
            return 'int8'
        name = node.input[0]
    return 'other'


def _size(dims: Any) -> int:
    size = 1
    for dim in dims:
        size *= dim
    return size


def _refuse_foreign(graph: Any, name: str) -> None:
    found = sorted({f'{node.domain}.{node.op_type}'.lstrip('.') for node in graph.node
                    if node.domain not in ('', 'ai.onnx') or node.op_type in INTEGER_PRODUCTS})
    if found:
        raise BackendError(
            f'{name} is made of operators that TensorRT does not have: ' + ', '.join(found),
            'QuantizeLinear and DequantizeLinear with fixed scales, for int8',
            'set precision to fp16 or fp32, or run vla_nav quantize --fixed-scales')


def _refuse_offsets(graph: Any, name: str) -> None:
    """Refuse zero points other than 0: TensorRT quantises symmetrically."""
    from onnx import numpy_helper
    constants = {one.name: one for one in graph.initializer}
    for node in graph.node:
        if node.op_type in ('QuantizeLinear', 'DequantizeLinear') and len(node.input) > 2:
            zero = constants.get(node.input[2])
            if zero is None or numpy_helper.to_array(zero).any():
                raise BackendError(f'{name} quantises with an offset at {node.name}',
                                   'zero points of 0, the only ones that TensorRT has',
                                   'quantise it symmetrically')


def _cast_first(graph: Any) -> None:
    """
    Cast the image before anything else is done with it.

    TensorRT takes uint8 as an input, but no layer except a cast takes it from there, not even a
    transposition; exporters put that first.
    """
    import onnx
    takers: List[Any] = [node for node in graph.node if 'image' in node.input]
    if all(node.op_type == 'Cast' for node in takers):
        return
    for node in takers:
        for place, name in enumerate(node.input):
            if name == 'image':
                node.input[place] = 'image_as_float'
    # The types that were worked out for what lies between are those of uint8.
    del graph.value_info[:]
    graph.node.insert(0, onnx.helper.make_node(
        'Cast', ['image'], ['image_as_float'], 'image_as_float', to=onnx.TensorProto.FLOAT))
