"""Shared by the tests of import: the verb with all its options, and its refusals."""

import io
import zipfile

import original
import pytest
import torch
from vla_nav_node import cli
from vla_nav_node.convert.structure.structure_file import REQUIRED
import yaml

SIZE = 48


def said(layers):
    """Return layers with all required arguments, torch's defaults where left out."""
    defaults = [{name: default for name, default in REQUIRED.get(layer['type'], {}).items()
                 if default not in (None, 'kernel_size')} for layer in layers]
    return [{**default, **layer} for default, layer in zip(defaults, layers)]


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
    """Write the structure file of the original, or of another network; return the path."""
    path.write_text(yaml.safe_dump({
        'plain_sequence': True, 'encoder': said(encoder or ENCODER),
        'recurrent': recurrent or TANH, 'head': said(head or HEAD)}))
    return path


def importing(checkpoint, out, *more, **changed):
    """Run the verb; return its exit status. `changed` replaces options, None omits one."""
    known = {**KNOWN, '--out': out,
             **{f'--{name.replace("_", "-")}': value for name, value in changed.items()}}
    options = [str(word) for name, value in known.items() if value is not None
               for word in (name, *(value if isinstance(value, tuple) else (value,)))]
    return cli.main(['import', str(checkpoint), *options, *map(str, more)])


@pytest.fixture(name='weights')
def fresh_weights():
    """Return a valid state dict of the original's form, to be damaged."""
    return dict(original.original().state_dict())


@pytest.fixture(name='refused')
def importer(tmp_path, capsys):
    """Return a function that asserts a refusal in one line, with nothing written."""
    def check(path, **options):
        out = tmp_path / 'never'
        options.setdefault('structure', structure(tmp_path / 'usual.yaml'))
        assert importing(path, out, **options) == 2
        message = capsys.readouterr().err.strip()
        assert '\n' not in message and message.startswith('vla_nav: ')
        assert not out.exists() and not list(tmp_path.glob('.never*'))
        return message
    return check


def saved(path, weights, **more):
    """Save weights as the author did; return the path."""
    torch.save({'model_state_dict': weights, **more}, path)
    return path


def sb3_zip(path, weights, data='{"policy_class": {":serialized:": "gASVOgAAAAAAAACMBXBvc2l4"}}'):
    """Write an archive as Stable-Baselines3 does, with a torch.save file in it."""
    inner = io.BytesIO()
    torch.save(weights, inner)
    with zipfile.ZipFile(path, 'w') as archive:
        archive.writestr('data', data)
        archive.writestr('pytorch_variables.pth', b'')
        archive.writestr('policy.pth', inner.getvalue())
        archive.writestr('policy.optimizer.pth', inner.getvalue())
        archive.writestr('system_info.txt', 'OS: any')
