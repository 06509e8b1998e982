"""A checkpoint that does not fit is refused: one message, nothing written, nothing run."""

import contextlib

from hypothesis import given, HealthCheck, settings, strategies as st
import pytest

torch = pytest.importorskip('torch', reason='PyTorch is not installed')
pytest.importorskip('onnxruntime', reason='ONNX Runtime is not installed')
pytest.importorskip('onnx', reason='onnx is not installed')

from importer import ENCODER, HEAD, saved, structure, TANH  # noqa: E402, I100
from importer import fresh_weights, importer  # noqa: E402, F401
import original  # noqa: E402
from torch import nn  # noqa: E402
from vla_nav_node.convert.checkpoint.checkpoint import read_checkpoint  # noqa: E402
from vla_nav_node.convert.structure.structure import check_shapes  # noqa: E402
from vla_nav_node.convert.structure.structure import complete  # noqa: E402
from vla_nav_node.convert.structure.structure_file import read_structure  # noqa: E402
from vla_nav_node.errors import VlaNavError  # noqa: E402
from vla_nav_node.vision.preprocess import InputSpec  # noqa: E402
import yaml  # noqa: E402


def test_missing_extra_and_misshapen_keys_are_told_together(tmp_path, weights, refused):
    weights.pop('actions.2.bias')
    weights.pop('rnn.weight_hh_l2')
    weights['gripper.weight'] = torch.zeros(3)
    weights['rnn.bias_ih_l0'] = torch.zeros(13)
    message = refused(saved(tmp_path / 'c.pth', weights))
    for part in ('actions.2.bias is missing', 'rnn.weight_hh_l2 is missing',
                 'gripper.weight is unexpected', 'rnn.bias_ih_l0 is [13] instead of [12]'):
        assert part in message


@pytest.mark.parametrize('gone, expected', [
    ('vision_encoder.3.weight', 'vision_encoder.3.weight is missing'),
    ('rnn.weight_hh_l0', 'rnn.weight_hh_l0 is missing'),
    ('actions.4.weight', 'actions.4.weight is missing')])
def test_a_missing_key_that_would_have_told_a_size(tmp_path, weights, refused, gone, expected):
    """The message names the other problems too."""
    weights.pop(gone)
    weights['vision_encoder.1.weight'] = torch.zeros(4)
    message = refused(saved(tmp_path / 'c.pth', weights))
    assert expected in message and 'vision_encoder.1.weight is unexpected' in message


def test_what_a_preset_says_must_be_so(tmp_path, weights, refused):
    message = refused(saved(tmp_path / 'c.pth', weights), structure='simple')
    assert 'vision_encoder.0.weight is [4, 3, 7, 7] instead of [64, 3, 7, 7]' in message


def test_an_argument_that_a_layer_does_not_have(tmp_path, weights, refused):
    message = refused(saved(tmp_path / 'c.pth', weights), structure=structure(
        tmp_path / 's.yaml', [{**ENCODER[0], 'colour': 'red'}, *ENCODER[1:]]))
    assert 'Conv2d' in message and 'colour' in message


def test_another_cell_than_the_structure_says(tmp_path, refused):
    weights = original.original(cell=nn.LSTM).state_dict()
    message = refused(saved(tmp_path / 'c.pth', weights),
                      structure=structure(tmp_path / 's.yaml', type='GRU'))
    assert 'rnn is of type LSTM by its shapes instead of GRU' in message


@pytest.mark.parametrize('recurrent, expected', [
    ({'bidirectional': True}, 'bidirectional'), ({'proj_size': 3, 'cell': nn.LSTM}, 'proj_size')])
def test_what_a_step_in_time_cannot_have(tmp_path, refused, recurrent, expected):
    weights = original.original(**recurrent).state_dict()
    assert expected in refused(saved(tmp_path / 'c.pth', weights))


@pytest.mark.parametrize('names, expected', [
    (('kosmos.text_model.model.embed_tokens.weight',
      'kosmos.text_model.model.layers.0.self_attn.k_proj.weight',
      'kosmos.vision_model.model.embeddings.class_embedding'),
     'a Kosmos-2 backbone (kosmos.text_model.model.embed_tokens.weight, 3 tensors)'),
    (('image_to_text_projection.latent_query', 'text_model.model.embed_tokens.weight'),
     'a Kosmos-2 backbone'),
    (('clip.visual_projection.weight', 'clip.text_model.embeddings.token_embedding.weight'),
     'a CLIP backbone'),
    (('visual.transformer.resblocks.0.attn.in_proj_weight', 'logit_scale'), 'a CLIP backbone'),
    (('vision_encoder.encoder.layers.0.self_attn.q_proj.weight',), 'a transformer'),
    (('vision_encoder.layer1.0.conv1.weight',), 'ResNet'),
    (('text_embedding.weight',), 'a text embedding')])
