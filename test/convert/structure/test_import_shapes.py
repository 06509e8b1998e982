"""Shapes with several readings are asked about; once stated, the policy acts as before."""

import cv2
from hypothesis import assume, given, HealthCheck, settings, strategies as st
import numpy as np
import pytest

torch = pytest.importorskip('torch', reason='PyTorch is not installed')
pytest.importorskip('onnxruntime', reason='ONNX Runtime is not installed')
pytest.importorskip('onnx', reason='onnx is not installed')

from importer import importer  # noqa: E402, F401, I100
from importer import importing, saved, SIZE, structure  # noqa: E402
import original  # noqa: E402
from torch import nn  # noqa: E402
from vla_nav_node.backends import open_backend  # noqa: E402
from vla_nav_node.bundle.bundle import load_bundle  # noqa: E402
from vla_nav_node.commands.import_ import import_checkpoint  # noqa: E402
from vla_nav_node.convert.checkpoint.checkpoint import read_checkpoint  # noqa: E402
from vla_nav_node.convert.structure.recipe import InputRecipe  # noqa: E402
from vla_nav_node.errors import BundleError  # noqa: E402
from vla_nav_node.policy.recurrent_policy import Policy  # noqa: E402
from vla_nav_node.vision.preprocess import InputSpec  # noqa: E402

STEPS, CLOSE = 20, 1e-5  # m/s
LUMA = (0.299, 0.587, 0.114)
FIRST = {'type': 'Conv2d', 'stride': 2, 'padding': 2}
REST = [{'type': 'ReLU'}, {'type': 'AdaptiveAvgPool2d', 'output_size': 4}, {'type': 'Flatten'},
        {'type': 'Linear'}]


def pictures(size=SIZE):
    """Return pictures uint8 [STEPS, size, size, 3], each of another colour."""
    rng = np.random.default_rng(1)
    colours = rng.integers(0, 200, (STEPS, 1, 1, 3), np.uint8)
    return colours + rng.integers(0, 56, (STEPS, size, size, 3), np.uint8)


def network_of(*encoder, cell=nn.LSTM, head=None, **recurrent):
    """Return a network of the original's form with this encoder, whose weights all matter."""
    network = original.original(cell=cell, layers=1, **recurrent)
    network.vision_encoder = nn.Sequential(*encoder)
    network.actions = head or network.actions
    for layer in [*network.vision_encoder.modules(), *network.actions.modules()]:
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            nn.init.normal_(layer.weight, std=1.2 / layer.weight[0].numel() ** 0.5)
        elif isinstance(layer, (nn.BatchNorm2d, nn.BatchNorm1d)):
            nn.init.normal_(layer.running_mean)
            nn.init.uniform_(layer.running_var, 0.01, 2.0)
    return network.eval()


def acted(network, seen):
    """Return the author's actions for pixels float [STEPS, C, H, W], as the network takes them."""
    with torch.inference_mode():
        return network(torch.as_tensor(seen, dtype=torch.float32)[None])[0].numpy()


def driven(directory, backend='onnx', size=SIZE):
    """Return a bundle's actions on the pictures."""
    bundle = load_bundle(directory)
    policy = Policy(open_backend(backend, bundle, device='cpu'), bundle.zero_state())
    return np.array([policy.act(picture[None]) for picture in pictures(size)])


def gray_network(channels=1, outputs=24, **more):
    """Return a network whose first convolution takes this number of channels."""
    return network_of(nn.Conv2d(channels, outputs, 5, 2, 2, **more), nn.ReLU(),
                      nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(outputs * 16, 16))


def weighted(shares):
    """Return the pictures as one channel, normalised by 0.5 and 0.25."""
    return ((pictures() / 255.0 @ np.array(shares))[:, None] - 0.5) / 0.25


