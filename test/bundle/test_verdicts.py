"""Which backends may drive: sound verdicts, and all others."""

import copy

from hypothesis import given, strategies as st
import pytest
import tiny
from vla_nav_node.bundle.bundle import Bundle, load_bundle
from vla_nav_node.bundle.verdicts import (
    files_of, files_read, refusal_reason, require_verified, THRESHOLDS, UNTRAINED,
    verification_status)
from vla_nav_node.errors import BundleError
from vla_nav_node.types import BackendInfo

INFO = BackendInfo('onnx', 'onnxruntime', '1.0', 'cpu', 'CPUExecutionProvider', 'fp32')


@pytest.fixture(scope='module')
def bundle(tmp_path_factory):
    """Write a tiny policy with a true verdict on its fp32 graph."""
    return tiny.write_tiny(tmp_path_factory.mktemp('bundles') / 'tiny')


def changed(bundle, *keys, value):
    """Return the bundle with one value of its manifest changed."""
    manifest = copy.deepcopy(bundle.manifest)
    place = manifest
    for key in keys[:-1]:
        place = place[key]
    place[keys[-1]] = value
    return Bundle(bundle.directory, manifest)


VERDICT = ('verification', 'verdicts', 'onnx', 'fp32')


def test_what_has_passed_may_drive_and_the_reference_always(bundle):
    assert refusal_reason(bundle, 'onnx', 'fp32') == ''
    assert refusal_reason(bundle, 'torch', 'fp32') == ''
    require_verified(bundle, 'onnx', 'fp32')
    assert verification_status(bundle, INFO)[1] == ''
    assert verification_status(bundle, INFO)[0].startswith('passed on onnxruntime ')


@pytest.mark.parametrize('keys, value, message', [
    ((*VERDICT, 'passed'), False, 'did not pass: its verdict does not say why'),
    ((*VERDICT, 'passed'), 'true', 'did not pass'),
    ((*VERDICT, 'files', 'policy.fp32.onnx'), '0' * 64, 'was verified with other files'),
    ((*VERDICT, 'files', 'policy.safetensors'), '0' * 64, 'was verified with other files'),
    (('files', 'policy.safetensors', 'sha256'), '0' * 64, 'was verified with other files'),
    (('input', 'mean'), [1.0, 2.0, 3.0], 'was verified with another architecture, input'),
    ((*VERDICT, 'gates'), {'max': 1.0}, 'was verified with other thresholds'),
    (VERDICT, [], 'has not been verified'),
    (('verification',), {}, 'has not been verified'),
    (('training', 'trained'), False, UNTRAINED),
    (('training',), {}, UNTRAINED)])
def test_what_has_not_is_refused_with_the_reason(bundle, keys, value, message):
    found = changed(bundle, *keys, value=value)
    assert message in refusal_reason(found, 'onnx', 'fp32')
    with pytest.raises(BundleError, match=message.split('(')[0]):
        require_verified(found, 'onnx', 'fp32')


def test_a_verdict_tells_its_problems(bundle):
    found = changed(bundle, *VERDICT, 'passed', value=False)
    found = changed(found, *VERDICT, 'problems', value=['too far', 'too late'])
    assert refusal_reason(found, 'onnx', 'fp32') == 'did not pass: too far; too late'


def test_unverified_may_be_allowed_and_is_told_untrained_never(bundle):
    unverified = changed(bundle, *VERDICT, value={})
    require_verified(unverified, 'onnx', 'fp32', allow_unverified=True)
    verified, warning = verification_status(unverified, INFO)
    assert verified == 'no: has not been verified'
    assert 'allow_unverified' in warning
    untrained = changed(bundle, 'training', 'trained', value=False)
    for backend in ('torch', 'onnx'):
        with pytest.raises(BundleError, match='is not trained'):
            require_verified(untrained, backend, 'fp32', allow_unverified=True)


def test_what_there_is_not_is_refused_as_that(bundle):
    with pytest.raises(BundleError, match=r'has no policy\.int8\.onnx'):
        require_verified(bundle, 'onnx', 'int8')


def test_another_provider_than_the_verified_one_is_a_warning(bundle):
    cuda = BackendInfo('onnx', 'onnxruntime', '1.0', 'cuda', 'CUDAExecutionProvider', 'fp32')
    assert 'verified on CPUExecutionProvider' in verification_status(bundle, cuda)[1]


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(['verdicts', 'onnx', 'fp32', 'passed', 'files', 'manifest', 'gates',
                         'problems', 'ran_on', 'trained']), inner, max_size=6), max_leaves=20)


@given(verification=JUNK, training=JUNK)
def test_whatever_stands_in_a_manifest_nothing_passes_by_accident(bundle, verification, training):
    found = changed(bundle, 'verification', value=verification)
    assert refusal_reason(found, 'onnx', 'fp32')
    assert verification_status(found, INFO)[1]
    found = changed(bundle, 'training', value=training)
    trained = isinstance(training, dict) and training.get('trained') is True
    assert bool(refusal_reason(found, 'torch', 'fp32')) is not trained


def test_the_thresholds_are_those_of_the_documentation():
    assert THRESHOLDS == {
        'fp32': {'max': 1e-4, 'state': 1e-4}, 'fp16': {'max': 5e-3, 'state': 5e-3},
        'int8': {'mean': 1e-2, 'state': 0.025, 'lost': 0.01, 'episodes': 200}}


def test_the_bundle_that_ships_may_drive():
    shipped = load_bundle()
    for precision in shipped.precisions:
        assert refusal_reason(shipped, 'onnx', precision) == ''


def test_the_int8_of_tensorrt_is_a_file_of_its_own_where_there_is_one(tmp_path):
    bundle = tiny.write_tiny(tmp_path / 'tiny')
    assert files_read(bundle, 'tensorrt', 'int8') == ('policy.int8.onnx',)
    bundle.manifest['files']['policy.int8.qdq.onnx'] = {'sha256': 'ab' * 32, 'bytes': 1}
    assert files_read(bundle, 'tensorrt', 'int8') == ('policy.int8.qdq.onnx',)
    assert files_read(bundle, 'onnx', 'int8') == ('policy.int8.onnx',)
    assert files_of(bundle, 'tensorrt', 'int8')['policy.int8.qdq.onnx'] == 'ab' * 32
