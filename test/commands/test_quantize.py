"""`vla_nav quantize`: int8 where it is accurate and fast enough, float elsewhere, and why."""

import json
import subprocess
import sys

import cv2
from hypothesis import given, settings, strategies as st
from hypothesis.extra.numpy import arrays
import numpy as np
import pytest
import tiny
import yaml

torch = pytest.importorskip('torch', reason='PyTorch is not installed')
onnx = pytest.importorskip('onnx', reason='onnx is not installed')
onnxruntime = pytest.importorskip('onnxruntime', reason='ONNX Runtime is not installed')
pytest.importorskip('psutil', reason='psutil, which describes the machine, is not installed')

from onnx import helper, numpy_helper, TensorProto  # noqa: E402, I100
from vla_nav_node.backends import open_backend  # noqa: E402
from vla_nav_node.backends.onnx.onnx_placement import read_placement  # noqa: E402
from vla_nav_node.backends.onnx.onnx_session import (  # noqa: E402
    CPU, open_session, run_on_zeros)
from vla_nav_node.bundle.bundle import load_bundle  # noqa: E402
from vla_nav_node.cli import main  # noqa: E402
from vla_nav_node.convert.int8 import layer_search  # noqa: E402
from vla_nav_node.convert.int8.gptq import compensated  # noqa: E402
from vla_nav_node.convert.int8.graph_nodes import layers_of  # noqa: E402
from vla_nav_node.convert.int8.int8_graph import quantise  # noqa: E402
from vla_nav_node.convert.int8.matmul_int8 import (  # noqa: E402
    BLOCK, MatmulInt8, per_block, per_column)
from vla_nav_node.convert.int8.mixed_precision_graph import (  # noqa: E402
    Choice, MixedPrecisionGraph)
from vla_nav_node.convert.verify.drift import Race, Reference, StepFile  # noqa: E402
from worth_int8 import architecture as _architecture, bundle as _bundle, HIDDEN  # noqa: E402

WEIGHTS = arrays(np.float32, st.tuples(st.integers(1, 70), st.integers(1, 9)),
                 elements=st.floats(-1e3, 1e3, width=32))