@pytest.mark.parametrize('channels, shares', [('gray', LUMA), ('gray-mean', (1 / 3,) * 3)])
@pytest.mark.parametrize('dtype', [torch.float32, torch.float64, torch.float16])
def test_a_gray_policy_sees_gray(tmp_path, channels, shares, dtype, capsys):
    network = gray_network().to(dtype).float()
    weights = {name: value.to(dtype) for name, value in network.state_dict().items()}
    assert importing(saved(tmp_path / 'c.pth', weights), tmp_path / 'b', channels=channels,
                     mean=0.5, std=0.25, structure=structure(
                         tmp_path / 's.yaml', [FIRST, *REST], type='LSTM')) == 0
    assert 'note: the first convolution makes gray itself' in capsys.readouterr().out
    expected = acted(network, weighted(shares))
    assert expected.std(axis=0).min() > 50 * CLOSE
    for backend in ('torch', 'onnx'):
        assert driven(tmp_path / 'b', backend) == pytest.approx(expected, abs=CLOSE)
    bundle = load_bundle(tmp_path / 'b')
    assert bundle.input.shape == (1, SIZE, SIZE, 3) and bundle.mean == (127.5,) * 3
    assert bundle.architecture['encoder'][0]['in_channels'] == 3
    assert importing(tmp_path / 'c.pth', tmp_path / 'again', channels=channels, mean=0.5,
                     std=0.25, structure=tmp_path / 'b') == 0
    again = load_bundle(tmp_path / 'again')
    assert all(again.manifest['files'][name] == facts
               for name, facts in bundle.manifest['files'].items() if 'safetensors' in name)


def test_a_gray_policy_is_less_than_a_grey_level_off_opencvs_gray(tmp_path):
    """Only rounding differs: OpenCV and PIL have gray in whole levels."""
    torch.manual_seed(0)
    network = gray_network()
    assert importing(saved(tmp_path / 'c.pth', network.state_dict()), tmp_path / 'b',
                     channels='gray', mean=0.5, std=0.25, structure=structure(
                         tmp_path / 's.yaml', [FIRST, *REST], type='LSTM')) == 0
    rounded = np.stack([cv2.cvtColor(one, cv2.COLOR_RGB2GRAY) for one in pictures()])
    expected = acted(network, (rounded[:, None] / 255.0 - 0.5) / 0.25)
    assert driven(tmp_path / 'b') == pytest.approx(expected, abs=2e-3)


def test_one_channel_has_two_readings_and_both_can_be_said(tmp_path, refused, capsys):
    network = gray_network(3, 24, groups=3)
    path = saved(tmp_path / 'c.pth', network.state_dict())
    message = refused(path, structure=structure(tmp_path / 's.yaml', [FIRST, *REST], type='LSTM'))
    assert ('vision_encoder.0.weight is [24, 1, 5, 5]: it takes a gray picture (--channels gray, '
            'or gray-mean; groups: 1), or an RGB one in 3 groups (say groups: 3)') in message
    said = structure(tmp_path / 's.yaml', [{**FIRST, 'groups': 3}, *REST], type='LSTM')
    assert importing(path, tmp_path / 'b', structure=said, pixel_max='255', mean=(0, 0, 0),
                     std=(255, 255, 255)) == 0
    seen = pictures().transpose(0, 3, 1, 2) / 255.0
    assert driven(tmp_path / 'b') == pytest.approx(acted(network, seen), abs=CLOSE)
    assert 'only a plain first convolution' in refused(path, structure=said, channels='bgr')
    message = refused(path, structure=said, channels='gray', mean=0.5, std=0.5)
    assert 'vision_encoder.0.weight is [24, 1, 5, 5]' in message or 'does not take' in message


def test_a_gray_policy_that_no_groups_explain_is_gray(tmp_path, refused):
    message = refused(saved(tmp_path / 'c.pth', gray_network(1, 25).state_dict()),
                      structure=structure(tmp_path / 's.yaml', [FIRST, *REST], type='LSTM'))
    assert 'it takes a gray picture (--channels gray' in message and 'groups: 3' not in message


