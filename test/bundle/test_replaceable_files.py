"""A new bundle replaces an old one's listed files, and nothing else."""

from pathlib import Path
import shutil

import pytest
import tiny
from vla_nav_node import cli
from vla_nav_node.bundle.bundle import load_bundle, MANIFEST, write_bundle
from vla_nav_node.bundle.replaceable_files import replaceable
from vla_nav_node.errors import BundleError


@pytest.fixture(name='there')
def _there(directory, tmp_path):
    return Path(shutil.copytree(directory, tmp_path / 'there'))


def write(target, source):
    """Write another bundle to `target`, with files from `source`."""
    return write_bundle(target, tiny.manifest('GRU'),
                        {'policy.safetensors': source / 'policy.safetensors'})


def content_of(directory):
    """Return everything below a directory; links count as their targets."""
    return {str(path.relative_to(directory)): path.is_file() and path.read_bytes()
            for path in sorted(directory.rglob('*'))}


def put(path, content=b'two weeks of work'):
    """Write a file, and its directory if need be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def replace(path, content=b'mine'):
    """Replace a file that the manifest lists."""
    path.unlink()
    path.write_bytes(content)


def into_a_directory(path):
    """Replace a file by a directory."""
    path.unlink()
    put(path / 'mine')


STRANGE = {
    'policy.pth': lambda d: put(d / 'policy.pth'),
    'policy.log': lambda d: put(d / 'policy.log'),
    'policy.int8.onnx': lambda d: put(d / 'policy.int8.onnx'),
    'policy.yaml.bak': lambda d: put(d / 'policy.yaml.bak'),
    '.git': lambda d: put(d / '.git' / 'HEAD'),
    '.hidden': lambda d: put(d / '.hidden'),
    'sub': lambda d: put(d / 'sub' / 'best.pth'),
    'empty': lambda d: (d / 'empty').mkdir(),
    'link': lambda d: (d / 'link').symlink_to('nowhere'),
    'policy.safetensors': lambda d: replace(d / 'policy.safetensors'),
    'policy.fp32.onnx': lambda d: into_a_directory(d / 'policy.fp32.onnx'),
    'policy.fp32.onnx is altered': lambda d: (d / 'policy.fp32.onnx').write_bytes(
        (d / 'policy.fp32.onnx').read_bytes()[:-1] + b'?'),
    'lists no such file': lambda d: put(d / 'x'),
    'not plain YAML': lambda d: put(d / MANIFEST, b'a: ['),
    'format is 2': lambda d: put(d / MANIFEST, b'format: 2'),
    'has no policy.yaml': lambda d: (d / MANIFEST).unlink()}


@pytest.mark.parametrize('message', STRANGE)
def test_what_the_old_manifest_does_not_list_is_in_the_way_and_stays(there, directory, message):
    STRANGE[message](there)
    before = content_of(there)
    with pytest.raises(BundleError, match=message.replace('.', r'\.')):
        write(there, directory)
    assert content_of(there) == before
    assert [path.name for path in there.parent.iterdir()] == ['there']


@pytest.mark.parametrize('name', ['policy.safetensors', 'policy.yaml', 'policy.pth', '.x', 'a/b'])
def test_a_directory_without_a_bundle_is_never_one_to_replace(tmp_path, directory, name):
    put(tmp_path / 'home' / name)
    with pytest.raises(BundleError, match='which would be lost'):
        write(tmp_path / 'home', directory)
    assert (tmp_path / 'home' / name).read_bytes() == b'two weeks of work'


def test_many_strangers_are_told_in_short(tmp_path, directory):
    for number in range(100):
        put(tmp_path / 'home' / f'{number:03}')
    with pytest.raises(BundleError, match='such as 000, 001, 002, 003, 004 and 95 more'):
        write(tmp_path / 'home', directory)


def test_an_old_bundle_an_empty_directory_and_nothing_are_replaced(there, directory, tmp_path):
    (there / 'policy.fp32.onnx').unlink()  # what is missing cannot be lost
    (tmp_path / 'empty').mkdir()
    for target in (there, tmp_path / 'empty', tmp_path / 'new' / 'deep'):
        assert write(target, directory).name == 'tiny_gru'
        assert sorted(replaceable(target)) == ['policy.safetensors', MANIFEST]
    assert sorted(path.name for path in tmp_path.iterdir()) == ['empty', 'new', 'there']


def test_a_link_to_a_bundle_stays_a_link_and_the_files_behind_links_stay(
        there, directory, tmp_path):
    (tmp_path / 'link').symlink_to(there)
    weights = tmp_path / 'weights'
    shutil.move(there / 'policy.safetensors', weights)
    (there / 'policy.safetensors').symlink_to(weights)
    assert write(tmp_path / 'link', directory).name == 'tiny_gru'
    assert (tmp_path / 'link').is_symlink() and load_bundle(there).name == 'tiny_gru'
    assert weights.read_bytes() == (directory / 'policy.safetensors').read_bytes()


def test_what_comes_in_between_is_left_where_it_can_be_found(there, directory, monkeypatch):
    """Somebody writes into the directory while it is being replaced."""
    from vla_nav_node.bundle import bundle as bundles
    exchange = bundles.put_in_place

    def beside(staging, target):
        put(target / 'mine')
        exchange(staging, target)
    monkeypatch.setattr(bundles, 'put_in_place', beside)
    with pytest.raises(BundleError, match='is left over'):
        write(there, directory)
    assert load_bundle(there).name == 'tiny_gru'
    left, = (path for path in there.parent.iterdir() if path != there)
    assert content_of(left) == {'mine': b'two weeks of work'}


@pytest.mark.parametrize('target', ['file', 'file/below'])
def test_a_place_where_nothing_can_be_written_is_an_error_of_the_user(tmp_path, directory, target):
    put(tmp_path / 'file')
    with pytest.raises(BundleError):
        write(tmp_path / target, directory)
    assert (tmp_path / 'file').read_bytes() == b'two weeks of work'


@pytest.mark.parametrize('verb', [['export'], ['export', 'simple'],
                                  ['quantize', '--frames', 'nowhere']])
def test_the_verbs_find_it_out_before_they_work(there, tmp_path, capsys, verb):
    pytest.importorskip('onnx')
    put(tmp_path / 'out' / 'policy.pth')
    model = [] if 'simple' in verb else [str(there)]
    assert cli.main([verb[0], *model, *verb[1:], '--out', str(tmp_path / 'out')]) == 2
    assert 'policy.pth' in capsys.readouterr().err
    assert content_of(tmp_path / 'out') == {'policy.pth': b'two weeks of work'}


@pytest.mark.parametrize('out', ['{run}', '{run}/policy.pth', '{link}', '{top}', '{bundle}'])
def test_an_import_never_takes_the_place_of_its_checkpoint(there, tmp_path, capsys, out):
    """The checkpoint's own directory, a link to it, one above it, a bundle that holds it."""
    torch = pytest.importorskip('torch')
    pytest.importorskip('onnx')
    from safetensors.torch import load_file
    weights = load_file(there / 'policy.safetensors')
    run = tmp_path / 'top' / 'run'
    run.mkdir(parents=True)
    torch.save({'model_state_dict': weights}, run / 'policy.pth')
    (tmp_path / 'link').symlink_to(run)
    source = there / 'policy.safetensors' if out == '{bundle}' else run / 'policy.pth'
    before = content_of(tmp_path)
    assert cli.main([
        'import', str(source), '--structure', str(there), '--size', '32x24', '--fit', 'crop',
        '--resize', 'linear', '--channels', 'rgb', '--pixel-max', '255',
        '--mean', '123.7', '116.3', '103.5', '--std', '1', '2', '3',
        '--limits', '0.5', '0.5', '--out', out.format(
            run=run, link=tmp_path / 'link', top=tmp_path / 'top', bundle=there)]) == 2
    assert source.name in capsys.readouterr().err or out == '{top}'
    assert content_of(tmp_path) == before


def external(path, location):
    """Move the first weights of a step graph to another file."""
    onnx = pytest.importorskip('onnx')
    model = onnx.load(str(path))
    onnx.external_data_helper.set_external_data(model.graph.initializer[0], location)
    path.write_bytes(model.SerializeToString())


def test_weights_outside_of_a_graph_are_refused(directory, tmp_path):
    for name in ('policy.fp32.onnx', 'policy.safetensors'):
        shutil.copy(directory / name, tmp_path / name)
    external(tmp_path / 'policy.fp32.onnx', 'weights.bin')
    put(tmp_path / 'weights.bin')
    sources = {path.name: path for path in tmp_path.iterdir()}
    with pytest.raises(BundleError, match=r'policy\.fp32\.onnx reads weights from .*weights\.bin'):
        write_bundle(tmp_path / 'new', tiny.manifest(), sources)
