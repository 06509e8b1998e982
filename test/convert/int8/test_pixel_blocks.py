"""The first convolution over blocks of pixels: equal to the bit, or unchanged."""

from hypothesis import given, settings, strategies as st
import numpy as np
import pytest

onnx = pytest.importorskip('onnx', reason='onnx is not installed')
onnxruntime = pytest.importorskip('onnxruntime', reason='ONNX Runtime is not installed')

from onnx import helper, numpy_helper, TensorProto  # noqa: E402, I100
from vla_nav_node.convert.int8.pixel_blocks import BLOCKS, read_blocks  # noqa: E402

SCALES = {'pixel.scale': np.float32(1.0), 'pixel.zero': np.uint8(120),
          'out.scale': np.float32(3.0), 'out.zero': np.uint8(7)}


def _model(sides, weight, pads, stride=2, group=1, apart=False):
    """Return image -> int8 convolution (QDQ); `apart` normalises the pixels before, in float."""
    rng = np.random.default_rng(0)
    outputs, channels = len(weight), weight.shape[1] * group
    ones = np.ones(outputs, np.float32)
    constants = {**SCALES, 'weight': weight, 'weight.scale': ones * 0.01,
                 'weight.zero': np.zeros(outputs, np.int8),
                 'bias': rng.integers(-999, 999, outputs, np.int32), 'bias.scale': ones * 0.01,
                 'bias.zero': np.zeros(outputs, np.int32),
                 'mean': rng.uniform(90, 150, (1, channels, 1, 1)).astype(np.float32)}
    before = [helper.make_node('Transpose', ['image'], ['bytes'], perm=[0, 3, 1, 2])]
    if apart:
        before += [helper.make_node('Cast', ['bytes'], ['float'], to=TensorProto.FLOAT),
                   helper.make_node('Sub', ['float', 'mean'], ['centred']),
                   helper.make_node('QuantizeLinear', ['centred', 'pixel.scale', 'pixel.zero'],
                                    ['quantised'])]
    dequantised = [helper.make_node(
        'DequantizeLinear', [name, f'{scales}.scale', f'{scales}.zero'], [result], **axis)
        for name, scales, result, axis in (
            ('quantised' if apart else 'bytes', 'pixel', 'x', {}),
            ('weight', 'weight', 'w', {'axis': 0}), ('bias', 'bias', 'b', {'axis': 0}))]
    nodes = before + dequantised + [
        helper.make_node('Conv', ['x', 'w', 'b'], ['y'], kernel_shape=weight.shape[2:], pads=pads,
                         strides=[stride, stride], group=group),
        helper.make_node('QuantizeLinear', ['y', 'out.scale', 'out.zero'], ['out'])]
    graph = helper.make_graph(
        nodes, 'front', [helper.make_tensor_value_info('image', TensorProto.UINT8,
                                                       [1, *sides, channels])],
        [helper.make_tensor_value_info('out', TensorProto.UINT8, [None] * 4)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid('', 17)], ir_version=8)


def _results(model):
    onnx.checker.check_model(model)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options,
                                           providers=['CPUExecutionProvider'])
    image = session.get_inputs()[0]
    return session.run(None, {'image': np.random.default_rng(1).integers(
        0, 256, image.shape, np.uint8)})[0]


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_the_results_are_the_same_to_the_bit(data):
    kernel = data.draw(st.tuples(st.integers(2, 7), st.integers(2, 7)))
    pads = [data.draw(st.integers(0, one - 1)) for one in (*kernel, *kernel)]
    sides = [2 * data.draw(st.integers(4, 9)) for _ in range(2)]
    shape = (data.draw(st.integers(1, 5)), data.draw(st.integers(1, 4)), *kernel)
    weight = np.random.default_rng(2).integers(-127, 128, shape, np.int8)
    model = _model(sides, weight, pads, apart=data.draw(st.booleans()))
    wanted = _results(model)
    if read_blocks(model.graph):
        assert BLOCKS in {name for node in model.graph.node for name in node.input}
    np.testing.assert_array_equal(_results(model), wanted)


@pytest.mark.parametrize('kernel', [2, 3, 4, 5, 7])
def test_usual_convolutions_are_rewritten(kernel):
    weight = np.ones((4, 3, kernel, kernel), np.int8)
    model = _model((16, 24), weight, [(kernel - 1) // 2] * 4)
    assert read_blocks(model.graph)
    conv = next(node for node in model.graph.node if node.op_type == 'Conv')
    assert {one.name: list(one.ints) for one in conv.attribute}['strides'] == [1, 1]


@pytest.mark.parametrize('sides, stride, group, kernel', [
    ((15, 24), 2, 1, 5), ((16, 23), 2, 1, 5), ((16, 24), 1, 1, 5), ((16, 24), 3, 1, 5),
    ((16, 24), 2, 3, 5), ((16, 24), 2, 1, 1)])
def test_what_cannot_be_rewritten_is_left_alone(sides, stride, group, kernel):
    weight = np.ones((6, 3 // group, kernel, kernel), np.int8)
    model = _model(sides, weight, [kernel // 2] * 4, stride, group)
    before = model.SerializeToString()
    assert not read_blocks(model.graph)
    assert model.SerializeToString() == before


def test_a_convolution_in_float_is_left_alone():
    weight = np.ones((4, 3, 5, 5), np.int8)
    model = _model((16, 24), weight, [2] * 4)
    conv = next(node for node in model.graph.node if node.op_type == 'Conv')
    conv.input[1] = 'float.weight'
    model.graph.initializer.append(
        numpy_helper.from_array(weight.astype(np.float32), 'float.weight'))
    assert not read_blocks(model.graph)