def _frames(count=60):
    """Return frames of a bright disc crossing a gradient: uint8 [count, H, W, 3]."""
    frames = np.empty((count, tiny.HEIGHT, tiny.WIDTH, 3), np.uint8)
    frames[:] = np.linspace(20, 180, tiny.WIDTH)[None, None, :, None]
    for index, frame in enumerate(frames):
        cv2.circle(frame, (index * tiny.WIDTH // count, 12), 5, (250, 60, index), -1)
    return frames


def _operators(path):
    return {node.op_type for node in onnx.load(str(path)).graph.node}


@pytest.mark.parametrize('kind', ['LSTM', 'GRU', 'RNN'])
def test_every_layer_that_is_worth_it_becomes_int8(tmp_path, kind):
    bundle = _bundle(tmp_path / 'p', kind)
    rows, facts = quantise(bundle, _frames(), tmp_path / 'int8.onnx', by_time=False)
    forms = {row.layer.name: row.form for row in rows}
    assert forms == {
        'vision_encoder.0': 'int8', 'vision_encoder.3': 'int8', 'vision_encoder.6': 'int8',
        'rnn.weight_ih_l0': 'int8', 'rnn.weight_hh_l0': 'int8', 'actions.0': 'float',
        'actions.2': 'float'}
    assert 'only 64 weights' in rows[-1].why
    assert {'QuantizeLinear', 'MatMulInteger', 'Conv', 'Gemm'} <= _operators(
        tmp_path / 'int8.onnx')
    assert facts['drift']['rollout_mean'] < layer_search.BUDGET
    assert facts['bytes'] < bundle.file('policy.fp32.onnx').stat().st_size / 2
    onnx.checker.check_model(str(tmp_path / 'int8.onnx'))


def test_layers_without_bias_and_with_batch_norm_become_int8_too(tmp_path):
    """The exporter writes them as other nodes, with folded weights."""
    described = _architecture('RNN')
    described['encoder'][3]['bias'] = described['encoder'][6]['bias'] = False
    described['encoder'].insert(4, {'type': 'BatchNorm2d', 'num_features': 32})
    described['recurrent'].update(bias=False, nonlinearity='relu')
    bundle = _bundle(tmp_path / 'p', 'RNN', layers=described)
    rows, facts = quantise(bundle, _frames(), tmp_path / 'int8.onnx', by_time=False)
    assert [row.layer.name for row in rows if row.form == 'int8'] == [
        'vision_encoder.0', 'vision_encoder.3', 'vision_encoder.7', 'rnn/MatMul', 'rnn/MatMul_1']
    assert facts['drift']['rollout_mean'] < layer_search.BUDGET


def test_what_hurts_stays_float(tmp_path):
    """With actions 200 times as large rounding exceeds the budget; the worst layer goes first."""
    bundle = _bundle(tmp_path / 'p', gain=200.0)
    rows, facts = quantise(bundle, _frames(), tmp_path / 'int8.onnx', by_time=False)
    left = [row for row in rows if 'alone it is' in row.why]
    assert left and {row.form for row in left} == {'float'}
    assert 'int8' in {row.form for row in rows}
    assert facts['drift']['rollout_mean'] <= layer_search.BUDGET


def test_a_policy_that_only_float_can_hold_is_left_alone(tmp_path):
    bundle = _bundle(tmp_path / 'p', gain=1000.0)
    rows, facts = quantise(bundle, _frames(), tmp_path / 'int8.onnx', by_time=False)
    assert {row.form for row in rows} == {'float'}
    assert 'drift' not in facts
    assert not (tmp_path / 'int8.onnx').exists()


def test_the_verb_writes_it_all_into_the_bundle(tmp_path, capsys):
    _bundle(tmp_path / 'p')
    np.save(tmp_path / 'f.npy', _frames())
    assert main(['quantize', str(tmp_path / 'p'), '--frames', str(tmp_path / 'f.npy'),
                 '--any-speed', '--json', str(tmp_path / 'r.json')]) == 0
    bundle = load_bundle(tmp_path / 'p')
    assert bundle.precisions == ('fp32', 'int8')
    facts = yaml.safe_load((tmp_path / 'p' / 'policy.yaml').read_text())['quantization']['int8']
    assert facts == json.loads((tmp_path / 'r.json').read_text())
    assert facts['frames'] == {'source': str(tmp_path / 'f.npy'), 'count': 60}
    assert facts['of'] == bundle.manifest['files']['policy.fp32.onnx']['sha256']
    assert 'rnn.weight_hh_l0' in capsys.readouterr().out
    backend = open_backend('onnx', bundle, 'int8', 'cpu')
    reference = open_backend('onnx', bundle, 'fp32', 'cpu')
    state = bundle.zero_state()
    for frame in _frames():
        wanted, after = reference.infer(frame[None], state)
        assert backend.infer(frame[None], state)[0] == pytest.approx(wanted, abs=0.02)
        state = after


def test_nothing_is_written_where_nothing_is_worth_it(tmp_path, capsys):
    tiny.write_tiny(tmp_path / 'p')
    before = (tmp_path / 'p' / 'policy.yaml').read_bytes()
    np.save(tmp_path / 'f.npy', _frames())
    assert main(['quantize', str(tmp_path / 'p'), '--frames', str(tmp_path / 'f.npy')]) == 1
    assert 'no graph is written' in capsys.readouterr().out
    assert (tmp_path / 'p' / 'policy.yaml').read_bytes() == before


def test_times_that_decide_on_a_busy_machine_come_with_a_warning(tmp_path, capsys):
    """Times decide which layers stay int8, so the user must know if they are unreliable."""
    _bundle(tmp_path / 'p')
    np.save(tmp_path / 'f.npy', _frames())
    burner = subprocess.Popen([sys.executable, '-c', 'while True: pass'])
    try:
        main(['quantize', str(tmp_path / 'p'), '--frames', str(tmp_path / 'f.npy'),
              '--json', str(tmp_path / 'facts.json')])
    finally:
        burner.kill()
    assert 'This machine was not idle: other processes used' in capsys.readouterr().out
    assert 'was not idle' in ' '.join(json.loads((tmp_path / 'facts.json').read_text())['notes'])


def test_slow_layers_stay_float(tmp_path, monkeypatch):
    """If int8 always loses the race, no layer is int8."""
    monkeypatch.setattr(layer_search, 'race', lambda one, other, frame: Race(2.0, 1.0, -1.0, 0.0))
    rows, facts = quantise(_bundle(tmp_path / 'p'), _frames(), tmp_path / 'int8.onnx')
    assert {row.form for row in rows} == {'float'}
    assert 'quicker here' in rows[2].why
    assert 'drift' not in facts


@pytest.mark.parametrize('least, quicker, kept', [
    (4, True, 'int4 in blocks'), (8, True, 'int8 in blocks'), (4, False, 'int8')])
def test_blocks_are_kept_where_they_are_no_slower(tmp_path, monkeypatch, least, quicker, kept):
    _many_large(monkeypatch)
    found = Race(0.9, 1.0, 0.1, 1.0) if quicker else Race(1.1, 1.0, -0.1, 0.0)
    monkeypatch.setattr(layer_search, 'race', lambda one, other, frame: found)
    rows, facts = quantise(_bundle(tmp_path / 'p'), _frames(), tmp_path / 'int8.onnx', least,
                           by_time=False)
    forms = {row.layer.name: row.form for row in rows}
    assert forms['rnn.weight_hh_l0'] == kept
    assert len(facts['notes']) == (2 if least == 4 else 1)
    assert all(note.endswith(': kept' if quicker else ': not kept') for note in facts['notes'])
    assert ('MatMulNBits' in _operators(tmp_path / 'int8.onnx')) == quicker
    runs_in = _layers_that_run(tmp_path / 'int8.onnx')
    assert ('int4' in runs_in, 'int8' in runs_in) == (kept.startswith('int4'), True)


def test_4_bits_that_hurt_leave_8(tmp_path, monkeypatch):
    _many_large(monkeypatch)
    monkeypatch.setattr(layer_search, 'race', lambda one, other, frame: Race(0.9, 1.0, 0.1, 1.0))
    bundle = _bundle(tmp_path / 'p')
    _, facts = quantise(bundle, _frames(), tmp_path / 'int8.onnx', by_time=False)
    eight, four = (float(note.partition('drift ')[2].split()[0]) for note in facts['notes'])
    assert eight < four
    monkeypatch.setattr(layer_search, 'BUDGET', (eight + four) / 2)
    rows, _ = quantise(bundle, _frames(), tmp_path / 'int8.onnx', by_time=False)
    assert {row.layer.name: row.form for row in rows}['rnn.weight_hh_l0'] == 'int8 in blocks'


def test_a_runtime_without_blocks_is_no_reason_to_stop(tmp_path, monkeypatch):
    """A runtime refuses an unknown number of bits when it opens the graph."""
    _many_large(monkeypatch)
    monkeypatch.setattr(layer_search, 'BITS', (8, 3))
    monkeypatch.setattr(layer_search, 'BLOCKS', {8: 'int8 in blocks', 3: 'int3 in blocks'})
    rows, facts = quantise(_bundle(tmp_path / 'p'), _frames(), tmp_path / 'int8.onnx', 3,
                           by_time=False)
    assert 'int3 in blocks: not kept, ONNX Runtime cannot open' in facts['notes'][1]
    assert 'int3 in blocks' not in {row.form for row in rows}


def test_blocks_are_not_tried_on_small_matrices(tmp_path):
    _, facts = quantise(_bundle(tmp_path / 'p'), _frames(), tmp_path / 'int8.onnx',
                        by_time=False)
    assert not facts['notes']


def _layers_that_run(path):
    """Return the types in which a graph's products run, as a backend reports them."""
    session = open_session(onnxruntime, path, CPU, profile=path.with_name('profile'))
    run_on_zeros(session)
    return str(read_placement(session).precisions())


def _many_large(monkeypatch):
    monkeypatch.setattr(layer_search, 'LARGE', 4 * HIDDEN * HIDDEN)
    monkeypatch.setattr(layer_search, 'BUDGET', 0.05)


def test_a_saturated_layer_shows_as_drift(tmp_path):
    """The drift is measured on the written file."""
    bundle = _bundle(tmp_path / 'p')
    quantise(bundle, _frames(), tmp_path / 'int8.onnx', by_time=False)
    reference = Reference(StepFile(bundle.file('policy.fp32.onnx')), _frames())
    good = reference.drift(StepFile(tmp_path / 'int8.onnx'))
    model = onnx.load(str(tmp_path / 'int8.onnx'))
    for one in model.graph.initializer:
        if one.name == '/Gemm.scale':
            one.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(one) / 8, one.name))
    onnx.save(model, str(tmp_path / 'bad.onnx'))
    bad = reference.drift(StepFile(tmp_path / 'bad.onnx'))
    assert bad.rollout_mean > 3 * good.rollout_mean
    assert bad.step_max > good.step_max


