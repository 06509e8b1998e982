"""Norms and masks are folded into the weights, equal to torch's forward pass."""

import re

import pytest

torch = pytest.importorskip('torch', reason='PyTorch is not installed')
pytest.importorskip('onnxruntime', reason='ONNX Runtime is not installed')
pytest.importorskip('onnx', reason='onnx is not installed')

from driven import assert_drives_as_it_did, pictures  # noqa: E402, I100
from importer import importing, structure  # noqa: E402
import original  # noqa: E402
from torch import nn  # noqa: E402
from torch.nn.utils import parametrizations, parametrize, prune  # noqa: E402
from vla_nav_node.bundle.bundle import load_bundle  # noqa: E402
from vla_nav_node.convert.checkpoint.checkpoint import read_checkpoint  # noqa: E402
from vla_nav_node.convert.checkpoint.folding import folded  # noqa: E402
from vla_nav_node.errors import CheckpointError  # noqa: E402

# The older forms are still in files.
pytestmark = pytest.mark.filterwarnings('ignore:.*weight_norm.*deprecated:FutureWarning')


def old_weight_norm(**how):
    return lambda layer, name='weight': nn.utils.weight_norm(layer, name, **how)


def old_spectral_norm(**how):
    return lambda layer, name='weight': nn.utils.spectral_norm(layer, name, **how)


def new_weight_norm(**how):
    return lambda layer, name='weight': parametrizations.weight_norm(layer, name, **how)


def new_spectral_norm(**how):
    return lambda layer, name='weight': parametrizations.spectral_norm(layer, name, **how)


def pruned(layer, name='weight'):
    return prune.l1_unstructured(layer, name, 0.4)


def pruned_twice(layer, name='weight'):
    prune.random_unstructured(layer, name, 0.2)
    return prune.ln_structured(layer, name, 0.3, 2, 0)


def pruned_then_normed(layer, name='weight'):
    nn.utils.weight_norm(layer, name)
    return prune.l1_unstructured(layer, f'{name}_v', 0.4)


def pruned_spectral(layer, name='weight'):
    nn.utils.spectral_norm(layer, name)
    return prune.l1_unstructured(layer, f'{name}_orig', 0.4)


HOW = {
    'weight_norm': old_weight_norm(), 'weight_norm, dim 1': old_weight_norm(dim=1),
    'weight_norm, whole': old_weight_norm(dim=None), 'weight_norm, new': new_weight_norm(),
    'weight_norm, new, dim 1': new_weight_norm(dim=1),
    'weight_norm, new, whole': new_weight_norm(dim=None),
    'spectral_norm': old_spectral_norm(), 'spectral_norm, dim 1': old_spectral_norm(dim=1),
    'spectral_norm, new': new_spectral_norm(), 'spectral_norm, new, dim 1':
        new_spectral_norm(dim=1), 'spectral_norm, 3 iterations': old_spectral_norm(
            n_power_iterations=3),
    'pruned': pruned, 'pruned twice': pruned_twice, 'pruned weight_norm': pruned_then_normed,
    'pruned spectral_norm': pruned_spectral}
LAYERS = {
    'convolution': lambda: (nn.Conv2d(3, 5, 3), torch.randn(2, 3, 6, 6)),
    'square convolution': lambda: (nn.Conv2d(6, 6, 3), torch.randn(2, 6, 6, 6)),
    'depthwise': lambda: (nn.Conv2d(6, 6, 3, groups=6), torch.randn(2, 6, 6, 6)),
    'one output': lambda: (nn.Linear(4, 1), torch.randn(2, 4)),
    'linear': lambda: (nn.Linear(5, 7), torch.randn(2, 5)),
    'square linear': lambda: (nn.Linear(16, 16), torch.randn(2, 16))}


def trained(layer, inputs, steps=5):
    """Train a little, so that g, u and v change; return the layer in evaluation mode."""
    optimizer = torch.optim.SGD(layer.parameters(), 0.01)
    for _ in range(steps):
        output = layer(inputs)
        output = output[0] if isinstance(output, tuple) else output
        output.square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()
    layer.eval()
    for _ in range(2):  # a norm over a pruned part sees what the pass before it made
        with torch.no_grad():
            layer(inputs)
    return layer


@pytest.mark.parametrize('how', HOW)
@pytest.mark.parametrize('kind', LAYERS)
def test_a_weight_is_that_of_torchs_forward(kind, how):
    torch.manual_seed(0)
    layer = trained(HOW[how](*LAYERS[kind]()[:1]), LAYERS[kind]()[1])
    tensors, notes = folded({f'a.0.{name}': value for name, value in layer.state_dict().items()})
    assert tensors.keys() == {'a.0.weight', 'a.0.bias'} and notes
    assert torch.equal(tensors['a.0.weight'], layer.weight.detach())
    assert torch.equal(tensors['a.0.bias'], layer.bias)


