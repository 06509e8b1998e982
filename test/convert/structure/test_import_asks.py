"""Whatever a checkpoint does not hold is asked for in one message, and never guessed."""

import pytest

torch = pytest.importorskip('torch', reason='PyTorch is not installed')
pytest.importorskip('onnxruntime', reason='ONNX Runtime is not installed')
pytest.importorskip('onnx', reason='onnx is not installed')

from importer import ENCODER, HEAD, importing, KNOWN, structure  # noqa: E402, I100
import original  # noqa: E402
from torch import nn  # noqa: E402
from vla_nav_node import cli  # noqa: E402
from vla_nav_node.bundle.bundle import load_bundle  # noqa: E402
from vla_nav_node.convert.structure.structure_file import FILL_IN  # noqa: E402
import yaml  # noqa: E402


@pytest.fixture(name='path')
def _path(tmp_path):
    original.write_original(tmp_path / 'c.pth')
    return tmp_path / 'c.pth'


def test_everything_that_is_missing_is_in_one_message(path, capsys):
    assert cli.main(['import', str(path)]) == 2
    message = capsys.readouterr()
    assert message.err.count('\n') == 1
    for option in (*KNOWN, '--out', '--structure'):
        assert option in message.err
    assert yaml.safe_load(message.out).keys() == {'plain_sequence', 'encoder', 'recurrent', 'head'}


def test_a_preset_whose_shapes_fit_is_named(tmp_path, capsys):
    original.write_original(tmp_path / 'c.pth', **original.SIMPLE)
    assert cli.main(['import', str(tmp_path / 'c.pth')]) == 2
    assert '--structure simple' in capsys.readouterr().err


@pytest.mark.parametrize('option', [name[2:].replace('-', '_') for name in KNOWN])
def test_nothing_is_guessed(path, tmp_path, capsys, option):
    assert importing(path, tmp_path / 'b', structure='simple', **{option: None}) == 2
    told = capsys.readouterr().err
    assert f'does not hold --{option.replace("_", "-")};' in told
    assert not (tmp_path / 'b').exists()


def test_the_template_filled_in_is_the_structure(path, tmp_path, capsys):
    template = tmp_path / 't.yaml'
    assert cli.main(['import', str(path), '--template', str(template)]) == 0
    found = yaml.safe_load(template.read_text())
    assert found['encoder'][0] == {
        'type': 'Conv2d', 'in_channels': 3, 'out_channels': 4, 'kernel_size': 7,
        'stride': FILL_IN, 'padding': FILL_IN, 'dilation': FILL_IN, 'padding_mode': FILL_IN}
    assert [layer['type'] for layer in found['encoder']] == [
        layer['type'] if layer['type'] in ('Conv2d', 'Linear') else FILL_IN for layer in ENCODER]
    assert found['recurrent'] == {'type': 'RNN', 'input_size': 16, 'hidden_size': 12,
                                  'num_layers': 4, 'nonlinearity': FILL_IN}
    capsys.readouterr()
    assert importing(path, tmp_path / 'b', structure=template) == 2
    message = capsys.readouterr().err
    for place in ('plain_sequence', 'encoder.0.stride', 'encoder.1.type',
                  'recurrent.nonlinearity', 'head.1.type'):
        assert place in message
    for part, known in (('encoder', ENCODER), ('head', HEAD)):
        for layer, filling in zip(found[part], known):
            layer.update(filling)
    found['recurrent']['nonlinearity'], found['plain_sequence'] = 'tanh', True
    template.write_text(yaml.safe_dump(found))
    assert importing(path, tmp_path / 'b', structure=template) == 0
    assert load_bundle(tmp_path / 'b').architecture['recurrent']['nonlinearity'] == 'tanh'


def test_a_template_never_overwrites_what_may_be_filled_in(path, tmp_path, capsys):
    (tmp_path / 't.yaml').write_text('mine')
    assert cli.main(['import', str(path), '--template', str(tmp_path / 't.yaml')]) == 2
    assert (tmp_path / 't.yaml').read_text() == 'mine'


def test_a_template_knows_batch_norm_and_names_what_it_does_not(tmp_path, capsys):
    network = original.original()
    network.vision_encoder = nn.Sequential(
        nn.Conv2d(3, 6, 3, bias=False), nn.BatchNorm2d(6), nn.Conv2d(6, 6, 3, groups=6),
        nn.PReLU(6), nn.Flatten(), nn.Linear(24, 16), nn.BatchNorm1d(16))
    torch.save(network.state_dict(), tmp_path / 'c.pth')
    assert cli.main(['import', str(tmp_path / 'c.pth')]) == 2
    out = capsys.readouterr().out
    found = yaml.safe_load(out)['encoder']
    assert found[0]['bias'] is False and found[2]['groups'] == FILL_IN
    assert [found[place]['type'] for place in (1, 3, 6)] == ['BatchNorm2d', FILL_IN, 'BatchNorm1d']
    assert 'vision_encoder.3, weight [6]' in out


def test_named_parts_of_an_encoder_lead_to_map(tmp_path, capsys):
    weights = {name.replace('vision_encoder.0', 'vision_encoder.stem.conv'): value
               for name, value in original.original().state_dict().items()}
    torch.save(weights, tmp_path / 'c.pth')
    assert cli.main(['import', str(tmp_path / 'c.pth')]) == 2
    message = capsys.readouterr().err
    assert '--map vision_encoder.stem.conv=vision_encoder.NUMBER' in message
    assert cli.main(['import', str(tmp_path / 'c.pth'), '--template', str(tmp_path / 't.yaml'),
                     '--map', 'vision_encoder.stem.conv=vision_encoder.0']) == 0