def test_a_backbone_that_there_is_not_is_named(tmp_path, weights, refused, names, expected):
    """The original's file has such a backbone in place of `vision_encoder`."""
    kept = {name: value for name, value in weights.items()
            if not name.startswith('vision_encoder')}
    kept.update(dict.fromkeys(names, torch.zeros(2, 2)))
    message = refused(saved(tmp_path / 'c.pth', kept, val_mae=0.222), structure='simple')
    assert expected in message and 'vision_encoder.*, rnn.*, actions.*' in message


def test_other_names_lead_to_map(tmp_path, weights, refused):
    renamed = {name.replace('actions', 'policy_head'): value for name, value in weights.items()}
    message = refused(saved(tmp_path / 'c.pth', renamed))
    assert 'policy_head' in message and 'no actions' in message and '--map NAME=actions' in message


def test_a_picture_of_another_size(tmp_path, refused):
    """If the encoder ends in a flattened map, a wrong picture size is reported."""
    network = original.original()
    network.vision_encoder = nn.Sequential(nn.Conv2d(3, 4, 3, 4), nn.Flatten(),
                                           nn.Linear(4 * 12 * 12, 16))
    message = refused(saved(tmp_path / 'c.pth', network.state_dict()), size='64x48',
                      structure=structure(tmp_path / 's.yaml', [
                       {'type': 'Conv2d', 'stride': 4}, {'type': 'Flatten'}, {'type': 'Linear'}]))
    assert 'vision_encoder.2 (Linear) does not take [1, 768]' in message


VALUES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6) | \
    st.lists(st.integers(), max_size=3)
LAYERS = st.lists(st.dictionaries(st.sampled_from(
    ['type', 'stride', 'padding', 'kernel_size', 'out_channels', 'groups', 'bias']),
    VALUES | st.sampled_from([layer['type'] for layer in ENCODER])), max_size=3)
RECURRENT = st.dictionaries(st.sampled_from(
    ['type', 'num_layers', 'hidden_size', 'nonlinearity', 'bidirectional', 'odd']),
    VALUES | st.sampled_from(['LSTM', 'GRU', 'RNN']))


@given(st.sampled_from(ENCODER), st.sampled_from(['stride', 'padding', 'bias', 'type', 'groups',
                                                  'kernel_size', 'dilation', 'padding_mode']),
       VALUES)
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_argument_of_a_layer_fits_or_is_refused(tmp_path_factory, layer, name, value):
    folder = tmp_path_factory.getbasetemp()
    if not (folder / 'sound.pth').exists():
        original.write_original(folder / 'sound.pth')
    encoder = [{**one, name: value} if one == layer else one for one in ENCODER]
    (folder / 'any.yaml').write_text(yaml.safe_dump(
        {'plain_sequence': True, 'encoder': encoder, 'recurrent': TANH, 'head': HEAD}))
    sound = read_checkpoint(folder / 'sound.pth')
    with contextlib.suppress(VlaNavError):
        architecture = complete(read_structure(str(folder / 'any.yaml')), sound)
        check_shapes(sound, architecture, InputSpec(48, 48))


@given(st.text() | st.fixed_dictionaries({'encoder': LAYERS | VALUES}, optional={
    'recurrent': RECURRENT | VALUES, 'head': LAYERS | VALUES, 'plain_sequence': VALUES}))
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_structure_fits_or_is_refused(tmp_path_factory, described):
    folder = tmp_path_factory.getbasetemp()
    if not (folder / 'sound.pth').exists():
        original.write_original(folder / 'sound.pth')
    text = described if isinstance(described, str) else yaml.safe_dump(described)
    (folder / 'any.yaml').write_text(text, encoding='utf-8', errors='replace')
    sound = read_checkpoint(folder / 'sound.pth')
    with contextlib.suppress(VlaNavError):
        architecture = complete(read_structure(str(folder / 'any.yaml')), sound)
        check_shapes(sound, architecture, InputSpec(48, 48))
