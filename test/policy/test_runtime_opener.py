"""Runtimes opened ready to drive, or why they cannot be."""

import pytest
import tiny
from vla_nav_node.backends import is_installed, open_backend
from vla_nav_node.driving.command_limits import ActionCheck
from vla_nav_node.errors import BackendError, BundleError
from vla_nav_node.policy.fallback import FallbackPolicy
from vla_nav_node.policy.runtime_opener import RuntimeOpener
from vla_nav_node.policy.runtimes import Runtime


@pytest.fixture(name='bundle', scope='module')
def _bundle(tmp_path_factory):
    return tiny.write_tiny(tmp_path_factory.mktemp('opening') / 'tiny')


@pytest.mark.skipif(is_installed('tensorrt'), reason='TensorRT is installed here')
def test_what_the_machine_lacks_is_a_warning_and_what_the_bundle_lacks_is_refused(bundle):
    opener = RuntimeOpener(bundle, open_backend)
    absent = Runtime('tensorrt', 'fp32', 'auto')
    chain = opener.open_chain(absent, [Runtime('onnx'), absent])
    assert (chain.driving, chain.links[1].problem) == (1, '')
    policy = FallbackPolicy(chain, bundle.zero_state(), ActionCheck().problem)
    assert 'because of tensorrt:fp32@auto: backend tensorrt needs' in policy.warning()
    assert '; fallback tensorrt:fp32@auto is unavailable (backend tensorrt' in policy.warning()
    with pytest.raises(BackendError, match='^tensorrt:fp32@auto: .*; tensorrt:fp32@cpu: '):
        opener.open_chain(absent, [absent._replace(device='cpu')])
    with pytest.raises(BundleError, match='int8'):
        opener.open_chain(Runtime('onnx'), [Runtime('onnx', 'int8')])
