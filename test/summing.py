"""A tiny ONNX file with a state, which is no policy."""

import onnx
from onnx import helper, TensorProto


def write_sum(path, batch='batch', state='state', after='stateN'):
    """Write y = x + s and s' = s + 1, with a free size; `state` is the name of s."""
    graph = helper.make_graph(
        [helper.make_node('Add', ['x', state], ['y']),
         helper.make_node('Add', [state, 'one'], [after])], 'g',
        [helper.make_tensor_value_info('x', TensorProto.FLOAT, [batch, 3]),
         helper.make_tensor_value_info(state, TensorProto.FLOAT, [batch, 3])],
        [helper.make_tensor_value_info('y', TensorProto.FLOAT, [batch, 3]),
         helper.make_tensor_value_info(after, TensorProto.FLOAT, [batch, 3])],
        [helper.make_tensor('one', TensorProto.FLOAT, [1], [1.0])])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', 17)])
    model.ir_version = 9
    onnx.save(model, path)
    return path
