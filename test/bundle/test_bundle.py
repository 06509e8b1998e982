"""Bundles are accepted whole or refused whole, with every reason."""

import contextlib
import copy
from pathlib import Path
import resource
import shutil

from hypothesis import given, settings, strategies as st
import numpy as np
import pytest
import tiny
from vla_nav_node.bundle import bundle as bundles
from vla_nav_node.bundle.bundle import amend, load_bundle, MANIFEST, parse_manifest, write_bundle
from vla_nav_node.bundle.manifest import CHECKS
from vla_nav_node.errors import BundleError
from vla_nav_node.system.atomic_files import _exchange_in_steps
from vla_nav_node.vision.preprocess import InputSpec
import yaml

FILES = {'policy.safetensors': {'sha256': 'a' * 64, 'bytes': 7}}


@pytest.fixture(name='copied')
def _copied(directory, tmp_path):
    return Path(shutil.copytree(directory, tmp_path / 'copied'))


def changed(path, value):
    """Return a sound manifest with one value replaced, or removed where `value` is ... ."""
    manifest = {**copy.deepcopy(tiny.manifest()), 'files': copy.deepcopy(FILES)}
    *parents, last = path.split('/')
    place = manifest
    for key in parents:
        place = place[key]
    place.pop(last) if value is ... else place.update({last: value})
    return yaml.safe_dump(manifest)


def test_bundle_tells_what_the_manifest_says(directory):
    bundle = load_bundle(directory)
    assert bundle.name == 'tiny_lstm'
    assert bundle.input == InputSpec(24, 32, 'crop', 'supersample')
    assert bundle.limits == {'linear_x': 0.8, 'linear_y': 0.8}
    assert bundle.mean == (110.0, 105.0, 100.0)
    assert bundle.precisions == ('fp32',)
    assert bundle.state_shapes == {'h': (1, 1, 8), 'c': (1, 1, 8)}
    assert [part.dtype for part in bundle.zero_state()] == [np.float32] * 2
    assert bundle.tolerance('fp32') == 0.0001
    assert bundle.file('policy.fp32.onnx').is_file()


def test_a_file_that_is_not_listed_names_those_that_are(directory):
    with pytest.raises(BundleError, match=r'no policy\.int8\.onnx.*policy\.fp32\.onnx'):
        load_bundle(directory).file('policy.int8.onnx')


@pytest.mark.parametrize('path, value, message', [
    ('format', 2, 'format is 2, not 1'),
    ('format', True, 'format is True, not 1'),
    ('name', '', 'name'),
    ('name', ..., 'name is missing'),
    ('architecture', ..., 'architecture is missing'),
    ('architecture', [], 'architecture is .*, not a mapping'),
    ('architecture/encoder', [], 'architecture.encoder'),
    ('architecture/encoder', [{'kernel_size': 3}], 'architecture.encoder'),
    ('architecture/recurrent/type', 'Mamba', 'one of LSTM, GRU, RNN'),
    ('architecture/recurrent/hidden_size', 0, 'hidden_size'),
    ('architecture/recurrent/num_layers', True, 'num_layers'),
    ('architecture/recurrent/bidirectional', True, 'architecture.recurrent'),
    ('architecture/recurrent/bias', 0, 'true or false'),
    ('architecture/recurrent/nonlinearity', 'relu', 'only an RNN has a nonlinearity'),
    ('architecture/head', [64, -1], 'architecture.head'),
    ('architecture/head', [64, {'type': 'Tanh'}], 'architecture.head'),
    ('input/height', 96.0, 'input.height'),
    ('input/width', 10 ** 9, 'input.width'),
    ('input/fit', 'pad', 'one of crop, stretch'),
    ('input/rotation', 45, 'input.rotation is 45, not one of 0, 90, 180, 270'),
    ('input/rotation', True, 'input.rotation is True'),
    ('input/rotation', '90', 'input.rotation'),
    ('input/mean', [1, 2], 'input.mean'),
    ('input/std', [1, 0, 1], 'input.std'),
    ('action/names', ['linear_y', 'linear_x'], 'action.names'),
    ('action/unit', 'mph', "'m/s'"),
    ('action/limits/linear_x', float('inf'), 'linear_x is inf'),
    ('action/limits/linear_x', float('nan'), 'linear_x is nan'),
    ('action/limits/linear_y', -0.5, 'linear_y is -0.5'),
    ('action/limits/linear_y', ..., 'action.limits.linear_y is missing'),
    ('action/limits/angular_z', 1.0, 'action.limits'),
    ('files', {'../../etc/passwd': FILES['policy.safetensors']}, 'plain file names'),
    ('files', {'a/b': FILES['policy.safetensors']}, 'plain file names'),
    ('files', {'..': FILES['policy.safetensors']}, 'plain file names'),
    ('files', {'policy.yaml': FILES['policy.safetensors']}, 'plain file names'),
    ('files', {'x': {'sha256': 'A', 'bytes': 1}}, '64 hexadecimal'),
    ('files', {'x': {'sha256': 'a' * 64, 'bytes': -1}}, 'a whole number'),
    ('training', [], 'training'),
    ('verification/tolerance', {'fp32': 'little'}, 'a mapping of precisions to m/s above 0'),
])
def test_a_manifest_that_is_wrong_is_refused(path, value, message):
    with pytest.raises(BundleError, match=message):
        parse_manifest(changed(path, value))


