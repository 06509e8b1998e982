"""What cannot come in whole stays out: one message, nothing written, nothing run."""

import contextlib
import os
import pickle
import warnings
import zipfile

from hypothesis import given, HealthCheck, settings, strategies as st
import pytest

torch = pytest.importorskip('torch', reason='PyTorch is not installed')
pytest.importorskip('onnxruntime', reason='ONNX Runtime is not installed')
pytest.importorskip('onnx', reason='onnx is not installed')

import original  # noqa: E402, I100
from safetensors.torch import save_file  # noqa: E402
from test_import import ENCODER, HEAD, importing, structure  # noqa: E402
from torch import nn  # noqa: E402
from vla_nav_node.convert.checkpoint import read_checkpoint  # noqa: E402
from vla_nav_node.convert.fit import check_walk  # noqa: E402
from vla_nav_node.convert.structure import complete, read_structure  # noqa: E402
from vla_nav_node.errors import CheckpointError, VlaNavError  # noqa: E402
from vla_nav_node.preprocess import InputSpec  # noqa: E402
import yaml  # noqa: E402


@pytest.fixture(name='weights')
def _weights():
    return dict(original.original().state_dict())


@pytest.fixture(name='refused')
def _refused(tmp_path, capsys):
    """Import what is given, see it refused in one line and nothing written; give the line."""
    def check(path, **options):
        out = tmp_path / 'never'
        options.setdefault('structure', structure(tmp_path / 'usual.yaml'))
        assert importing(path, out, **options) == 2
        told = capsys.readouterr().err.strip()
        assert '\n' not in told and told.startswith('vla_nav: ')
        assert not out.exists() and not list(tmp_path.glob('.never*'))
        return told
    return check


def saved(path, weights, **more):
    torch.save({'model_state_dict': weights, **more}, path)
    return path


def test_missing_extra_and_misshapen_keys_are_told_together(tmp_path, weights, refused):
    weights.pop('actions.2.bias')
    weights.pop('rnn.weight_hh_l2')
    weights['gripper.weight'] = torch.zeros(3)
    weights['rnn.bias_ih_l0'] = torch.zeros(13)
    told = refused(saved(tmp_path / 'c.pth', weights))
    for part in ('actions.2.bias is missing', 'rnn.weight_hh_l2 is missing',
                 'gripper.weight is unexpected', 'rnn.bias_ih_l0 is [13] instead of [12]'):
        assert part in told


@pytest.mark.parametrize('gone, told', [
    ('vision_encoder.3.weight', 'vision_encoder.3.weight is missing'),
    ('rnn.weight_hh_l0', 'rnn.weight_hh_l0 is missing'),
    ('actions.4.weight', 'actions.4.weight is missing')])
def test_a_missing_key_that_would_have_told_a_size(tmp_path, weights, refused, gone, told):
    """And the others are told beside it."""
    weights.pop(gone)
    weights['vision_encoder.1.weight'] = torch.zeros(4)
    message = refused(saved(tmp_path / 'c.pth', weights))
    assert told in message and 'vision_encoder.1.weight is unexpected' in message


def test_what_a_preset_says_must_be_so(tmp_path, weights, refused):
    told = refused(saved(tmp_path / 'c.pth', weights), structure='simple')
    assert 'vision_encoder.0.weight is [4, 3, 7, 7] instead of [64, 3, 7, 7]' in told


def test_another_cell_than_the_structure_says(tmp_path, refused):
    weights = original.original(cell=nn.LSTM).state_dict()
    told = refused(saved(tmp_path / 'c.pth', weights),
                   structure=structure(tmp_path / 's.yaml', type='GRU'))
    assert 'rnn is of type LSTM by its shapes instead of GRU' in told


@pytest.mark.parametrize('recurrent, told', [
    ({'bidirectional': True}, 'bidirectional'), ({'proj_size': 3, 'cell': nn.LSTM}, 'proj_size')])
def test_what_a_step_in_time_cannot_have(tmp_path, refused, recurrent, told):
    weights = original.original(**recurrent).state_dict()
    assert told in refused(saved(tmp_path / 'c.pth', weights))


