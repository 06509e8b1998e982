"""Int8 with fixed scales: close to the float policy, and readable by TensorRT."""

import numpy as np
import onnx
import onnxruntime
import pytest
import tiny
from vla_nav_node.backends import open_backend
from vla_nav_node.backends.tensorrt.engine_graph import graph_facts, read_for_tensorrt
from vla_nav_node.backends.tensorrt.tensorrt_backend import graph_of
from vla_nav_node.bundle.bundle import load_bundle
from vla_nav_node.cli import main
from vla_nav_node.convert.int8.fixed_scales import write_fixed_scales


@pytest.fixture(name='made', scope='module', params=['LSTM', 'GRU'])
def _made(request, tmp_path_factory):
    root = tmp_path_factory.mktemp('scales')
    bundle = tiny.write_tiny(root / 'tiny', request.param, layers=2)
    write_fixed_scales(bundle, tiny.images(60)[:, 0], root / 'policy.int8.qdq.onnx')
    return bundle, root / 'policy.int8.qdq.onnx'


def test_the_verb_writes_it_beside_what_there_is(made, tmp_path, capsys):
    bundle, _ = made
    np.save(tmp_path / 'frames.npy', tiny.images(40)[:, 0])
    assert main(['quantize', str(bundle.directory), '--frames', str(tmp_path / 'frames.npy'),
                 '--count', '40', '--fixed-scales', '--out', str(tmp_path / 'out')]) == 0
    assert 'policy.int8.qdq.onnx' in capsys.readouterr().out
    written = load_bundle(tmp_path / 'out')
    facts = written.manifest['quantization']['int8.qdq']
    assert facts['steps'] == 40 and facts['drift']['rollout_mean'] < 0.01
    assert graph_of(written, 'int8') == written.file('policy.int8.qdq.onnx')
    assert graph_facts(read_for_tensorrt(graph_of(written, 'int8'))).products == {'int8': 8}


def test_it_is_made_of_what_tensorrt_has(made):
    _, path = made
    model = read_for_tensorrt(path)  # which refuses foreign operators and offsets
    onnx.checker.check_model(model)
    assert graph_facts(model).products == {'int8': 8}  # all of them
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
