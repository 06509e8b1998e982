"""Int8 with fixed scales: near the float policy, and made of what TensorRT has."""

import numpy as np
import onnx
import onnxruntime
import pytest
import tiny
from vla_nav_node.backends import open_backend
from vla_nav_node.backends.engine_graph import facts_of, read_for_tensorrt
from vla_nav_node.convert.fixed_scales import write_fixed_scales


@pytest.fixture(name='made', scope='module', params=['LSTM', 'GRU'])
def _made(request, tmp_path_factory):
    root = tmp_path_factory.mktemp('scales')
    bundle = tiny.write_tiny(root / 'tiny', request.param, layers=2)
    write_fixed_scales(bundle, tiny.images(60)[:, 0], root / 'policy.int8.qdq.onnx')
    return bundle, root / 'policy.int8.qdq.onnx'


def test_it_is_made_of_what_tensorrt_has(made):
    _, path = made
    model = read_for_tensorrt(path)  # which refuses foreign operators and offsets
    onnx.checker.check_model(model)
    assert facts_of(model).products == {'int8': 8}  # all of them
    kinds = {node.op_type for node in model.graph.node}
    assert {'QuantizeLinear', 'DequantizeLinear'} <= kinds
    makers = {node.output[0]: node.op_type for node in model.graph.node}
    for node in model.graph.node:
        if node.op_type in ('Conv', 'Gemm', 'MatMul'):
            assert [makers.get(name) for name in node.input[:2]] == ['DequantizeLinear'] * 2
            assert makers.get(node.input[2]) != 'DequantizeLinear'  # a bias stays as it is


def test_it_stays_near_the_float_policy_with_its_state_carried(made):
    bundle, path = made
    session = onnxruntime.InferenceSession(read_for_tensorrt(path).SerializeToString(),
                                           providers=['CPUExecutionProvider'])
    backend, parts = open_backend('onnx', bundle, device='cpu'), list(bundle.state_shapes)
    state, expected, differences = bundle.zero_state(), bundle.zero_state(), []
    for image in tiny.images(50, seed=1):
        action, *state = session.run(
            ['action', *(f'{part}_out' for part in parts)],
            {'image': image, **{f'{part}_in': one for part, one in zip(parts, state)}})
        wanted, expected = backend.infer(image, expected)
        differences.append(np.abs(action - wanted).max())
    assert np.max(differences) < 0.03 and np.mean(differences) < 0.005  # m/s
