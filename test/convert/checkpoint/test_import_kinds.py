"""Valid files are read or refused by kind; only a wrong length or checksum means broken."""

import argparse
from collections import Counter, defaultdict, deque, OrderedDict
import contextlib
import dataclasses
import datetime
import enum
import gzip
import io
import json
import pathlib
import pickle
import tarfile
import warnings
import zipfile

from hypothesis import example, given, HealthCheck, settings, strategies as st
import numpy as np
import pytest

torch = pytest.importorskip('torch', reason='PyTorch is not installed')
pytest.importorskip('onnxruntime', reason='ONNX Runtime is not installed')
pytest.importorskip('onnx', reason='onnx is not installed')

from importer import sb3_zip  # noqa: E402, I100
import original  # noqa: E402, I100
from safetensors.torch import save, save_file  # noqa: E402
from torch import nn  # noqa: E402
from vla_nav_node.convert.checkpoint.checkpoint import read_checkpoint  # noqa: E402
from vla_nav_node.convert.checkpoint.containers import Selection  # noqa: E402
from vla_nav_node.convert.checkpoint.reading.pickles import (  # noqa: E402
    Malformed, read_pickle, Refused)
from vla_nav_node.errors import CheckpointError  # noqa: E402


class Colour(enum.Enum):
    """A class that is missing where the file is read."""

    RED = 1


class Mode(enum.IntFlag):
    """An enumeration, which some versions of Python pickle with getattr."""

    FAST, SAFE = 1, 2


@dataclasses.dataclass
class Settings:
    """A configuration object."""

    rate: float = 1e-3
    folder: pathlib.Path = pathlib.PurePosixPath('/data')


class AttributeDict(dict):
    """Hyperparameters as Lightning saves them."""


class Weights(OrderedDict):
    """A subclass of dict that holds weights."""


class Transitions(list):
    """A subclass of list."""


with_attribute = AttributeDict(rate=1e-3)
with_attribute.owner = Settings()
BESIDE = {
    'Namespace': argparse.Namespace(rate=1e-3, layers=[1, 2], mode=Mode.SAFE),
    'NumPy scalars': [np.bool_(True), np.float16(1), np.int8(1), np.uint64(1), np.longdouble(1),
                      np.complex64(1), np.str_('a'), np.datetime64('2026-11-01'), np.void(b'ab')],
    'NumPy arrays': [np.ones(2, code) for code in ('f8', '>f4', 'f2', 'u2', '?', 'c8', 'S3', 'U3',
                                                   'M8[s]', 'V4')] + [np.array([None, 'a'])],
    'a structured array': np.zeros(2, [('a', 'f4'), ('b', 'i8')]),
    'random states': [np.random.default_rng(0), np.random.RandomState(0).get_state(),
                      torch.get_rng_state()],
    'dicts': [defaultdict(list, a=[1]), defaultdict(None), OrderedDict(a=1), Counter('aab'),
              with_attribute, {(1, 2): 3, None: 4, 1.5: 5, b'a': 6}],
    'sequences': [deque([1]), Transitions([1, 2]), {1, (2, 3)}, frozenset([1]), range(3),
                  slice(1, 2), (1, (2, (3,))), bytearray(b'a'), b'a' * 300, 'ä', 2 ** 80, 1 - 2j],
    'paths and times': [pathlib.Path('/a'), datetime.datetime(2026, 11, 1), datetime.timedelta(1),
                        datetime.timezone.utc],
    'enums and configurations': [Colour.RED, Mode.FAST | Mode.SAFE, Settings()],
    "torch's": [torch.Size([1, 2]), torch.device('cpu'), torch.float32, torch.strided,
                torch.nn.Parameter(torch.ones(2)), torch.zeros(2).to_sparse(),
                torch.ones(2, device='meta'), torch.ones(2, dtype=torch.complex64)],
    'classes and functions': [int, dict, type, object, len, Settings, np.float32, Ellipsis,
                              NotImplemented, nn.Linear],
    'an optimizer': torch.optim.Adam(nn.Linear(2, 2).parameters()).state_dict(),
}


def same_as_saved(read):
    return all(torch.equal(read.tensors[name], value)
               for name, value in original.original().state_dict().items())


