"""States of foreign graphs are paired by name in any order, and never by chance."""

from hypothesis import given, strategies as st
import numpy as np
import pytest
import tiny

onnx = pytest.importorskip('onnx', reason='onnx is not installed')
pytest.importorskip('onnxruntime', reason='ONNX Runtime is not installed')
pytest.importorskip('torch', reason='PyTorch is not installed')

from vla_nav_node.backends import open_backend  # noqa: E402
from vla_nav_node.bench.models.candidate import parse  # noqa: E402
from vla_nav_node.bench.models.runners.runners import open_runner  # noqa: E402
from vla_nav_node.bench.models.runners.state_pairs import action_of, pair_states  # noqa: E402
from vla_nav_node.bundle.bundle import write_bundle  # noqa: E402
from vla_nav_node.convert.verify.drift import StepFile  # noqa: E402
from vla_nav_node.errors import BackendError  # noqa: E402
from vla_nav_node.policy.recurrent_policy import Policy  # noqa: E402

NAMES = [
    {'h_in': 'h_out', 'c_in': 'c_out'}, {'h0': 'hn', 'c0': 'cn'}, {'h_0': 'h_n', 'c_0': 'c_n'},
    {'h_0': 'h_1', 'c_0': 'c_1'}, {'hidden': 'new_hidden', 'cell': 'new_cell'},
    {'hidden_state': 'h_out', 'cell_state': 'c_out'}, {'past_h': 'present_h',
                                                       'past_c': 'present_c'},
    {'hiddenIn': 'hiddenOut', 'cellIn': 'cellOut'}, {'initial_h': 'Y_h', 'initial_c': 'Y_c'},
    {'state_in_0': 'state_out_0', 'state_in_1': 'state_out_1'}, {'hx': 'hy', 'cx': 'cy'},
    {'h1': 'h1_out', 'h2': 'h2_out', 'h3': 'h3_out'}, {'h': 'h.1', 'c': 'c.1'},
    {'lstm_h': 'lstm_h_next', 'lstm_c': 'lstm_c_next'}, {'state': 'next_state'},
    {'recurrent_in': 'recurrent_out'}, {'past': 'present'}, {'h_in': '23', 'c_in': 'c_out'}]
ONE = (1, 1, 8)


@given(st.sampled_from(NAMES), st.data())
def test_any_order_gives_the_same_pairs(pairs, data):
    inputs, outputs = (data.draw(st.permutations(list(names)))
                       for names in (pairs, pairs.values()))
    assert pair_states(dict.fromkeys(inputs, ONE), dict.fromkeys(outputs, ONE), 'm') == pairs


@pytest.mark.parametrize('inputs, outputs, told', [
    (['1', '2'], ['23', '24'], '1 -> 23, 2 -> 24 or 1 -> 24, 2 -> 23'),
    (['h_in', 'c_in'], ['23', '24'], 'h_in -> 23, c_in -> 24 or h_in -> 24, c_in -> 23'),
    (['h'], ['23', '24'], 'h -> 23 or h -> 24'), (['h_in'], ['c_out'], 'of c_out'),
    (['h', 'c'], ['h_out'], 'of none'), (['h'], [], 'of none')])
def test_what_can_be_paired_in_several_ways_or_none_is_refused(inputs, outputs, told):
    with pytest.raises(BackendError) as refusal:
        pair_states(dict.fromkeys(inputs, ONE), dict.fromkeys(outputs, ONE), 'm')
    assert told in str(refusal.value)


def test_shapes_tell_where_names_do_not():
    other = (2, 1, 4)
    assert pair_states({'1': ONE, '2': other}, {'23': (2, 'batch', 4), '24': ('layers', 1, 8)},
                       'm') == {'1': '24', '2': '23'}
    with pytest.raises(BackendError, match='two shapes'):
        pair_states({'h_in': ONE}, {'h_out': other}, 'm')


@pytest.mark.parametrize('outputs, found', [
    ({'value': (1, 1), 'action': (1, 2)}, 'action'), ({'23': (1, 2)}, '23'),
    ({'value': (1, 1), 'deterministic_actions': (1, 2)}, 'deterministic_actions'),
    ({'41': (1, 2), '42': ONE, '43': ONE}, '41')])
def test_the_action_is_found_by_its_name_or_as_the_only_one(outputs, found):
    assert action_of(outputs, 'm') == found


def test_one_of_several_is_no_action():
    with pytest.raises(BackendError, match='23, 24 besides its states; expected one output call'):
        action_of({'23': (1, 1), '24': (1, 2)}, 'm')


def reordered(bundle, path, inputs, outputs):
    """Write a bundle's graph with its inputs and outputs in another order."""
    model = onnx.load(str(bundle.file('policy.fp32.onnx')))
    for side, order in ((model.graph.input, inputs), (model.graph.output, outputs)):
        kept = list(side)
        del side[:]
        side.extend(kept[place] for place in order)
    onnx.save(model, str(path))
    return model


@pytest.mark.parametrize('inputs', [(0, 2, 1), (2, 1, 0), (1, 0, 2)])
@pytest.mark.parametrize('outputs', [(0, 2, 1), (2, 0, 1), (1, 2, 0)])
def test_a_graph_in_any_order_drives_alike(tmp_path, inputs, outputs):
    bundle = tiny.write_tiny(tmp_path / 'p', layers=2)
    policy = Policy(open_backend('torch', bundle, device='cpu'), bundle.zero_state())
    expected = np.array([policy.act(image) for image in tiny.images(20)])
    path = tmp_path / 'policy.fp32.onnx'
    reordered(bundle, path, inputs, outputs)
    runner = open_runner(parse(str(path), 'cpu'))
    assert np.array([runner.step(image) for image in tiny.images(20)]) == pytest.approx(
        expected, abs=1e-5)
    step, found = StepFile(path), []
    state = step.zero
    for image in tiny.images(20):
        action, state = step.infer(image, state)
        found.append(action[0])
    assert np.array(found) == pytest.approx(expected, abs=1e-5)
    other = write_bundle(tmp_path / 'q', {
        key: value for key, value in bundle.manifest.items() if key != 'files'}, {
        'policy.safetensors': bundle.file('policy.safetensors'), path.name: path})
    policy = Policy(open_backend('onnx', other, device='cpu'), other.zero_state())
    assert np.array([policy.act(image) for image in tiny.images(20)]) == pytest.approx(
        expected, abs=1e-5)
