"""What the tests of import share: the verb with everything it asks for, and its refusals."""

import io
import zipfile

import original
import pytest
import torch
from vla_nav_node import cli
from vla_nav_node.convert.structure.asked import ASKED
import yaml

SIZE = 48


def said(layers):
    """Return layers with every key that a structure needs, filled with torch's defaults."""
    defaults = [{name: default for name, default in ASKED.get(layer['type'], {}).items()
                 if default not in (None, 'kernel_size')} for layer in layers]
    return [{**told, **layer} for told, layer in zip(defaults, layers)]


ENCODER = said([
    {'type': 'Conv2d', 'stride': 2, 'padding': 3}, {'type': 'ReLU'},
    {'type': 'MaxPool2d', 'kernel_size': 3, 'stride': 2, 'padding': 1},
    {'type': 'Conv2d', 'stride': 2, 'padding': 1}, {'type': 'ReLU'},
    {'type': 'Conv2d', 'stride': 2, 'padding': 1}, {'type': 'ReLU'},
    {'type': 'AdaptiveAvgPool2d', 'output_size': 1}, {'type': 'Flatten'}, {'type': 'Linear'}])
HEAD = [{'type': 'Linear'}, {'type': 'ReLU'}, {'type': 'Linear'}, {'type': 'ReLU'},
        {'type': 'Linear'}]
KNOWN = {'--size': f'{SIZE}x{SIZE}', '--fit': 'stretch', '--resize': 'linear',
         '--channels': 'rgb', '--pixel-max': '1', '--mean': original.MEAN, '--std': original.STD,
         '--limits': (0.5, 0.4)}


TANH = {'nonlinearity': 'tanh'}


def structure(path, encoder=None, head=None, **recurrent):
    """Write what shapes do not tell of the original, or of another; give the path."""
    path.write_text(yaml.safe_dump({
        'plain_sequence': True, 'encoder': said(encoder or ENCODER),
        'recurrent': recurrent or TANH, 'head': said(head or HEAD)}))
    return path


def importing(checkpoint, out, *more, **changed):
    """Run the verb; give its exit status. `changed` replaces options, None leaves one out."""
    known = {**KNOWN, '--out': out,
             **{f'--{name.replace("_", "-")}': value for name, value in changed.items()}}
    options = [str(word) for name, value in known.items() if value is not None
               for word in (name, *(value if isinstance(value, tuple) else (value,)))]
    return cli.main(['import', str(checkpoint), *options, *map(str, more)])


@pytest.fixture(name='weights')
def fresh_weights():
    """Return a sound state dict of the original's form, to be spoilt."""
    return dict(original.original().state_dict())


@pytest.fixture(name='refused')
def importer(tmp_path, capsys):
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
    """Save weights as the author did; give the path."""
    torch.save({'model_state_dict': weights, **more}, path)
    return path


def sb3_zip(path, weights, data='{"policy_class": {":serialized:": "gASVOgAAAAAAAACMBXBvc2l4"}}'):
    """Write what Stable-Baselines3 writes: an archive with a file of torch.save in it."""
    inner = io.BytesIO()
    torch.save(weights, inner)
    with zipfile.ZipFile(path, 'w') as archive:
        archive.writestr('data', data)
        archive.writestr('pytorch_variables.pth', b'')
        archive.writestr('policy.pth', inner.getvalue())
        archive.writestr('policy.optimizer.pth', inner.getvalue())
        archive.writestr('system_info.txt', 'OS: any')