@pytest.mark.parametrize('protocol', [2, 5])
@pytest.mark.parametrize('zipped', [True, False], ids=['zip', 'legacy'])
@pytest.mark.parametrize('beside', BESIDE)
def test_any_object_may_lie_beside_the_weights(tmp_path, beside, zipped, protocol):
    torch.save({'settings': BESIDE[beside], **original.document(original.original()),
                'val_mae': np.float32(0.5)}, tmp_path / 'c.pth', pickle_protocol=protocol,
               _use_new_zipfile_serialization=zipped)
    read = read_checkpoint(tmp_path / 'c.pth')
    assert read.figures == {'val_mae': 0.5, 'epoch': 7} and same_as_saved(read)


def test_a_dict_of_another_class_holds_weights_too(tmp_path):
    held = Weights(original.original().state_dict())
    held._metadata = Settings()
    torch.save(AttributeDict(state_dict=held), tmp_path / 'c.pth')
    assert same_as_saved(read_checkpoint(tmp_path / 'c.pth'))


@pytest.mark.parametrize('order', ['C', 'F'])
@pytest.mark.parametrize('protocol', [2, 5])
def test_weights_as_numpy_arrays(tmp_path, order, protocol):
    weights = {name: np.asarray(value.numpy(), order=order)
               for name, value in original.original().state_dict().items()}
    torch.save(weights, tmp_path / 'c.pth', pickle_protocol=protocol)
    assert same_as_saved(read_checkpoint(tmp_path / 'c.pth'))


@pytest.mark.parametrize('change', [
    lambda value: value.t().contiguous().t(), lambda value: torch.cat([value, value])[:len(value)],
    nn.Parameter, lambda value: torch.stack([value, value], -1)[..., 1]])
def test_views_and_parameters_of_any_layout(tmp_path, change):
    for zipped in (True, False):
        torch.save({name: change(value) if value.dim() == 2 else value
                    for name, value in original.original().state_dict().items()},
                   tmp_path / 'c.pth', _use_new_zipfile_serialization=zipped)
        assert same_as_saved(read_checkpoint(tmp_path / 'c.pth'))


def test_the_policy_in_a_stable_baselines3_archive(tmp_path):
    sb3_zip(tmp_path / 'c.zip', original.original().state_dict())
    read = read_checkpoint(tmp_path / 'c.zip')
    assert same_as_saved(read)
    assert read.notes == [
        'a Stable-Baselines3 archive: policy.pth was read, and nothing else in it']


def zip_of(*names):
    def make(path):
        with zipfile.ZipFile(path, 'w') as archive:
            for name in names:
                archive.writestr(name, b'x' * 100)
    return make


def scripted(path):
    warnings.simplefilter('ignore', DeprecationWarning)
    torch.jit.script(nn.Linear(2, 2)).save(str(path))


def packed(path):
    with tarfile.open(path, 'w') as archive:
        archive.add(__file__, 'model_weights.ckpt')


def graph(path):
    from onnx import helper, save_model
    save_model(helper.make_model(helper.make_graph([], 'g', [], [])), path)


KINDS = {
    'git-lfs pointer': lambda path: path.write_text(
        'version https://git-lfs.github.com/spec/v1\noid sha256:4d\nsize 9\n'),
    'a web page': lambda path: path.write_text('\n<!DOCTYPE html><html>Sign in</html>'),
    'an XML text': lambda path: path.write_text('<?xml version="1.0"?><Error/>'),
    'the index of weights in several files': lambda path: path.write_text(
        json.dumps({'metadata': {}, 'weight_map': {'a': 'b'}})),
    'a JSON text': lambda path: path.write_text('{"error": "not found"}'),
    'with gzip': lambda path: path.write_bytes(gzip.compress(b'a' * 100)),
    'a tar archive': packed,
    'an HDF5 file': lambda path: path.write_bytes(b'\x89HDF\r\n\x1a\n' + bytes(100)),
    'a GGUF file': lambda path: path.write_bytes(b'GGUF' + bytes(100)),
    'an ONNX graph': graph,
    'a NumPy array': lambda path: path.write_bytes(b'\x93NUMPY\x01\x00' + bytes(100)),
    'an archive of NumPy arrays': zip_of('a.npy', 'b.npy'),
    'a TorchScript program': scripted,
    'a program of torch.export': zip_of('a/models/model.json', 'a/version'),
    'a Keras model': zip_of('config.json', 'model.weights.h5'),
    'an archive that holds best.pth': zip_of('best.pth', 'readme.md'),
    'a zip archive that holds a.txt': zip_of('a.txt'),
    'a compressed archive': lambda path: zipfile.ZipFile(
        path, 'w', zipfile.ZIP_DEFLATED).writestr('c/data.pkl', bytes(10 ** 6)),
    'part of a TensorFlow checkpoint': lambda path: path.write_bytes(
        bytes(50) + bytes.fromhex('57fb808b247547db')),
    'a Python pickle that torch.save did not write': lambda path: path.write_bytes(
        pickle.dumps({'a': [1]}, 4)),
    'a Python pickle of an old protocol': lambda path: path.write_bytes(
        pickle.dumps({'a': [1]}, 0)),
    'neither a torch file nor': lambda path: path.write_bytes(b'these are no weights'),
    'objects of the class original.Original': lambda path: torch.save(
        {'model': original.original()}, path),
    'is empty': lambda path: path.write_bytes(b''),
}


