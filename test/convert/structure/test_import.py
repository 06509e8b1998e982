"""A checkpoint of the original's form is imported with every weight, and acts as before."""

import json

import numpy as np
import pytest

torch = pytest.importorskip('torch', reason='PyTorch is not installed')
pytest.importorskip('onnxruntime', reason='ONNX Runtime is not installed')
pytest.importorskip('onnx', reason='onnx is not installed')

from driven import assert_drives_as_it_did, pictures  # noqa: E402, I100
from importer import importing, structure  # noqa: E402
import original  # noqa: E402
from safetensors.torch import load_file, save_file  # noqa: E402
from torch import nn  # noqa: E402
from vla_nav_node.bundle.bundle import load_bundle, sha256_of  # noqa: E402


@pytest.fixture(name='tiny', scope='module')
def _tiny(tmp_path_factory):
    """Return a small network of the original's form, and its checkpoint."""
    path = tmp_path_factory.mktemp('original') / 'best_simple_lstm_model.pth'
    return original.write_original(path), path


def test_the_original_form_in_its_full_size(tmp_path, capsys):
    path = tmp_path / 'best_simple_lstm_model.pth'
    network = original.write_original(path, **original.SIMPLE)
    assert importing(path, tmp_path / 'b', structure='simple', size='224x224', rotation=180,
                     json=tmp_path / 'r.json') == 0
    message = capsys.readouterr().out
    for part in ('all 32 tensors', 'val_mae 0.222, epoch 7', 'RNN, 4 x 1024'):
        assert part in message
    bundle = load_bundle(tmp_path / 'b')
    assert bundle.manifest['training'] == {'trained': True, 'imported': {
        'file': path.name, 'sha256': sha256_of(path), 'val_mae': 0.222, 'epoch': 7}}
    assert bundle.input.rotation == 180
    assert bundle.limits == {'linear_x': 0.5, 'linear_y': 0.4}
    assert bundle.mean == pytest.approx((123.675, 116.28, 103.53))
    weights = load_file(bundle.file('policy.safetensors'))
    assert weights.keys() == network.state_dict().keys()
    assert all(torch.equal(weights[name], value) for name, value in network.state_dict().items())
    assert_drives_as_it_did(bundle, network, pictures(4, 224))
    report = json.loads((tmp_path / 'r.json').read_text())
    assert report['parameters'] == sum(value.numel() for value in network.parameters())


def prefixed(prefix, document):
    return {prefix + name: value for name, value in document['model_state_dict'].items()}


FORMS = {
    'as saved': (lambda d: d, ()),
    'a bare state dict': (lambda d: d['model_state_dict'], ()),
    'DataParallel': (lambda d: {**d, 'model_state_dict': prefixed('module.', d)}, ()),
    'compiled, then DataParallel': (lambda d: prefixed('module._orig_mod.', d), ()),
    'Lightning': (lambda d: {'state_dict': prefixed('model.', d), 'epoch': 7},
                  ['--map', 'model=']),
    'other names': (lambda d: {
        name.replace('vision_encoder', 'backbone.cnn').replace('actions', 'head.mlp'): value
        for name, value in d['model_state_dict'].items()},
        ['--map', 'backbone.cnn=vision_encoder', 'head.mlp=actions']),
    'with an optimizer': (lambda d: {**d, 'optimizer_state_dict': {'lr': [1e-3]}}, ()),
    'NumPy figures': (lambda d: {**d, 'val_mae': np.float64(0.222), 'epoch': np.int64(7)}, ()),
    'tensor figures': (lambda d: {**d, 'val_mae': torch.tensor(0.222), 'epoch': 7}, ()),
    'float64': (lambda d: {name: value.double()
                           for name, value in d['model_state_dict'].items()}, ()),
}


@pytest.mark.parametrize('form', FORMS)
@pytest.mark.parametrize('zipped', [True, False], ids=['zip', 'legacy'])
def test_the_forms_in_which_people_save(tmp_path, tiny, form, zipped):
    from vla_nav_node.convert.checkpoint.checkpoint import read_checkpoint
    from vla_nav_node.convert.checkpoint.containers import Selection
    from vla_nav_node.commands.import_ import _rule
    change, more = FORMS[form]
    torch.save(change(original.document(tiny[0])), tmp_path / 'c.pth',
               _use_new_zipfile_serialization=zipped)
    read = read_checkpoint(tmp_path / 'c.pth', Selection(renames=dict(map(_rule, more[1:]))))
    assert read.tensors.keys() == tiny[0].state_dict().keys()
    assert all(torch.equal(read.tensors[name].float(), value)
               for name, value in tiny[0].state_dict().items())
    figures = {'val_mae': 0.222, 'epoch': 7}
    assert all(value in (None, pytest.approx(figures[name]))
               for name, value in read.figures.items())
    if form in ('as saved', 'NumPy figures', 'tensor figures', 'with an optimizer'):
        assert read.figures == pytest.approx(figures)