def test_a_head_of_layers_and_a_cell_without_bias_are_sound():
    manifest = yaml.safe_load(changed('architecture/head', [{'type': 'Linear'}]))
    manifest['architecture']['recurrent'].update(type='RNN', bias=False, nonlinearity='relu')
    assert parse_manifest(yaml.safe_dump(manifest)) == manifest


def test_every_problem_is_in_one_message():
    text = yaml.safe_dump({'format': 1, 'name': 3})
    with pytest.raises(BundleError) as caught:
        parse_manifest(text)
    for part in ('name is 3', 'architecture.encoder', 'input', 'action', 'files is missing'):
        assert part.split('.')[0] in str(caught.value)


@pytest.mark.parametrize('text', [
    '', '[]', '42', 'a: [', '!!python/object:os.system {}', '!!bool x', '!!timestamp x',
    '!!int ""', b'\xff\xfe\x00', '\x00', '? [a]\n: 1', '&a [*a]', '[' * 5000])
def test_what_is_no_manifest_is_refused(text):
    with pytest.raises(BundleError):
        parse_manifest(text)


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(
    SCALARS, inner, max_size=4), max_leaves=8)
SOUND = yaml.safe_load(changed('name', 'sound'))
PATHS = [path.replace('.', '/') for path in CHECKS]


@given(st.text() | st.binary())
@settings(max_examples=150, deadline=None)
def test_any_text_loads_or_is_refused(text):
    with contextlib.suppress(BundleError):
        parse_manifest(text)


@given(st.sampled_from(PATHS), VALUES)
@settings(max_examples=200, deadline=None)
def test_any_value_anywhere_loads_or_is_refused(path, value):
    try:
        manifest = parse_manifest(changed(path, value))
    except BundleError:
        return
    bundle = bundles.Bundle(Path('.'), manifest)
    assert all(0 < most < float('inf') for most in bundle.limits.values())
    assert bundle.input.height > 0 and len(bundle.mean) == len(bundle.std) == 3


@pytest.mark.parametrize('damage, message', [
    (lambda d: (d / 'policy.safetensors').unlink(), 'policy.safetensors is missing'),
    (lambda d: (d / 'policy.fp32.onnx').write_bytes(b'x'), 'has 1 bytes instead of'),
    (lambda d: (d / 'policy.yaml').unlink(), 'has no policy.yaml'),
    (shutil.rmtree, 'no bundle at')])
def test_a_damaged_bundle_is_refused(copied, damage, message):
    damage(copied)
    with pytest.raises(BundleError, match=message):
        load_bundle(copied)