@pytest.mark.parametrize('kind', KINDS)
def test_another_kind_of_file_is_told_and_never_called_broken(tmp_path, kind):
    KINDS[kind](tmp_path / 'best.pth')
    with pytest.raises(CheckpointError) as refusal:
        read_checkpoint(tmp_path / 'best.pth')
    assert kind in str(refusal.value) and 'broken' not in str(refusal.value)
    assert str(refusal.value).startswith('best.pth') and '\n' not in str(refusal.value)


def test_a_folder_is_told_with_the_files_that_it_has(tmp_path):
    (tmp_path / 'model.safetensors').write_bytes(b'x')
    with pytest.raises(CheckpointError, match='is no file, but a folder with model.safetensors'):
        read_checkpoint(tmp_path)


def saved_as(form):
    """Return the bytes of a valid file with the weights 1 to 6."""
    weights = {'vision_encoder.0.weight': torch.arange(1., 7.).view(2, 3),
               'rnn.weight_hh_l0': torch.ones(3), 'actions.0.weight': torch.full((2,), 5.)}
    if form == 'safetensors':
        return save(weights)
    content = io.BytesIO()
    torch.save(weights, content, _use_new_zipfile_serialization=form == 'zip')
    return content.getvalue()


FORMS = ('zip', 'legacy', 'safetensors')
SOUND = {form: saved_as(form) for form in FORMS}


@given(st.data())
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@pytest.mark.parametrize('form', FORMS)
def test_what_is_cut_off_anywhere_is_broken(tmp_path_factory, form, data):
    path = tmp_path_factory.getbasetemp() / f'cut_{form}'
    path.write_bytes(SOUND[form][:data.draw(st.integers(10, len(SOUND[form]) - 1))])
    with pytest.raises(CheckpointError, match='is broken or cut off'):
        read_checkpoint(path)


@given(st.integers(0, len(SOUND['zip']) - 1), st.integers(0, 7))
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_one_wrong_bit_of_a_zip_is_found_or_changes_nothing(tmp_path_factory, place, bit):
    path = tmp_path_factory.getbasetemp() / 'flipped.pth'
    content = bytearray(SOUND['zip'])
    content[place] ^= 1 << bit
    path.write_bytes(content)
    try:
        read = read_checkpoint(path)
    except CheckpointError:
        return
    assert torch.equal(read.tensors['vision_encoder.0.weight'], torch.arange(1., 7.).view(2, 3))


def test_a_storage_that_is_not_there_and_one_that_is_too_short(tmp_path):
    for name, change in {'gone': lambda kept: kept.pop('c/data/0'),
                         'short': lambda kept: kept.update({'c/data/0': b'1234'})}.items():
        torch.save({'vision_encoder.0.weight': torch.ones(9)}, tmp_path / 'c.pth')
        with zipfile.ZipFile(tmp_path / 'c.pth') as archive:
            kept = {record: archive.read(record) for record in archive.namelist()}
        change(kept)
        with zipfile.ZipFile(tmp_path / f'{name}.pth', 'w') as archive:
            for record, content in kept.items():
                archive.writestr(record, content)
        with pytest.raises(CheckpointError, match='broken or cut off: .*storage 0 of 36 bytes'):
            read_checkpoint(tmp_path / f'{name}.pth')


def test_a_file_that_was_saved_without_checksums_is_read_and_told(tmp_path):
    options = getattr(torch.serialization, 'set_crc32_options', None)
    if options is None:
        pytest.skip('this torch writes checksums always')
    options(False)
    try:
        torch.save(original.original().state_dict(), tmp_path / 'c.pth')
    finally:
        options(True)
    read = read_checkpoint(tmp_path / 'c.pth')
    assert same_as_saved(read) and 'saved without checksums' in read.notes[0]