@pytest.mark.parametrize('how', [name for name in HOW if 'pruned ' not in name])
@pytest.mark.parametrize('cell', [nn.LSTM, nn.GRU, nn.RNN])
def test_the_weights_of_recurrent_layers_too(cell, how):
    torch.manual_seed(0)
    layer = cell(8, 8, 2)
    for name in ('weight_hh_l0', 'weight_ih_l1'):
        HOW[how](layer, name)
    inputs = torch.randn(3, 1, 8)
    trained(layer, inputs, steps=0 if 'pruned' in how else 3)
    tensors, _ = folded({f'rnn.{name}': value for name, value in layer.state_dict().items()})
    plain = cell(8, 8, 2)
    plain.load_state_dict({name[4:]: value for name, value in tensors.items()})
    assert torch.equal(tensors['rnn.weight_hh_l0'], layer.weight_hh_l0.detach())
    assert torch.allclose(plain(inputs)[0], layer(inputs)[0], atol=1e-6)


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16, torch.float64])
def test_other_types_keep_their_precision(dtype):
    layer = HOW['weight_norm, new'](nn.Linear(5, 7).double())
    tensors, _ = folded({name: value.to(dtype) for name, value in layer.state_dict().items()})
    assert torch.allclose(tensors['weight'].double(), layer.weight.double(),
                          rtol=4 * torch.finfo(dtype).eps)
    assert tensors['weight'].dtype == (torch.float64 if dtype == torch.float64 else torch.float32)


def test_dropout_of_recurrent_weights_does_nothing_in_evaluation():
    """AWD-LSTM keeps raw weights beside, or instead of, the dropped ones."""
    raw, left = torch.ones(8, 2), torch.zeros(8, 2)
    tensors, _ = folded({'rnn.weight_hh_l0_raw': raw, 'rnn.weight_hh_l0': left})
    assert tensors.keys() == {'rnn.weight_hh_l0'} and torch.equal(
        tensors['rnn.weight_hh_l0'], raw)
    assert folded({'rnn.weight_hh_l1_raw': raw})[0].keys() == {'rnn.weight_hh_l1'}
    with pytest.raises(CheckpointError, match='a.weight_raw'):
        folded({'a.weight_raw': raw})


class Doubled(nn.Module):
    """A parametrization that only its own code can compute."""

    def forward(self, weight):
        """Return twice the weight."""
        return 2 * weight


def of_its_own(layer):
    parametrize.register_parametrization(layer, 'weight', Doubled())
    return layer


def norm_and_more(layer):
    return of_its_own(parametrizations.spectral_norm(layer))


UNCERTAIN = {
    'orthogonal': lambda: parametrizations.orthogonal(nn.Linear(6, 4)).state_dict(),
    'orthogonal by reflections': lambda: parametrizations.orthogonal(
        nn.Linear(6, 4), orthogonal_map='householder').state_dict(),
    'of its own': lambda: of_its_own(nn.Linear(6, 4)).state_dict(),
    'g is missing': lambda: {'weight_v': torch.ones(4, 6)},
    'v is missing': lambda: {'weight_g': torch.ones(4, 1)},
    'g of another shape': lambda: {'weight_g': torch.ones(4, 6), 'weight_v': torch.ones(4, 6)},
    'a spectral norm of an old torch': lambda: {
        'weight': torch.ones(4, 6), 'weight_orig': torch.ones(4, 6), 'weight_u': torch.ones(4)},
    'the mask is missing': lambda: {'weight_orig': torch.ones(4, 6)},
    'a mask of shares': lambda: {'weight_orig': torch.ones(4, 6),
                                 'weight_mask': torch.full((4, 6), 0.5)},
    'whole beside its parts': lambda: {'weight': torch.ones(4, 6), 'weight_g': torch.ones(4, 1),
                                       'weight_v': torch.ones(4, 6)},
    'u of two dimensions': lambda: {
        'weight_orig': torch.randn(6, 6), 'weight_u': torch.eye(6)[0],
        'weight_v': torch.eye(6)[1]},
    'u of no unit length': lambda: {'weight_orig': torch.ones(4, 6), 'weight_u': torch.ones(4),
                                    'weight_v': torch.ones(6)},
}


@pytest.mark.parametrize('kind', UNCERTAIN)
def test_what_is_not_certain_is_refused_with_all_its_tensors(kind):
    torch.manual_seed(0)
    tensors = UNCERTAIN[kind]()
    with pytest.raises(CheckpointError) as refusal:
        folded({**tensors, 'bias': torch.ones(4)})
    named = [name for name in tensors if name != 'bias']
    assert all(re.search(rf'\b{re.escape(name)}\b', refusal.value.found) for name in named)


def test_a_norm_that_divides_by_nothing_is_refused(tmp_path):
    weights = original.original().state_dict()
    weights['actions.0.weight_v'] = torch.zeros_like(weights.pop('actions.0.weight'))
    weights['actions.0.weight_g'] = torch.ones(10, 1)
    torch.save(weights, tmp_path / 'c.pth')
    with pytest.raises(CheckpointError, match='actions.0.weight has numbers that are not finite'):
        read_checkpoint(tmp_path / 'c.pth')


def test_a_policy_with_norms_and_masks_drives_as_it_did(tmp_path, capsys):
    network = original.original()
    for layer, how in ((0, 'weight_norm'), (3, 'spectral_norm, new'), (5, 'pruned')):
        HOW[how](network.vision_encoder[layer])
    HOW['weight_norm, new'](network.actions[0])
    HOW['spectral_norm'](network.rnn, 'weight_hh_l0')
    with torch.no_grad():
        for _ in range(40):  # until the power iteration has settled
            network.train()(torch.rand(1, 3, 3, 48, 48))
    network.eval()
    torch.save(nn.DataParallel(network).state_dict(), tmp_path / 'c.pth')
    assert importing(tmp_path / 'c.pth', tmp_path / 'b', structure=structure(
        tmp_path / 's.yaml')) == 0
    message = capsys.readouterr().out
    for part in ('weight_norm folded into', 'spectral_norm folded into', 'pruning folded into'):
        assert part in message
    assert_drives_as_it_did(load_bundle(tmp_path / 'b'), network, pictures())