def test_one_flipped_bit_is_found_and_both_files_are_told(copied):
    for name in ('policy.safetensors', 'policy.fp32.onnx'):
        content = bytearray((copied / name).read_bytes())
        content[len(content) // 2] ^= 1
        (copied / name).write_bytes(content)
    with pytest.raises(BundleError, match=r'safetensors is altered.*onnx is altered'):
        load_bundle(copied)


def test_writing_over_a_bundle_replaces_it_and_leaves_nothing_behind(copied):
    write_bundle(copied, tiny.manifest('GRU'),
                 {'policy.safetensors': copied / 'policy.safetensors'})
    assert load_bundle(copied).name == 'tiny_gru'
    assert sorted(path.name for path in copied.iterdir()) == ['policy.safetensors', 'policy.yaml']
    assert [path.name for path in copied.parent.iterdir()] == ['copied']


@pytest.mark.parametrize('manifest, sources', [
    ({'format': 1}, {}),
    (tiny.manifest(), {'policy.safetensors': Path('not there')}),
    (tiny.manifest(), {'../policy.safetensors': Path('not there')}),
    ({**tiny.manifest(), 'training': {'loss': np.float32(1)}}, {})])
def test_writing_that_fails_leaves_the_old_bundle(copied, manifest, sources):
    with pytest.raises(BundleError):
        write_bundle(copied, manifest, sources)
    assert load_bundle(copied).name == 'tiny_lstm'
    assert [path.name for path in copied.parent.iterdir()] == ['copied']


def rename(manifest):
    """Change a manifest."""
    manifest['name'] = 'renamed'


def test_a_manifest_is_amended_as_it_is_now_and_the_files_stay(copied):
    bundle = load_bundle(copied)
    amend(bundle, lambda manifest: manifest['training'].update(loss=0.5))
    assert amend(bundle, rename).manifest['training']['loss'] == 0.5
    after = load_bundle(copied)
    assert (after.name, after.manifest['files']) == ('renamed', bundle.manifest['files'])
    assert len(list(copied.iterdir())) == 3
    assert (copied / MANIFEST).stat().st_mode & 0o777 == 0o644


def test_what_is_said_of_other_files_is_not_written(copied):
    bundle = load_bundle(copied)
    write_bundle(copied, tiny.manifest('GRU'),
                 {'policy.safetensors': copied / 'policy.safetensors'})
    with pytest.raises(BundleError, match='were replaced meanwhile'):
        amend(bundle, rename)
    assert load_bundle(copied).name == 'tiny_gru'


@pytest.mark.parametrize('change', [
    lambda manifest: manifest.update(format=2), lambda manifest: manifest.update(name=object())])
def test_an_unsound_amendment_leaves_the_old_manifest(copied, change):
    with pytest.raises(BundleError):
        amend(load_bundle(copied), change)
    assert load_bundle(copied).name == 'tiny_lstm'


def test_a_manifest_that_cannot_be_written_whole_is_the_old_one(copied):
    usual = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, usual[1]))  # as a full disk: after 100 bytes
    try:
        with pytest.raises(BundleError, match='cannot be written: File too large'):
            amend(load_bundle(copied), rename)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, usual)
    assert load_bundle(copied).name == 'tiny_lstm'
    assert len(list(copied.iterdir())) == 3


def test_a_directory_with_other_files_is_never_replaced(tmp_path):
    (tmp_path / 'home').mkdir()
    (tmp_path / 'home' / 'letter.txt').write_text('dear')
    with pytest.raises(BundleError, match=r'letter\.txt'):
        write_bundle(tmp_path / 'home', tiny.manifest(), {})
    assert (tmp_path / 'home' / 'letter.txt').read_text() == 'dear'


def test_names_are_swapped_where_the_file_system_cannot_exchange(tmp_path):
    for name in 'ab':
        (tmp_path / name).mkdir()
        (tmp_path / name / f'was_{name}').touch()
    _exchange_in_steps(tmp_path / 'a', tmp_path / 'b')
    assert (tmp_path / 'a' / 'was_b').exists() and (tmp_path / 'b' / 'was_a').exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ['a', 'b']
