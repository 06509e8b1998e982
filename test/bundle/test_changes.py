"""A bundle that changes on disk under the node that drives by it."""

import pytest
from tiny import manifest

from vla_nav_node.bundle.bundle import write_bundle
from vla_nav_node.bundle.changes import BundleChanges
from vla_nav_node.errors import BundleError


def write(directory, weights=b'weights'):
    """Write a bundle whose files hold anything: nothing is opened here."""
    sources = {}
    for name, content in (('policy.safetensors', weights), ('policy.fp32.onnx', b'graph')):
        sources[name] = directory.with_name(name)
        sources[name].write_bytes(content)
    return write_bundle(directory, manifest(), sources)


@pytest.fixture
def watch(tmp_path):
    """Watch a bundle that has not changed."""
    watch = BundleChanges(write(tmp_path / 'policy'))
    assert watch.changed() == ''
    watch.check()
    return watch


def test_an_altered_file_is_named_and_refused(watch, tmp_path):
    with open(tmp_path / 'policy' / 'policy.fp32.onnx', 'r+b') as file:
        file.write(b'x')
    assert watch.changed() == 'policy.fp32.onnx changed on disk since the node loaded it'
    with pytest.raises(BundleError, match='policy.fp32.onnx is altered'):
        watch.check()


def test_a_missing_file_is_named_and_refused(watch, tmp_path):
    (tmp_path / 'policy' / 'policy.safetensors').unlink()
    assert watch.changed().startswith('policy.safetensors changed')
    with pytest.raises(BundleError, match='policy.safetensors is missing'):
        watch.check()


def test_another_sound_bundle_in_its_place_is_refused(watch, tmp_path):
    write(tmp_path / 'policy', b'others')
    assert watch.changed().startswith('policy.yaml, ')
    with pytest.raises(BundleError, match='was replaced since this node loaded it'):
        watch.check()


def test_the_same_bundle_written_again_is_welcome(watch, tmp_path):
    write(tmp_path / 'policy')
    watch.check()


@pytest.mark.parametrize('name', ['policy.fp32.onnx', 'policy.safetensors', 'policy.yaml'])
def test_a_change_between_loading_and_watching_is_told(tmp_path, name):
    bundle = write(tmp_path / 'policy')
    with open(tmp_path / 'policy' / name, 'ab') as file:
        file.write(b'#')
    watch = BundleChanges(bundle)
    assert watch.changed() == f'{name} changed on disk since the node loaded it'
    if name == 'policy.yaml':  # a comment, or a verdict: nothing that drives
        watch.confirm()
        assert watch.changed() == ''
        return
    with pytest.raises(BundleError, match=f'{name} has'):
        watch.confirm()