@pytest.mark.parametrize('cell, recurrent', [
    (nn.LSTM, {}), (nn.GRU, {}), (nn.RNN, {'nonlinearity': 'relu'}), (nn.LSTM, {'bias': False}),
    (nn.GRU, {'bias': False}), (nn.RNN, {'nonlinearity': 'tanh', 'bias': False})])
def test_every_cell_is_worked_out_and_drives_as_it_did(tmp_path, cell, recurrent):
    network = original.original(cell=cell, layers=2, **recurrent)
    save_file(network.state_dict(), tmp_path / 'c.safetensors', {'epoch': '3', 'val_mae': '0.5'})
    assert importing(tmp_path / 'c.safetensors', tmp_path / 'b',
                     structure=structure(tmp_path / 's.yaml', type=cell.__name__,
                                         **recurrent)) == 0
    bundle = load_bundle(tmp_path / 'b')
    assert bundle.architecture['recurrent'] == {
        'type': cell.__name__, 'input_size': 16, 'hidden_size': 12, 'num_layers': 2, **recurrent}
    assert bundle.manifest['training']['imported']['val_mae'] == 0.5
    assert_drives_as_it_did(bundle, network, pictures())


def test_batch_norm_dropout_and_a_tanh_head(tmp_path):
    """Real encoders have them; running statistics are weights too."""
    network = original.original()
    torch.manual_seed(0)
    network.vision_encoder = nn.Sequential(
        nn.Conv2d(3, 6, 3, 2, bias=False), nn.BatchNorm2d(6), nn.LeakyReLU(0.1),
        nn.Conv2d(6, 6, 3, 2, groups=6), nn.BatchNorm2d(6), nn.Hardswish(), nn.Dropout2d(0.2),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 16), nn.LayerNorm(16), nn.GELU())
    network.actions = nn.Sequential(nn.Dropout(0.5), nn.Linear(12, 5), nn.BatchNorm1d(5),
                                    nn.ELU(), nn.Linear(5, 2), nn.Tanh())
    for layer in network.modules():
        if isinstance(layer, (nn.BatchNorm2d, nn.BatchNorm1d)):
            nn.init.normal_(layer.running_mean)
            nn.init.uniform_(layer.running_var, 0.5, 2.0)
    network.eval()
    torch.save(original.document(network), tmp_path / 'c.pth')
    described = structure(
        tmp_path / 's.yaml', encoder=[
            {'type': 'Conv2d', 'stride': 2, 'bias': False}, {'type': 'BatchNorm2d'},
            {'type': 'LeakyReLU', 'negative_slope': 0.1},
            {'type': 'Conv2d', 'stride': 2, 'groups': 6},
            {'type': 'BatchNorm2d'}, {'type': 'Hardswish'}, {'type': 'Dropout2d'},
            {'type': 'AdaptiveAvgPool2d', 'output_size': 1}, {'type': 'Flatten'},
            {'type': 'Linear'}, {'type': 'LayerNorm'}, {'type': 'GELU'}],
        batch_first=False, dropout=0.3, nonlinearity='tanh',
        head=[{'type': name} for name in ('Dropout', 'Linear', 'BatchNorm1d', 'ELU', 'Linear',
                                          'Tanh')])
    assert importing(tmp_path / 'c.pth', tmp_path / 'b', structure=described) == 0
    bundle = load_bundle(tmp_path / 'b')
    assert bundle.architecture['encoder'][3]['groups'] == 6
    assert_drives_as_it_did(bundle, network, pictures())


def test_bgr_becomes_rgb(tmp_path, tiny):
    """A policy trained on BGR acts the same when the bundle gets RGB."""
    network, path = tiny
    assert importing(path, tmp_path / 'b', structure=structure(tmp_path / 's.yaml'),
                     channels='bgr') == 0
    bundle = load_bundle(tmp_path / 'b')
    assert bundle.mean == pytest.approx((103.53, 116.28, 123.675))
    assert_drives_as_it_did(bundle, network, pictures(), seen=pictures().flip(-1))


def test_a_bundle_is_a_structure_too_and_the_old_one_is_replaced(tmp_path, tiny):
    assert importing(tiny[1], tmp_path / 'b', structure=structure(tmp_path / 's.yaml')) == 0
    first = load_bundle(tmp_path / 'b')
    assert importing(tiny[1], tmp_path / 'b', '--name', 'second', structure=tmp_path / 'b') == 0
    second = load_bundle(tmp_path / 'b')
    assert (first.name, second.name) == ('best_simple_lstm_model', 'second')
    assert first.architecture == second.architecture
    assert sorted(path.name for path in tmp_path.iterdir()) == ['b', 's.yaml']
