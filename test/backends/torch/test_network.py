"""The network and its step graph: the same results, however it is run."""

import numpy as np
import pytest

torch = pytest.importorskip('torch', reason='PyTorch is not installed')
onnxruntime = pytest.importorskip('onnxruntime', reason='ONNX Runtime is not installed')
pytest.importorskip('onnx', reason='onnx is not installed')

from safetensors.torch import save_file  # noqa: E402, I100
from vla_nav_node.backends.torch.network import load_network, PolicyNetwork  # noqa: E402
from vla_nav_node.convert.export.step_graph import export_onnx  # noqa: E402
from vla_nav_node.errors import BundleError  # noqa: E402
from vla_nav_node.vision.preprocess import InputSpec  # noqa: E402

MEAN, STD = [120.0, 128.0, 130.0], [60.0, 64.0, 70.0]


def _architecture(kind='LSTM', layers=1):
    return {
        'encoder': [
            {'type': 'Conv2d', 'in_channels': 3, 'out_channels': 4, 'kernel_size': 5,
             'stride': 4, 'padding': 2},
            {'type': 'ReLU'}, {'type': 'AdaptiveAvgPool2d', 'output_size': 1},
            {'type': 'Flatten'}, {'type': 'Linear', 'in_features': 4, 'out_features': 8}],
        'recurrent': {'type': kind, 'input_size': 8, 'hidden_size': 6, 'num_layers': layers},
        'head': [5]}


def _network(**kwargs):
    torch.manual_seed(0)
    return PolicyNetwork(_architecture(**kwargs), MEAN, STD).eval()


@pytest.mark.parametrize('kind', ['LSTM', 'GRU', 'RNN'])
@pytest.mark.parametrize('layers', [1, 3])
def test_the_exported_graph_steps_like_the_network(tmp_path, kind, layers):
    """A rollout of 30 steps with carried state, through plain matrix products."""
    network = _network(kind=kind, layers=layers)
    export_onnx(network, tmp_path / 'p.onnx', InputSpec(24, 32))
    session = onnxruntime.InferenceSession(str(tmp_path / 'p.onnx'))
    state = network.zero_state()
    fed = [part.numpy() for part in state]
    rng = np.random.default_rng(0)
    for _ in range(30):
        image = rng.integers(0, 256, (1, 24, 32, 3), np.uint8)
        with torch.inference_mode():
            action, *state = network.step(torch.from_numpy(image), *state)
        found, *fed = session.run(None, {
            'image': image, **{f'{name}_in': part for name, part in zip('hc', fed)}})
        assert found == pytest.approx(action.numpy(), abs=1e-5)
    assert {node.op_type for node in _nodes(tmp_path / 'p.onnx')}.isdisjoint(
        {'LSTM', 'GRU', 'RNN'})


def _nodes(path):
    import onnx
    return onnx.load(str(path)).graph.node


def test_a_sequence_is_its_steps():
    """What training unrolls is what driving steps through."""
    network = _network()
    images = torch.randint(0, 256, (7, 24, 32, 3), dtype=torch.uint8)
    with torch.inference_mode():
        hidden, _ = network.sequence(network.features(images)[None], network.zero_state())
        together = network.actions(hidden[0])
        state, stepped = network.zero_state(), []
        for image in images:
            action, *state = network.step(image[None], *state)
            stepped.append(action[0])
    assert torch.allclose(together, torch.stack(stepped), atol=1e-6)


def test_the_picture_is_normalised_once_per_channel():
    """A picture of the mean colour is zero to the encoder."""
    network = _network()
    image = torch.tensor(MEAN).to(torch.uint8).expand(1, 24, 32, 3)
    with torch.inference_mode():
        expected = network.vision_encoder(torch.zeros(1, 3, 24, 32))
        assert torch.allclose(network.features(image), expected, atol=1e-5)


def test_weights_that_do_not_fit_are_refused_together(tmp_path):
    """Missing, unexpected and misshapen keys in one message; nothing is loaded."""
    weights = _network().state_dict()
    weights.pop('actions.0.bias')
    weights['extra'] = torch.zeros(1)
    weights['rnn.bias_ih_l0'] = torch.zeros(3)
    save_file(weights, tmp_path / 'w.safetensors')
    with pytest.raises(BundleError) as refusal:
        load_network(tmp_path / 'w.safetensors', _architecture(), MEAN, STD)
    for words in ('actions.0.bias is missing', 'extra is unexpected', 'rnn.bias_ih_l0 is [3]'):
        assert words in str(refusal.value)