def test_a_safetensors_that_is_longer_than_it_says(tmp_path):
    save_file({'a': torch.ones(3)}, tmp_path / 'c.safetensors')
    with open(tmp_path / 'c.safetensors', 'ab') as file:
        file.write(b'more')
    with pytest.raises(CheckpointError, match='broken or cut off: .* bytes instead of'):
        read_checkpoint(tmp_path / 'c.safetensors')


def plain(content):
    return read_pickle(io.BytesIO(content), {}, lambda reference: reference)


@given(st.binary(max_size=60))
@example(b'\x80\x02]q\x00h\x00a.')  # a list in itself
@example(b'((((((((((t\x85\x85\x85.')
@example(b'cbuiltins\ngetattr\n(c__main__\nx\nX\x01\x00\x00\x00at\x81}b.')
def test_any_pickle_is_read_or_refused(content):
    with contextlib.suppress(Malformed, Refused):
        plain(content)


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False)
                    | st.text() | st.binary(), lambda inner: st.lists(inner) | st.dictionaries(
                        st.text(), inner) | st.tuples(inner, inner), max_leaves=20),
       st.sampled_from([0, 1, 2, 3, 4, 5]))
def test_plain_values_are_read_as_pickle_reads_them(value, protocol):
    """Old protocols write bytes as calls of codecs, which stay opaque objects."""
    content = pickle.dumps(value, protocol)
    if b'_codecs' not in content and b'bytes' not in content:
        assert plain(content) == value


@pytest.mark.parametrize('name', ['posix\nsystem', 'builtins\neval', '__builtin__\nexec',
                                  'os\npath.join', 'subprocess\nPopen'])
@pytest.mark.parametrize('use', ['c{}\n.', "c{}\n(S'x'\ntR.", "(S'x'\ni{}\n.", "(c{}\nS'x'\no.",
                                 'c{}\n)\x81.', 'c{}\n}}b.'])
def test_what_would_run_code_is_refused_however_it_is_called(name, use):
    with pytest.raises(Refused, match='would run code'):
        plain(use.format(name).encode('latin-1'))


@pytest.mark.parametrize('content', [
    b'ctorch._utils\n_rebuild_tensor_v2\n(N}tb.',  # to change a function of torch
    b'ctorch._utils\n_rebuild_tensor_v2\nN}X\x0c\x00\x00\x00__defaults__N\x86b.',
    b'cnumpy\nndarray\n}(X\x03\x00\x00\x00fooK\x01ub.'])
def test_nothing_real_is_changed_by_a_pickle(content):
    before = torch._utils._rebuild_tensor_v2.__defaults__
    with contextlib.suppress(Malformed):
        plain(content)
    assert torch._utils._rebuild_tensor_v2.__defaults__ == before
    assert not hasattr(np.ndarray, 'foo')


def nested(depth, pair):
    """Return a pickle of nested tuples, deep or with 2 ** depth paths through it."""
    return b'\x80\x02)' + (b'2\x86' if pair else b'\x85') * depth


@pytest.mark.parametrize('content', [
    b'}' + nested(60, True)[2:] + b'K\x01s.',  # as a key: its hash would take for ever
    b'}' + nested(10 ** 6, False)[2:] + b'K\x01s.',  # or all of C's stack
    b']' + b'2a' * 10 + b'.'])
def test_a_bomb_of_references_is_read_at_once(content):
    plain(content)


def test_a_bomb_of_paths_and_one_of_objects_are_refused(tmp_path):
    bomb = {'a': torch.ones(1)}
    for _ in range(40):
        bomb = {'a': bomb, 'b': bomb}
    torch.save(bomb, tmp_path / 'c.pth')
    with pytest.raises(CheckpointError, match='holds more than'):
        read_checkpoint(tmp_path / 'c.pth')
    with pytest.raises(Refused, match='holds more than'):
        plain(b'(' + b'}' * 5_000_001 + b't.')


def test_copies_of_one_text_do_not_grow():
    """A megabyte that is decoded many times, as arrays are in an old protocol."""
    called = b'c_codecs\nencode\nh\x00X\x06\x00\x00\x00latin1\x86R'
    text = b'X' + (10 ** 6).to_bytes(4, 'little') + b'a' * 10 ** 6 + b'q\x00'
    assert len(plain(b'](' + text + called * 20_000 + b'e.')) == 20_001


def test_drop_and_weights_reach_beside_what_is_no_tensor(tmp_path):
    torch.save({'run': Settings(), 'ema': original.original().state_dict()}, tmp_path / 'c.pth')
    assert same_as_saved(read_checkpoint(tmp_path / 'c.pth', Selection(weights='ema')))