@pytest.mark.parametrize('names, told', [
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
def test_a_backbone_that_there_is_not_is_named(tmp_path, weights, refused, names, told):
    """As in the original, whose file has it where the structures have `vision_encoder`."""
    kept = {name: value for name, value in weights.items()
            if not name.startswith('vision_encoder')}
    kept.update(dict.fromkeys(names, torch.zeros(2, 2)))
    message = refused(saved(tmp_path / 'c.pth', kept, val_mae=0.222), structure='simple')
    assert told in message and 'vision_encoder.*, rnn.*, actions.*' in message


def test_other_names_lead_to_map(tmp_path, weights, refused):
    renamed = {name.replace('actions', 'policy_head'): value for name, value in weights.items()}
    told = refused(saved(tmp_path / 'c.pth', renamed))
    assert 'policy_head' in told and 'no actions' in told and '--map NAME=actions' in told


class Spy:
    """Pickled, it makes a file when it is loaded the usual way."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize('zipped', [True, False], ids=['zip', 'legacy'])
@pytest.mark.parametrize('place', ['val_mae', 'weight', 'whole'])
def test_pickled_code_never_runs(tmp_path, weights, refused, zipped, place):
    spy = Spy(tmp_path / 'ran')
    document = original.document(original.original())
    if place == 'weight':
        document['model_state_dict']['extra'] = spy
    document[place] = spy
    torch.save(spy if place == 'whole' else document, tmp_path / 'c.pth',
               _use_new_zipfile_serialization=zipped)
    told = refused(tmp_path / 'c.pth')
    assert 'mkdir' in told and 'would run code' in told
    assert not (tmp_path / 'ran').exists()
    with contextlib.suppress(Exception):  # it is a bomb: the usual way sets it off
        torch.load(tmp_path / 'c.pth', weights_only=False)
    assert (tmp_path / 'ran').exists()


def test_a_plain_pickle_does_not_run_either(tmp_path, refused):
    (tmp_path / 'c.pth').write_bytes(pickle.dumps(Spy(tmp_path / 'ran')))
    refused(tmp_path / 'c.pth')
    assert not (tmp_path / 'ran').exists()


def test_a_whole_module_is_not_unpickled(tmp_path, refused):
    torch.save(original.original(), tmp_path / 'c.pth')
    told = refused(tmp_path / 'c.pth')
    assert 'original.Original' in told and 'state_dict' in told


@pytest.mark.parametrize('form', ['zip', 'legacy', 'safetensors'])
@pytest.mark.parametrize('share', [0.001, 0.3, 0.999])
def test_a_truncated_file(tmp_path, weights, refused, form, share):
    path = tmp_path / 'c.pth'
    if form == 'safetensors':
        save_file(weights, path)
    else:
        torch.save(weights, path, _use_new_zipfile_serialization=form == 'zip')
    path.write_bytes(path.read_bytes()[:max(12, int(path.stat().st_size * share))])
    assert 'broken or cut off' in refused(path)


def flipped(path):
    """Change one bit of a weight, which torch itself does not notice."""
    content = bytearray(path.read_bytes())
    weight = original.original().state_dict()['rnn.weight_hh_l1'].numpy().tobytes()
    content[content.index(weight) + 7] ^= 1
    path.write_bytes(content)


def compressed(path):
    with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as archive:
        archive.writestr('c/data.pkl', b'\0' * 10 ** 6)


def scripted(path):
    warnings.simplefilter('ignore', DeprecationWarning)
    torch.jit.script(nn.Linear(2, 2)).save(str(path))


@pytest.mark.parametrize('spoil, told', [
    (lambda path: path.write_bytes(b''), 'is empty'),
    (lambda path: path.write_text('these are no weights'), 'neither a torch file nor'),
    (lambda path: path.unlink(), 'no checkpoint at'),
    (lambda path: (path.unlink(), path.mkdir()), 'is no file'),
    (lambda path: torch.save([1, 2], path), 'holds a list'),
    (lambda path: torch.save({}, path), 'holds no weights'),
    (lambda path: torch.save({'net': {'a': torch.zeros(1)}}, path), "'net': dict"),
    (lambda path: torch.save({'state_dict': {1: torch.zeros(1)}}, path), 'in state_dict 1: Tensor'),
    (flipped, 'the checksum of'), (compressed, 'compressed'), (scripted, 'TorchScript')])
def test_what_is_no_checkpoint(tmp_path, weights, refused, spoil, told):
    spoil(saved(tmp_path / 'c.pth', weights))
    assert told in refused(tmp_path / 'c.pth')


@pytest.mark.parametrize('tensor, told', [
    (torch.tensor([1.0, float('nan')]), 'not finite'),
    (torch.zeros(1).expand(10 ** 6), 'more than its file has'),
    (torch.zeros(3, 3).to_sparse(), 'not a plain tensor'),
    (torch.zeros(10, 12, dtype=torch.int8), 'actions.0.weight is torch.int8'),
    (torch.full((10, 12), 1e300, dtype=torch.float64), 'too large for float32')])
def test_tensors_that_are_no_weights(tmp_path, weights, refused, tensor, told):
    weights['actions.0.weight'] = tensor
    assert told in refused(saved(tmp_path / 'c.pth', weights))


def test_a_picture_of_another_size(tmp_path, refused):
    """Where the encoder ends in a flattened map the size counts, and a wrong one is told."""
    network = original.original()
    network.vision_encoder = nn.Sequential(nn.Conv2d(3, 4, 3, 4), nn.Flatten(),
                                           nn.Linear(4 * 12 * 12, 16))
    (tmp_path / 's.yaml').write_text(yaml.safe_dump({
        'encoder': [{'type': 'Conv2d', 'stride': 4}, {'type': 'Flatten'}, {'type': 'Linear'}],
        'head': HEAD}))
    told = refused(saved(tmp_path / 'c.pth', network.state_dict()), size='64x48',
                   structure=tmp_path / 's.yaml')
    assert 'vision_encoder.2 (Linear) does not take [1, 768]' in told


@given(st.data())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@pytest.mark.parametrize('zipped', [True, False], ids=['zip', 'legacy'])
def test_any_damage_is_read_or_refused(tmp_path_factory, zipped, data):
    path = tmp_path_factory.getbasetemp() / f'damaged{zipped}.pth'
    torch.save({'model_state_dict': {'a.0.weight': torch.ones(2, 3)}, 'epoch': 3}, path,
               _use_new_zipfile_serialization=zipped)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content[:data.draw(st.integers(0, len(content)))])
    with contextlib.suppress(CheckpointError):
        read_checkpoint(path)


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
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_argument_of_a_layer_fits_or_is_refused(tmp_path_factory, layer, name, value):
    folder = tmp_path_factory.getbasetemp()
    if not (folder / 'sound.pth').exists():
        original.write_original(folder / 'sound.pth')
    encoder = [{**one, name: value} if one == layer else one for one in ENCODER]
    (folder / 'any.yaml').write_text(yaml.safe_dump({'encoder': encoder, 'head': HEAD}))
    sound = read_checkpoint(folder / 'sound.pth')
    with contextlib.suppress(VlaNavError):
        architecture = complete(read_structure(str(folder / 'any.yaml')), sound)
        check_walk(sound, architecture, InputSpec(48, 48))


@given(st.text() | st.fixed_dictionaries({'encoder': LAYERS | VALUES}, optional={
    'recurrent': RECURRENT | VALUES, 'head': LAYERS | VALUES}))
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_structure_fits_or_is_refused(tmp_path_factory, described):
    folder = tmp_path_factory.getbasetemp()
    if not (folder / 'sound.pth').exists():
        original.write_original(folder / 'sound.pth')
    text = described if isinstance(described, str) else yaml.safe_dump(described)
    (folder / 'any.yaml').write_text(text, encoding='utf-8', errors='replace')
    sound = read_checkpoint(folder / 'sound.pth')
    with contextlib.suppress(VlaNavError):
        architecture = complete(read_structure(str(folder / 'any.yaml')), sound)
        check_walk(sound, architecture, InputSpec(48, 48))