@pytest.mark.parametrize('mean', [[128.0] * 3, [127.5] * 3, [0.0] * 3])
def test_the_first_convolution_takes_the_bytes_of_the_camera(tmp_path, mean):
    """The bytes are int8 already, so only the rounded weights cause errors."""
    bundle = _bundle(tmp_path / 'p', mean=mean)
    graphs = MixedPrecisionGraph(bundle.file('policy.fp32.onnx'), _frames())
    graphs.write(Choice(frozenset({'vision_encoder.0'})), tmp_path / 'int8.onnx')
    model = onnx.load(str(tmp_path / 'int8.onnx'))
    assert {node.name for node in model.graph.node}.isdisjoint({'/Cast', '/Sub', '/Div'})
    takers = [node for node in model.graph.node if 'bytes' in node.input]
    assert [node.op_type for node in takers] == ['DequantizeLinear']
    reference = Reference(StepFile(bundle.file('policy.fp32.onnx')), _frames())
    assert reference.drift(StepFile(tmp_path / 'int8.onnx')).rollout_mean < 5e-4


def test_what_is_int8_already_is_not_rounded_again(tmp_path):
    """The product behind the last convolution reads its int8 output through the flattening."""
    bundle = _bundle(tmp_path / 'p')
    graphs = MixedPrecisionGraph(bundle.file('policy.fp32.onnx'), _frames())
    drifts = []
    for after in (set(), {'vision_encoder.6'}):
        graphs.write(Choice(frozenset({'vision_encoder.3', *after})), tmp_path / 'int8.onnx')
        reference = Reference(StepFile(bundle.file('policy.fp32.onnx')), _frames())
        drifts.append(reference.drift(StepFile(tmp_path / 'int8.onnx')).step_mean)
    assert 'DynamicQuantizeLinear' not in _operators(tmp_path / 'int8.onnx')
    assert 'MatMulInteger' in _operators(tmp_path / 'int8.onnx')
    assert drifts[1] < 1.5 * drifts[0]


