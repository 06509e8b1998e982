"""What a checkpoint does not tell is asked for, all of it at once, and never guessed."""

import pytest

torch = pytest.importorskip('torch', reason='PyTorch is not installed')
pytest.importorskip('onnxruntime', reason='ONNX Runtime is not installed')
pytest.importorskip('onnx', reason='onnx is not installed')

from importer import ENCODER, HEAD, importing, KNOWN  # noqa: E402, I100
import original  # noqa: E402
from torch import nn  # noqa: E402
from vla_nav_node import cli  # noqa: E402
from vla_nav_node.bundle import load_bundle  # noqa: E402
from vla_nav_node.convert.recipe import Recipe  # noqa: E402
from vla_nav_node.convert.structure import FILL_IN  # noqa: E402
from vla_nav_node.preprocess import InputSpec  # noqa: E402
import yaml  # noqa: E402


@pytest.fixture(name='path')
def _path(tmp_path):
    original.write_original(tmp_path / 'c.pth')
    return tmp_path / 'c.pth'


def test_everything_that_is_missing_is_in_one_message(path, capsys):
    assert cli.main(['import', str(path)]) == 2
    told = capsys.readouterr()
    assert told.err.count('\n') == 1
    for option in (*KNOWN, '--out', '--structure'):
        assert option in told.err
    assert yaml.safe_load(told.out).keys() == {'encoder', 'recurrent', 'head'}


def test_a_preset_whose_shapes_fit_is_named(tmp_path, capsys):
    original.write_original(tmp_path / 'c.pth', **original.SIMPLE)
    assert cli.main(['import', str(tmp_path / 'c.pth')]) == 2
    assert '--structure simple' in capsys.readouterr().err


@pytest.mark.parametrize('option', [name[2:].replace('-', '_') for name in KNOWN])
def test_nothing_is_guessed(path, tmp_path, capsys, option):
    assert importing(path, tmp_path / 'b', structure='simple', **{option: None}) == 2
    told = capsys.readouterr().err
    assert f'does not tell --{option.replace("_", "-")};' in told
    assert not (tmp_path / 'b').exists()


def test_the_template_filled_in_is_the_structure(path, tmp_path, capsys):
    template = tmp_path / 't.yaml'
    assert cli.main(['import', str(path), '--template', str(template)]) == 0
    found = yaml.safe_load(template.read_text())
    assert found['encoder'][0] == {
        'type': 'Conv2d', 'in_channels': 3, 'out_channels': 4, 'kernel_size': 7,
        'stride': FILL_IN, 'padding': FILL_IN}
    assert [layer['type'] for layer in found['encoder']] == [
        layer['type'] if layer['type'] in ('Conv2d', 'Linear') else FILL_IN for layer in ENCODER]
    assert found['recurrent'] == {'type': 'RNN', 'input_size': 16, 'hidden_size': 12,
                                  'num_layers': 4, 'nonlinearity': FILL_IN}
    capsys.readouterr()
    assert importing(path, tmp_path / 'b', structure=template) == 2
    told = capsys.readouterr().err
    for place in ('encoder.0.stride', 'encoder.1.type', 'recurrent.nonlinearity', 'head.1.type'):
        assert place in told
    for part, known in (('encoder', ENCODER), ('head', HEAD)):
        for layer, filling in zip(found[part], known):
            layer.update(filling)
    found['recurrent']['nonlinearity'] = 'tanh'
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
    assert found[0]['bias'] is False and found[2]['groups'] == 6
    assert [found[place]['type'] for place in (1, 3, 6)] == ['BatchNorm2d', FILL_IN, 'BatchNorm1d']
    assert 'vision_encoder.3, weight [6]' in out


def test_named_parts_of_an_encoder_lead_to_map(tmp_path, capsys):
    weights = {name.replace('vision_encoder.0', 'vision_encoder.stem.conv'): value
               for name, value in original.original().state_dict().items()}
    torch.save(weights, tmp_path / 'c.pth')
    assert cli.main(['import', str(tmp_path / 'c.pth')]) == 2
    told = capsys.readouterr().err
    assert '--map vision_encoder.stem.conv=vision_encoder.NUMBER' in told
    assert cli.main(['import', str(tmp_path / 'c.pth'), '--template', str(tmp_path / 't.yaml'),
                     '--map', 'vision_encoder.stem.conv=vision_encoder.0']) == 0


@pytest.mark.parametrize('rule, told', [
    ('head=actions', 'no tensor is called head'), ('actions.0=actions.2', 'two tensors')])
def test_a_map_that_does_not_work_is_told(path, capsys, rule, told):
    assert cli.main(['import', str(path), '--map', rule]) == 2
    assert told in capsys.readouterr().err


@pytest.mark.parametrize('channels, pixel_max, mean, std', [
    ('rgb', 1.0, [123.675, 116.28, 103.53], [58.395, 57.12, 57.375]),
    ('bgr', 1.0, [103.53, 116.28, 123.675], [57.375, 57.12, 58.395]),
    ('rgb', 255.0, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])])
def test_the_normalisation_is_in_the_bundles_units(channels, pixel_max, mean, std):
    recipe = Recipe('p', InputSpec(4, 4), channels, pixel_max, list(original.MEAN),
                    list(original.STD), [1.0, 1.0])
    assert recipe.normalisation() == (pytest.approx(mean), pytest.approx(std))


@pytest.mark.parametrize('option, value, told', [
    ('limits', (0.5, 0), 'action.limits.linear_y is 0.0'), ('std', (1, 0, 1), 'input.std'),
    ('mean', ('nan', 0, 1), 'input.mean')])
def test_values_that_no_bundle_can_have(path, tmp_path, capsys, option, value, told):
    (tmp_path / 's.yaml').write_text(yaml.safe_dump({'encoder': ENCODER, 'head': HEAD}))
    assert importing(path, tmp_path / 'b', structure=tmp_path / 's.yaml', **{option: value}) == 2
    assert told in capsys.readouterr().err