@pytest.mark.parametrize('rule, expected', [
    ('head=actions', 'no tensor is called head'), ('actions.0=actions.2', 'two tensors')])
def test_a_map_that_does_not_work_is_told(path, capsys, rule, expected):
    assert cli.main(['import', str(path), '--map', rule]) == 2
    assert expected in capsys.readouterr().err


@pytest.mark.parametrize('option, value, expected', [
    ('limits', (0.5, 0), 'action.limits.linear_y is 0.0'), ('std', (1, 0, 1), '--std 1 0 1'),
    ('mean', ('nan', 0, 1), '--mean nan 0 1'), ('mean', (0.5,), '3 each')])
def test_values_that_no_bundle_can_have(path, tmp_path, capsys, option, value, expected):
    assert importing(path, tmp_path / 'b', structure=structure(tmp_path / 's.yaml'),
                     **{option: value}) == 2
    assert expected in capsys.readouterr().err
    assert not (tmp_path / 'b').exists()


def without(layers, *names):
    """Return a structure's layers without some arguments."""
    return [{name: value for name, value in layer.items() if name not in names}
            for layer in layers]


@pytest.mark.parametrize('change, wanted', [
    (lambda s: s.pop('plain_sequence'), 'plain_sequence (true: forward() gives each layer'),
    (lambda s: s.pop('head'), 'does not say head'),
    (lambda s: s.update(encoder=without(s['encoder'], 'dilation')),
     'encoder.0.dilation (torch: 1), encoder.2.dilation (torch: 1)'),
    (lambda s: s.update(encoder=without(s['encoder'], 'ceil_mode', 'stride')),
     'encoder.2.ceil_mode (torch: false)'),
    (lambda s: s['encoder'].insert(1, {'type': 'BatchNorm2d'}), 'encoder.1.eps (torch: 1e-05)'),
    (lambda s: s['encoder'].insert(1, {'type': 'LeakyReLU'}), 'encoder.1.negative_slope'),
    (lambda s: s['head'].insert(1, {'type': 'ELU'}), 'head.1.alpha (torch: 1.0)'),
    (lambda s: s['head'].insert(1, {'type': 'GELU'}), 'head.1.approximate (torch: none)'),
    (lambda s: s['encoder'].insert(1, {'type': 'AvgPool2d', 'kernel_size': 2}),
     'encoder.1.count_include_pad (torch: true)'),
    (lambda s: s.pop('recurrent'), 'recurrent does not say nonlinearity (torch: tanh)'),
    (lambda s: s.update(plain_sequence=False), 'plain_sequence: False; expected true: forward()')])
def test_what_no_shape_tells_of_the_numbers_has_to_be_said(path, tmp_path, capsys, change, wanted):
    """Torch's default is only one of the values that training may have used."""
    described = yaml.safe_load(structure(tmp_path / 's.yaml').read_text())
    change(described)
    (tmp_path / 's.yaml').write_text(yaml.safe_dump(described))
    assert importing(path, tmp_path / 'b', structure=tmp_path / 's.yaml') == 2
    message = capsys.readouterr().err
    assert wanted in message and message.count('\n') == 1


def test_presets_and_bundles_say_it_all_by_themselves(tmp_path):
    original.write_original(tmp_path / 'c.pth', **original.SIMPLE)
    assert importing(tmp_path / 'c.pth', tmp_path / 'b', structure='simple', size='64x64') == 0
    manifest = tmp_path / 'b' / 'policy.yaml'
    manifest.write_text(manifest.read_text().replace(', nonlinearity: tanh', ''))
    assert 'nonlinearity' not in load_bundle(tmp_path / 'b').architecture['recurrent']
    assert importing(tmp_path / 'c.pth', tmp_path / 'd', structure=tmp_path / 'b',
                     size='64x64') == 0


@pytest.mark.parametrize('written', ['1e-3', '1.0e-3', '0.001', '1E-3', '1.e-03'])
def test_a_small_number_is_one_as_people_write_it(tmp_path, written):
    """YAML 1.1 reads 1e-3 as a string."""
    network = original.original()
    network.vision_encoder = nn.Sequential(nn.Conv2d(3, 6, 3, 2), nn.BatchNorm2d(6, 1e-3),
                                           nn.AdaptiveAvgPool2d(1), nn.Flatten(),
                                           nn.Linear(6, 16))
    torch.save(network.state_dict(), tmp_path / 'c.pth')
    path = structure(tmp_path / 's.yaml', [
        {'type': 'Conv2d', 'stride': 2}, {'type': 'BatchNorm2d', 'eps': 'EPS'},
        {'type': 'AdaptiveAvgPool2d', 'output_size': 1}, {'type': 'Flatten'}, {'type': 'Linear'}])
    path.write_text(path.read_text().replace('EPS', written))
    assert importing(tmp_path / 'c.pth', tmp_path / 'b', structure=path) == 0
    assert load_bundle(tmp_path / 'b').architecture['encoder'][1]['eps'] == 1e-3
