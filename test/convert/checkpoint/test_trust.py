"""Input is data: nothing in it is run, leads outside its folder, or grows without limit."""

import ast
import os
from pathlib import Path
import pickle

import pytest
import tiny
from vla_nav_node import cli
from vla_nav_node.bundle.bundle import load_bundle, MANIFEST, parse_manifest
from vla_nav_node.bundle.plain_yaml import MOST_BYTES
from vla_nav_node.errors import BundleError
import yaml

PACKAGE = Path(__file__).resolve().parents[3] / 'vla_nav_node'
SOURCES = sorted(PACKAGE.rglob('*.py'))
FORBIDDEN_CALLS = {'eval', 'exec', 'compile', '__import__', 'os.system', 'os.popen',
                   'yaml.unsafe_load', 'yaml.full_load', 'tempfile.mktemp'}
FORBIDDEN_MODULES = {'pickle', 'cPickle', 'dill', 'cloudpickle', 'shelve', 'marshal', 'joblib',
                     'socket', 'urllib', 'http', 'requests'}
SAFE_LOADERS = {'yaml.SafeLoader', 'ManifestLoader', 'TEXT_LOADER'}
ALLOWED_NAMES = {'UnpicklingError'}  # an error to be caught


def name_of(node):
    """Return the dotted name of the called function as written."""
    parts = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return '.'.join([node.id if isinstance(node, ast.Name) else '?', *parts[::-1]])


