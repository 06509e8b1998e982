"""Broken, hostile and foreign files are refused, and nothing in them is run."""

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

from importer import fresh_weights, importer, saved  # noqa: E402, F401, I100
import original  # noqa: E402
from safetensors.torch import save_file  # noqa: E402
from torch import nn  # noqa: E402
from vla_nav_node.convert.checkpoint.checkpoint import read_checkpoint  # noqa: E402
from vla_nav_node.errors import CheckpointError  # noqa: E402


class Spy:
    """An object that writes a file when it is unpickled."""

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
    message = refused(tmp_path / 'c.pth')
    assert 'mkdir' in message and 'would run code' in message
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
    message = refused(tmp_path / 'c.pth')
    assert 'original.Original' in message and 'state_dict' in message


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


@pytest.mark.parametrize('spoil, expected', [
    (lambda path: path.write_bytes(b''), 'is empty'),
    (lambda path: path.write_text('these are no weights'), 'neither a torch file nor'),
    (lambda path: path.unlink(), 'no checkpoint at'),
    (lambda path: (path.unlink(), path.mkdir()), 'is no file'),
    (lambda path: torch.save([1, 2], path), 'holds no weights'),
    (lambda path: torch.save({}, path), 'holds no weights'),
    (lambda path: torch.save({'net': {'a': torch.zeros(1)}}, path), 'has a (a, 1 tensor)'),
    (lambda path: torch.save({'state_dict': {1: torch.ones(1)}}, path), 'has 1 (1, 1 tensor)'),
    (flipped, 'the checksum of'), (compressed, 'compressed'), (scripted, 'TorchScript')])
def test_what_is_no_checkpoint(tmp_path, weights, refused, spoil, expected):
    spoil(saved(tmp_path / 'c.pth', weights))
    assert expected in refused(tmp_path / 'c.pth')


@pytest.mark.parametrize('tensor, expected', [
    (torch.tensor([1.0, float('nan')]), 'not finite'),
    (torch.zeros(1).expand(10 ** 6), 'more than its file has'),
    (torch.zeros(3, 3).to_sparse(), 'not a plain tensor'),
    (torch.zeros(10, 12, dtype=torch.int8), 'actions.0.weight is torch.int8'),
    (torch.full((10, 12), 1e300, dtype=torch.float64), 'too large for float32')])
def test_tensors_that_are_no_weights(tmp_path, weights, refused, tensor, expected):
    weights['actions.0.weight'] = tensor
    assert expected in refused(saved(tmp_path / 'c.pth', weights))


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