RECURRENT = [(kind, {'bias': False}) for kind in ('LSTM', 'GRU', 'RNN')] + [
    ('RNN', {'nonlinearity': 'relu'}), ('RNN', {'nonlinearity': 'relu', 'bias': False})]
ON_MAPS = [
    {'type': 'BatchNorm2d', 'num_features': 4}, {'type': 'MaxPool2d', 'kernel_size': 2},
    {'type': 'AvgPool2d', 'kernel_size': 3, 'stride': 2, 'padding': 1},
    {'type': 'Dropout2d', 'p': 0.5}, {'type': 'Identity'}, {'type': 'ReLU6'},
    {'type': 'LeakyReLU', 'negative_slope': 0.2}, {'type': 'ELU'}, {'type': 'GELU'},
    {'type': 'SiLU'}, {'type': 'Hardswish'}, {'type': 'Tanh'}, {'type': 'Sigmoid'}]
ON_NUMBERS = [{'type': 'BatchNorm1d', 'num_features': 8}, {'type': 'Dropout', 'p': 0.5},
              {'type': 'LayerNorm', 'normalized_shape': [8]}]


def _alive(network):
    """Give every running statistic a value that affects the result."""
    for name, buffer in network.named_buffers():
        if name.endswith('running_mean'):
            torch.nn.init.normal_(buffer)
        elif name.endswith('running_var'):
            torch.nn.init.uniform_(buffer, 0.5, 2.0)
    return network.eval()


def _largest_difference(path, network):
    """Run a few steps with carried state in torch and in the exported graph."""
    export_onnx(network, path, InputSpec(24, 32))
    session = onnxruntime.InferenceSession(str(path))
    state = network.zero_state()
    fed, worst = [part.numpy() for part in state], 0.0
    for image in np.random.default_rng(0).integers(0, 256, (8, 1, 24, 32, 3), np.uint8):
        with torch.inference_mode():
            action, *state = network.step(torch.from_numpy(image), *state)
        found, *fed = session.run(None, {
            'image': image, **{f'{name}_in': part for name, part in zip('hc', fed)}})
        worst = max(worst, float(np.abs(found - action.numpy()).max()))
    return worst


@pytest.mark.parametrize('kind, more', RECURRENT)
def test_cells_without_bias_and_with_relu_step_like_the_network(tmp_path, kind, more):
    architecture = _architecture(kind, 2)
    architecture['recurrent'].update(more)
    torch.manual_seed(0)
    network = PolicyNetwork(architecture, MEAN, STD).eval()
    assert _largest_difference(tmp_path / 'p.onnx', network) < 1e-5


@pytest.mark.parametrize('layer', ON_MAPS + ON_NUMBERS, ids=lambda layer: layer['type'])
def test_every_layer_of_an_encoder_steps_like_the_network(tmp_path, layer):
    architecture = _architecture()
    architecture['encoder'].insert(1 if layer in ON_MAPS else 5, layer)
    torch.manual_seed(0)
    network = _alive(PolicyNetwork(architecture, MEAN, STD))
    assert _largest_difference(tmp_path / 'p.onnx', network) < 1e-5


def test_a_head_may_be_a_full_list_of_layers(tmp_path):
    architecture = {**_architecture(), 'head': [
        {'type': 'Dropout'}, {'type': 'Linear', 'in_features': 6, 'out_features': 5},
        {'type': 'Tanh'}, {'type': 'Linear', 'in_features': 5, 'out_features': 2, 'bias': False}]}
    torch.manual_seed(0)
    network = PolicyNetwork(architecture, MEAN, STD).eval()
    assert set(network.actions.state_dict()) == {'1.weight', '1.bias', '3.weight'}
    assert _largest_difference(tmp_path / 'p.onnx', network) < 1e-5


def test_an_unknown_layer_is_refused():
    """By its name, with what there is."""
    architecture = {**_architecture(), 'encoder': [{'type': 'Conv9d'}]}
    with pytest.raises(BundleError, match='Conv9d.*Conv2d'):
        PolicyNetwork(architecture, MEAN, STD)