@pytest.mark.parametrize('int8', [(0, 5), (3,), (0, 3), (3, 5), (0, 3, 5), (5,)])
def test_what_is_float_in_the_graph_is_float_when_it_runs(tmp_path, int8):
    """The runtime by itself would quantise a float convolution between two int8 ones."""
    described = _architecture('RNN')
    described['encoder'].insert(5, {'type': 'Conv2d', 'in_channels': 32, 'out_channels': 32,
                                    'kernel_size': 3, 'padding': 1})
    bundle = _bundle(tmp_path / 'p', 'RNN', layers=described)
    names = {f'vision_encoder.{index}' for index in int8}
    MixedPrecisionGraph(bundle.file('policy.fp32.onnx'), _frames()).write(
        Choice(frozenset(names)), tmp_path / 'int8.onnx')
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / 'run.onnx')
    onnxruntime.InferenceSession(str(tmp_path / 'int8.onnx'), options)
    operators = [node.op_type for node in onnx.load(str(tmp_path / 'run.onnx')).graph.node]
    assert operators.count('QLinearConv') == len(int8)


def test_means_that_are_apart_stay_outside_the_convolution(tmp_path):
    """Padding has one value for all channels, so the picture's border would change."""
    bundle = _bundle(tmp_path / 'p')
    graphs = MixedPrecisionGraph(bundle.file('policy.fp32.onnx'), _frames())
    graphs.write(Choice(frozenset({'vision_encoder.0'})), tmp_path / 'int8.onnx')
    assert '/Div' in {node.name for node in onnx.load(str(tmp_path / 'int8.onnx')).graph.node}
    reference = Reference(StepFile(bundle.file('policy.fp32.onnx')), _frames())
    assert reference.drift(StepFile(tmp_path / 'int8.onnx')).rollout_mean < 5e-4


