"""A bundle that changes on disk while the node drives."""

import pytest
from tiny import manifest

from vla_nav_node.bundle.bundle import write_bundle
from vla_nav_node.bundle.changed_on_disk import BundleChanges
from vla_nav_node.errors import BundleError


def write(directory, weights=b'weights'):
    """Write a bundle whose files hold anything: nothing is opened here."""
    sources = {}
    for name, content in (('policy.safetensors', weights), ('policy.fp32.onnx', b'graph')):
        sources[name] = directory.with_name(name)
        sources[name].write_bytes(content)
    return write_bundle(directory, manifest(), sources)


@pytest.fixture
def changes(tmp_path):
    """Return the changes of a bundle that has none."""
    changes = BundleChanges(write(tmp_path / 'policy'))
    assert changes.changed() == ''
    changes.check()
    return changes


def test_an_altered_file_is_named_and_refused(changes, tmp_path):
    with open(tmp_path / 'policy' / 'policy.fp32.onnx', 'r+b') as file:
        file.write(b'x')
    assert changes.changed() == 'policy.fp32.onnx changed on disk since the node loaded it'
    with pytest.raises(BundleError, match='policy.fp32.onnx is altered'):
        changes.check()


def test_a_missing_file_is_named_and_refused(changes, tmp_path):
    (tmp_path / 'policy' / 'policy.safetensors').unlink()
    assert changes.changed().startswith('policy.safetensors changed')
    with pytest.raises(BundleError, match='policy.safetensors is missing'):
        changes.check()


def test_another_sound_bundle_in_its_place_is_refused(changes, tmp_path):
    write(tmp_path / 'policy', b'others')
    assert changes.changed().startswith('policy.yaml, ')
    with pytest.raises(BundleError, match='was replaced since this node loaded it'):
        changes.check()


def test_the_same_bundle_written_again_is_welcome(changes, tmp_path):
    write(tmp_path / 'policy')
    changes.check()


@pytest.mark.parametrize('name', ['policy.fp32.onnx', 'policy.safetensors', 'policy.yaml'])
def test_a_change_between_loading_and_watching_is_told(tmp_path, name):
    bundle = write(tmp_path / 'policy')
    with open(tmp_path / 'policy' / name, 'ab') as file:
        file.write(b'#')
    changes = BundleChanges(bundle)
    assert changes.changed() == f'{name} changed on disk since the node loaded it'
    if name == 'policy.yaml':  # a comment, or a verdict: nothing that drives
        changes.confirm()
        assert changes.changed() == ''
        return
    with pytest.raises(BundleError, match=f'{name} has'):
        changes.confirm()