@pytest.mark.parametrize('taken, expected', [
    (2, 'gray and depth'), (4, 'a stack of 4 gray pictures, or RGB and depth'),
    (5, 'a stack of 5 gray pictures'), (6, 'a stack of 2 RGB pictures'),
    (9, 'a stack of 3 RGB pictures'),
    (12, 'a stack of 4 RGB pictures, or of 12 gray ones, or blocks of 2x2 pixels')])
@pytest.mark.parametrize('channels', ['rgb', 'gray'])
def test_what_takes_more_than_a_picture_is_named(tmp_path, refused, taken, expected, channels):
    path = saved(tmp_path / 'c.pth', gray_network(taken, 32).state_dict())
    number = {'mean': 0.5, 'std': 0.5} if channels == 'gray' else {}
    message = refused(path, channels=channels, **number, structure=structure(
        tmp_path / 's.yaml', [FIRST, *REST], type='LSTM'))
    assert expected in message and 'a bundle takes one RGB picture' in message


def test_an_rgb_policy_is_not_gray(tmp_path, refused):
    path = saved(tmp_path / 'c.pth', gray_network(3).state_dict())
    assert 'it takes an RGB picture (--channels rgb, or bgr)' in refused(
        path, channels='gray', mean=0.5, std=0.5, structure=structure(
            tmp_path / 's.yaml', [FIRST, *REST], type='LSTM'))


@pytest.mark.parametrize('taken, outputs, expected', [
    (1, 6, 'it takes the 6 channels before it in 6 groups (say groups: 6), or something lies'),
    (2, 6, 'in 3 groups (say groups: 3)'), (2, 4, 'does not take the 6 channels'),
    (4, 8, 'does not take the 6 channels'), (12, 8, 'concatenation'), (24, 8, 'blocks of pixels')])
def test_groups_within_an_encoder_are_asked_for(tmp_path, refused, taken, outputs, expected):
    network = network_of(nn.Conv2d(3, 6, 5, 2, 2), nn.ReLU(), nn.Conv2d(taken, outputs, 3))
    path = saved(tmp_path / 'c.pth', network.state_dict())
    assert expected in refused(path, structure=structure(
        tmp_path / 's.yaml', [FIRST, {'type': 'ReLU'}, {'type': 'Conv2d'}], type='LSTM'))


@pytest.mark.parametrize('kind', ['PReLU', 'Upsample', 'AdaptiveMaxPool2d', 'ConvTranspose2d',
                                  'PixelUnshuffle', 'GroupNorm', 'Softplus'])
def test_a_layer_that_a_bundle_does_not_have_is_named(tmp_path, refused, kind):
    path = saved(tmp_path / 'c.pth', gray_network(3).state_dict())
    assert f"layer '{kind}'; expected one of Conv2d" in refused(path, structure=structure(
        tmp_path / 's.yaml', [FIRST, {'type': kind}, *REST[1:]], type='LSTM'))


ACTIVATIONS = st.sampled_from([
    {'type': 'ReLU'}, {'type': 'ReLU6'}, {'type': 'SiLU'}, {'type': 'Tanh'}, {'type': 'Identity'},
    {'type': 'LeakyReLU', 'negative_slope': 0.3}, {'type': 'ELU', 'alpha': 0.5},
    {'type': 'GELU', 'approximate': 'tanh'}, {'type': 'GELU', 'approximate': 'none'}])
SIZES = st.integers(1, 7) | st.lists(st.integers(1, 7) | st.none(), min_size=2, max_size=2)
CELLS = st.sampled_from([('LSTM', {}), ('GRU', {}), ('GRU', {'bias': False}),
                         ('RNN', {'nonlinearity': 'tanh'}), ('RNN', {'nonlinearity': 'relu'})])