def offences(source):
    """Yield each call or import that turns data into code or a shell command."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            name = name_of(node.func)
            keywords = {word.arg: ast.unparse(word.value) for word in node.keywords}
            given = [*map(ast.unparse, node.args[1:2]), keywords.get('Loader')]
            if (name in FORBIDDEN_CALLS or keywords.get('shell', 'False') != 'False'
                    or (name == 'torch.load' and keywords.get('weights_only') != 'True')
                    or keywords.get('allow_pickle', 'False') != 'False'
                    or (name in ('yaml.load', 'yaml.load_all')
                        and not SAFE_LOADERS.intersection(given))
                    or name.startswith(('os.exec', 'os.spawn', 'subprocess.getoutput'))):
                yield f'{node.lineno}: {name}'
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            yield from _imports(node)


def _imports(node):
    for alias in node.names:
        full = getattr(node, 'module', None) or alias.name
        calls = {f'{full}.{alias.name}', alias.name} & FORBIDDEN_CALLS
        if not getattr(node, 'level', 0) and alias.name not in ALLOWED_NAMES and (
                full.split('.')[0] in FORBIDDEN_MODULES or calls):
            yield f'{node.lineno}: import of {full} {alias.name}'


@pytest.mark.parametrize('path', SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_nothing_turns_data_into_code(path):
    assert list(offences(path.read_text(encoding='utf-8'))) == []


@pytest.mark.parametrize('bad', [
    'eval("1")', 'exec(text)', 'import os\nos.system("ls")', 'from os import system',
    'from os.path import os; os.popen("ls")',
    'import subprocess\nsubprocess.run("ls", shell=True)',
    'import pickle', 'from pickle import loads', 'import marshal as m', 'torch.load(path)',
    'torch.load(path, weights_only=False)', 'torch.load(path, weights_only=flag)',
    'yaml.load(text)', 'yaml.load_all(text)', 'yaml.load(text, Loader=yaml.Loader)',
    'yaml.unsafe_load(text)',
    'np.load(path, allow_pickle=True)', 'os.execvp("sh", [])', '__import__(name)'])
def test_the_rule_finds_what_it_is_for(bad):
    assert list(offences(bad))


@pytest.mark.parametrize('good', [
    'torch.load(path, weights_only=True)', 'yaml.load(text, ManifestLoader)', 'np.load(path)',
    'yaml.safe_load(text)', 'from pickle import UnpicklingError', 're.compile("a")',
    'subprocess.run([program], shell=False)'])
def test_the_rule_leaves_the_rest_alone(good):
    assert list(offences(good)) == []


class Bomb:
    """An object that writes a file when it is unpickled."""

    def __init__(self, path):
        """Set the file to write."""
        self.path = path

    def __reduce__(self):
        """Pickle as a call."""
        return Path.touch, (self.path,)


@pytest.mark.parametrize('form', ['torch', 'plain pickle', 'garbage'])
def test_a_checkpoint_with_code_in_it_is_refused_and_not_run(tmp_path, capsys, form):
    torch = pytest.importorskip('torch', reason='PyTorch is not installed')
    pytest.importorskip('mujoco', reason='MuJoCo is not installed')
    run, ran = tmp_path / 'run', tmp_path / 'ran'
    run.mkdir()
    state = {'round': 1, 'seeds': [], 'log': '[]', 'learner': Bomb(ran)}
    content = {'plain pickle': pickle.dumps(state), 'garbage': b'no checkpoint'}
    if form == 'torch':
        torch.save(state, run / 'checkpoint.pt')
    else:
        (run / 'checkpoint.pt').write_bytes(content[form])
    assert cli.main(['train', '--out', str(run), '--device', 'cpu', '--workers', '1']) == 2
    said = capsys.readouterr().err
    assert 'checkpoint.pt is no checkpoint of a training' in said and len(said) < 1000
    assert not ran.exists()
    if form != 'garbage':
        pickle.loads(pickle.dumps(state))
        assert ran.exists()  # the bomb is a real one


LAUGHS = 'a0: &a0 [x, x]\n' + ''.join(
    f'a{i}: &a{i} [{", ".join([f"*a{i - 1}"] * 10)}]\n' for i in range(1, 9))
MERGES = 'a0: &a0 {x: 1}\n' + ''.join(
    f'a{i}: &a{i} {{<<: [{", ".join([f"*a{i - 1}"] * 9)}]}}\n' for i in range(1, 30))


@pytest.mark.parametrize('text', [
    '[' * 100_000, '{a: ' * 30_000, '- ' * 50_000 + 'x', LAUGHS + 'format: 1\nname: *a8\n',
    'format: 1\nname: &a [*a]\nfiles: &b {x: *b}\n', 'format: 1\n<<: &b {<<: *b}\n',
    'format: 1\n' + MERGES, 'format: 1\nname: ' + '9' * 100_000,
    'format: 1\nname: ' + ':'.join(['59'] * 20_000),
    'format: 1\nname: [' + ':'.join(['59'] * 20_000) + ']', 'x' * (MOST_BYTES + 1),
    '!!python/object/apply:os.system ["true"]', '!!python/name:os.system'])
def test_a_manifest_made_to_hurt_is_refused_with_one_short_error(text):
    with pytest.raises(BundleError) as refused:
        parse_manifest(text)
    assert len(str(refused.value)) < 2000
    assert '\n' not in str(refused.value)


@pytest.fixture(name='directory')
def _directory(tmp_path):
    return tiny.write_tiny(tmp_path / 'policy').directory


@pytest.mark.parametrize('name', [
    '../outside', '/etc/hostname', '..', '.', 'a/b', 'a\\b', '', '~', '.hidden', 'policy.yaml',
    'a\0b', 'a\nb', 'x' * 256])
def test_a_file_name_that_leads_elsewhere_is_refused(directory, name):
    manifest = yaml.safe_load((directory / MANIFEST).read_text())
    manifest['files'][name] = {'sha256': '0' * 64, 'bytes': 0}
    (directory / MANIFEST).write_text(yaml.safe_dump(manifest))
    with pytest.raises(BundleError, match='plain file names'):
        load_bundle(directory)


def test_links_are_followed_and_what_they_lead_to_is_checked(directory, tmp_path):
    """A link is allowed: the hash of its target decides."""
    weights, moved = directory / 'policy.safetensors', tmp_path / 'elsewhere'
    weights.rename(moved)
    weights.symlink_to(moved)
    (tmp_path / 'current').symlink_to(directory)
    assert load_bundle(tmp_path / 'current').name == 'tiny_lstm'
    moved.write_bytes(moved.read_bytes()[:-1] + b'?')
    with pytest.raises(BundleError, match='altered'):
        load_bundle(directory)
    for target in ('/dev/zero', str(tmp_path), str(weights)):
        weights.unlink()
        weights.symlink_to(target)
        with pytest.raises(BundleError, match='missing'):
            load_bundle(directory)


@pytest.mark.parametrize('target', ['/dev/zero', 'pipe'])
def test_a_manifest_that_is_no_file_is_not_read(directory, tmp_path, target):
    """Reading a device or a pipe would never end."""
    os.mkfifo(tmp_path / 'pipe')
    (directory / MANIFEST).unlink()
    (directory / MANIFEST).symlink_to(tmp_path / target)
    with pytest.raises(BundleError, match='has no policy.yaml'):
        load_bundle(directory)
