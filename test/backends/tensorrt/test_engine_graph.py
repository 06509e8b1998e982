"""The step graph for TensorRT: the same results, and only operators that TensorRT has."""

import numpy as np
import onnx
from onnx import helper, numpy_helper, TensorProto
import onnxruntime
import pytest
import tiny
from vla_nav_node.backends import open_backend
from vla_nav_node.backends.tensorrt.engine_graph import graph_facts, read_for_tensorrt
from vla_nav_node.errors import BackendError


@pytest.fixture(name='bundle', scope='module', params=['LSTM', 'GRU', 'RNN'])
def _bundle(request, tmp_path_factory):
    return tiny.write_tiny(tmp_path_factory.mktemp('graph') / 'tiny', request.param, layers=2)


def run(model, bundle, pictures):
    """Return the actions and the last state of a graph, by ONNX Runtime."""
    onnx.checker.check_model(model)
    session = onnxruntime.InferenceSession(model.SerializeToString(),
                                           providers=['CPUExecutionProvider'])
    parts, state, actions = list(bundle.state_shapes), bundle.zero_state(), []
    for image in pictures:
        action, *state = session.run(
            ['action', *(f'{part}_out' for part in parts)],
            {'image': image, **{f'{part}_in': one for part, one in zip(parts, state)}})
        actions.append(action[0])
    return np.array(actions), state


def test_it_computes_what_the_graph_of_the_bundle_computes(bundle):
    pictures = tiny.images(20)
    actions, state = run(read_for_tensorrt(bundle.file('policy.fp32.onnx')), bundle, pictures)
    backend, expected = open_backend('onnx', bundle, device='cpu'), bundle.zero_state()
    for image, action in zip(pictures, actions):
        wanted, expected = backend.infer(image, expected)
        np.testing.assert_allclose(action, wanted[0], atol=1e-6)
    assert all(map(np.allclose, state, expected))


def test_the_image_goes_into_nothing_but_casts(bundle):
    """No other layer of TensorRT takes uint8."""
    exported = onnx.load(str(bundle.file('policy.fp32.onnx')))
    assert next(node for node in exported.graph.node if 'image' in node.input).op_type != 'Cast'
    model = read_for_tensorrt(bundle.file('policy.fp32.onnx'))
    assert {node.op_type for node in model.graph.node if 'image' in node.input} == {'Cast'}
    once = model.SerializeToString()
    onnx.save(model, str(bundle.directory.parent / 'again.onnx'))
    assert read_for_tensorrt(bundle.directory.parent / 'again.onnx').SerializeToString() == once


def test_weights_and_products_are_counted(bundle):
    facts = graph_facts(onnx.load(str(bundle.file('policy.fp32.onnx'))))
    # A convolution, a linear layer, two products for each of two layers, two linear ones.
    assert facts.products == {'fp32': 8}
    weights = sum(one.size for one in map(
        numpy_helper.to_array, onnx.load(str(bundle.file('policy.fp32.onnx'))).graph.initializer))
    assert abs(facts.weights - weights) < 20  # mean and std may be constants of nodes


def graph_of(nodes, initializers=()):
    """Return a small model of its own."""
    return helper.make_model(helper.make_graph(
        nodes, 'g', [helper.make_tensor_value_info('x', TensorProto.FLOAT, [1, 4])],
        [helper.make_tensor_value_info('y', TensorProto.FLOAT, [1, 3])], list(initializers)),
        opset_imports=[helper.make_opsetid('', 17)])


def constant(name, values, dtype):
    """Return a constant tensor."""
    return numpy_helper.from_array(np.array(values, dtype), name)


def quantised(zero):
    """Return a product in int8 by Q/DQ, as onnxruntime.quantization writes it."""
    weight = np.arange(12, dtype=np.int8).reshape(4, 3)
    return graph_of(
        [helper.make_node('QuantizeLinear', ['x', 'scale', 'zero'], ['xq'], 'q'),
         helper.make_node('DequantizeLinear', ['xq', 'scale', 'zero'], ['xd'], 'dq'),
         helper.make_node('DequantizeLinear', ['w', 'scale', 'zero'], ['wd'], 'dqw'),
         helper.make_node('MatMul', ['xd', 'wd'], ['y'], 'product')],
        [constant('scale', 0.1, np.float32), constant('zero', zero, np.int8),
         constant('w', weight, np.int8)])


def test_quantised_products_are_counted_as_int8_and_offsets_are_refused(tmp_path):
    onnx.save(quantised(0), str(tmp_path / 'good.onnx'))
    assert graph_facts(read_for_tensorrt(tmp_path / 'good.onnx')).products == {'int8': 1}
    onnx.save(quantised(3), str(tmp_path / 'bad.onnx'))
    with pytest.raises(BackendError, match='bad.onnx quantises with an offset at q'):
        read_for_tensorrt(tmp_path / 'bad.onnx')


def test_half_precision_weights_are_counted_through_what_reshapes_them():
    model = graph_of(
        [helper.make_node('Cast', ['x'], ['xh'], to=TensorProto.FLOAT16),
         helper.make_node('Transpose', ['w'], ['wt']),
         helper.make_node('MatMul', ['xh', 'wt'], ['yh']),
         helper.make_node('Cast', ['yh'], ['y'], to=TensorProto.FLOAT)],
        [constant('w', np.zeros((3, 4)), np.float16)])
    assert graph_facts(model).products == {'fp16': 1}
    assert graph_facts(model).weights == 12


@pytest.mark.parametrize('node, message', [
    (helper.make_node('MatMulInteger', ['a', 'b'], ['c']), 'MatMulInteger'),
    (helper.make_node('DynamicQuantizeLinear', ['x'], ['a', 'b', 'c']), 'DynamicQuantizeLinear'),
    (helper.make_node('MatMulNBits', ['x', 'w', 's'], ['c'], domain='com.microsoft'),
     'com.microsoft.MatMulNBits')])
def test_int8_of_a_cpu_is_refused_by_its_name(tmp_path, node, message):
    model = graph_of([node, helper.make_node('Identity', ['x'], ['y'])])
    onnx.save(model, str(tmp_path / 'policy.int8.onnx'))
    with pytest.raises(BackendError, match=rf'does not have: .*{message}.*QuantizeLinear'):
        read_for_tensorrt(tmp_path / 'policy.int8.onnx')


@pytest.mark.parametrize('content', [b'', b'no graph', bytes(range(256)) * 9])
def test_what_is_no_graph_is_refused(tmp_path, content):
    (tmp_path / 'noise.onnx').write_bytes(content)
    try:
        model = read_for_tensorrt(tmp_path / 'noise.onnx')
    except BackendError as error:
        assert 'noise.onnx is no ONNX graph' in str(error)
    else:
        assert graph_facts(model).products == {}  # to protobuf, an empty file is an empty graph