@st.composite
def pools(draw):
    """Draw a pool with every argument that changes its result."""
    side = draw(st.integers(2, 3))
    common = {'kernel_size': side, 'stride': draw(st.integers(1, 3)),
              'padding': draw(st.integers(0, side // 2)), 'ceil_mode': draw(st.booleans())}
    return draw(st.sampled_from([
        {'type': 'MaxPool2d', 'dilation': draw(st.integers(1, 2)), **common},
        {'type': 'AvgPool2d', 'count_include_pad': draw(st.booleans()), **common},
        {'type': 'AdaptiveAvgPool2d', 'output_size': draw(SIZES)}, {'type': 'Identity'}]))


@st.composite
def encoders(draw):
    """Draw convolutions, norms, activations and pools with all required arguments."""
    layers, taken = [], 3
    for _ in range(draw(st.integers(1, 2))):
        side, made = draw(st.sampled_from([1, 2, 3, 5])), taken * draw(st.integers(1, 2))
        layers.append({
            'type': 'Conv2d', 'in_channels': taken, 'out_channels': made, 'kernel_size': side,
            'stride': draw(st.integers(1, 3)), 'padding': draw(st.integers(0, side // 2)),
            'dilation': draw(st.integers(1, 2)), 'groups': draw(st.sampled_from([1, taken])),
            'bias': draw(st.booleans()),
            'padding_mode': draw(st.sampled_from(['zeros', 'reflect', 'replicate', 'circular']))})
        if draw(st.booleans()):
            layers.append({'type': 'BatchNorm2d', 'num_features': made,
                           'eps': draw(st.sampled_from([1e-5, 1e-3, 0.5]))})
        layers += [draw(ACTIVATIONS), draw(pools())]
        taken = made
    return layers


def built(layers):
    """Return torch's layers with a flattening and a product behind; None if they do not fit."""
    torch.manual_seed(3)
    modules = [getattr(nn, one['type'])(**{name: value for name, value in one.items()
                                           if name != 'type'}) for one in layers]
    try:
        with torch.inference_mode():
            maps = nn.Sequential(*modules).eval()(torch.zeros(1, 3, 24, 24))
    except RuntimeError:
        return None
    return [*modules, nn.Flatten(), nn.Linear(maps.numel(), 16)] if maps.numel() else None


@given(encoders(), CELLS, st.sampled_from([nn.Tanh, nn.Hardswish, nn.Identity]))
@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
def test_any_plain_sequence_drives_as_it_did(tmp_path_factory, layers, cell, last):
    """The import computes what torch does, or is refused in one line if ONNX lacks a layer."""
    modules = built(layers)
    assume(modules is not None)
    kind, recurrent = cell
    network = network_of(*modules, cell=getattr(nn, kind), **recurrent,
                         head=nn.Sequential(nn.Linear(12, 2), last()))
    expected = acted(network, (pictures(24).transpose(0, 3, 1, 2) - 127.5) / 60.0)
    assume(np.isfinite(expected).all())  # a pool may see nothing but its padding
    folder = tmp_path_factory.mktemp('any')
    torch.save(network.state_dict(), folder / 'c.pth')
    said = structure(folder / 's.yaml', [*layers, {'type': 'Flatten'}, {'type': 'Linear'}],
                     [{'type': 'Linear'}, {'type': last.__name__}], type=kind, **recurrent)
    recipe = InputRecipe('any', InputSpec(24, 24, 'stretch', 'linear'), 'rgb', 255.0, [127.5] * 3,
                         [60.0] * 3, [0.5, 0.5])
    try:
        import_checkpoint(read_checkpoint(folder / 'c.pth'), str(said), recipe, folder / 'b')
    except BundleError as error:
        assert 'ceil_mode' in str(error) and any(one.get('ceil_mode') for one in layers)
        return
    assert driven(folder / 'b', size=24) == pytest.approx(expected, abs=CLOSE, rel=CLOSE)