@pytest.mark.parametrize('bits, off', [(0, 0.02), (8, 0.02), (4, 0.2)])
@pytest.mark.parametrize('form', ['Gemm', 'MatMul'])
def test_a_quantised_product_is_the_product(bits, off, form):
    """Per column (0 bits here), and in blocks of 4 and 8 bits."""
    rng = np.random.default_rng(0)
    x, weight = rng.standard_normal((1, 70), np.float32), rng.standard_normal((70, 9), np.float32)
    bias = rng.standard_normal(9, np.float32)
    if form == 'Gemm':
        node = helper.make_node('Gemm', ['x', 'w', 'b'], ['y'], 'p', transB=1)
        constants, wanted = {'w': weight.T.copy(), 'b': bias}, x @ weight + bias
    else:
        node = helper.make_node('MatMul', ['x', 'w'], ['y'], 'p')
        constants, wanted = {'w': weight}, x @ weight
    graph = helper.make_graph(
        [node], 'g', [helper.make_tensor_value_info('x', TensorProto.FLOAT, [1, 70])],
        [helper.make_tensor_value_info('y', TensorProto.FLOAT, [1, 9])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()])
    product = MatmulInt8(graph, node)
    nodes, more = product.in_blocks(bits) if bits else product.in_columns()
    graph = helper.make_graph(nodes, 'g', graph.input, graph.output, [*graph.initializer, *more])
    model = helper.make_model(graph, ir_version=8, opset_imports=[
        helper.make_opsetid('', 17), helper.make_opsetid('com.microsoft', 1)])
    session = onnxruntime.InferenceSession(model.SerializeToString())
    found = session.run(None, {'x': x})[0]
    assert np.abs(found - wanted).mean() < off * np.abs(wanted).mean()


@settings(deadline=None, max_examples=50)
@given(WEIGHTS)
def test_rounding_is_off_by_half_a_step_at_most(weight):
    q, scale = per_column(weight)
    assert q.dtype == np.int8 and np.isfinite(scale).all()
    assert (np.abs(q * scale - weight) <= 0.5001 * scale + 1e-30).all()


@settings(deadline=None, max_examples=50)
@given(WEIGHTS, st.integers(0, 5), st.sampled_from([1e-3, 1.0, 1e3]))
def test_compensated_weights_stay_on_their_grid(weight, samples, size):
    """For any inputs: none, zeros, fewer than there are weights."""
    rng = np.random.default_rng(samples)
    inputs = size * rng.standard_normal((samples, len(weight))).astype(np.float32)
    rounded, scale = compensated(weight, inputs, 7, 32)
    assert np.isfinite(scale).all() and (scale > 0).all()
    assert (np.abs(rounded) <= 7).all() and (rounded == np.rint(rounded)).all()


def test_4_bits_that_know_their_inputs_cost_little():
    """Inputs of a drive lie in a few directions, so weights chosen for some suit the others."""
    rng = np.random.default_rng(0)
    weight = rng.standard_normal((256, 32), np.float32)
    inputs = (rng.standard_normal((200, 8)) @ rng.standard_normal((8, 256))).astype(np.float32)
    known, new = inputs[:100], inputs[100:]
    wanted = new @ weight
    blind, knowing = (
        np.abs(new @ _unpacked(*per_block(weight, 4, about), 4) - wanted).mean()
        for about in (None, known))
    assert knowing < blind / 5


def _unpacked(packed, scale, bits):
    """Return the weights [K, N] that MatMulNBits reads."""
    stored = packed if bits == 8 else np.stack([packed & 15, packed >> 4], axis=-1)
    outer = len(packed)
    blocks = stored.reshape(outer, -1, BLOCK).astype(np.float32) - (1 << bits - 1)
    return (blocks * scale.reshape(outer, -1, 1)).reshape(outer, -1).T


@settings(deadline=None, max_examples=50)
@given(WEIGHTS, st.sampled_from((4, 8)))
def test_rounding_in_blocks_is_off_by_half_a_step_at_most(weight, bits):
    packed, scale = per_block(weight, bits)
    inner, outer = weight.shape
    steps = np.repeat(scale.reshape(outer, -1), BLOCK, axis=1)[:, :inner].T
    off = np.abs(_unpacked(packed, scale, bits)[:inner] - weight)
    assert (off <= 0.5001 * steps + 1e-30).all()


def test_layers_carry_the_networks_names(tmp_path):
    names = [layer.name for layer in layers_of(onnx.load(str(
        _bundle(tmp_path / 'p').file('policy.fp32.onnx'))))]
    assert names == ['vision_encoder.0', 'vision_encoder.3', 'vision_encoder.6',
                     'rnn.weight_ih_l0', 'rnn.weight_hh_l0', 'actions.0', 'actions.2']
