"""Runtimes opened ready to drive, or the reasons why not."""

import pytest
import tiny
from vla_nav_node.backends import is_installed, open_backend
from vla_nav_node.driving.command_limits import CommandLimits
from vla_nav_node.errors import BackendError, BundleError
from vla_nav_node.policy.fallback import FallbackPolicy
from vla_nav_node.policy.runtime_opener import RuntimeOpener
from vla_nav_node.policy.runtime_spec import Runtime


@pytest.fixture(name='bundle', scope='module')
def _bundle(tmp_path_factory):
    return tiny.write_tiny(tmp_path_factory.mktemp('opening') / 'tiny')


@pytest.mark.skipif(is_installed('tensorrt'), reason='TensorRT is installed here')
def test_what_the_machine_has_not_is_told_and_what_the_bundle_has_not_is_refused(bundle):
    opener = RuntimeOpener(bundle, open_backend)
    absent = Runtime('tensorrt', 'fp32', 'auto')
    chain = opener.open_chain(absent, [Runtime('onnx'), absent])
    assert (chain.driving, chain.links[1].problem) == (1, '')
    policy = FallbackPolicy(chain, bundle.zero_state(), CommandLimits(0.8, 0.8, 1.0).objection)
    assert 'because of tensorrt:fp32@auto: backend tensorrt needs' in policy.warning()
    assert '; fall-back tensorrt:fp32@auto is not to be had (backend tensorrt' in policy.warning()
    with pytest.raises(BackendError, match='^tensorrt:fp32@auto: .*; tensorrt:fp32@cpu: '):
        opener.open_chain(absent, [absent._replace(device='cpu')])
    with pytest.raises(BundleError, match='int8'):
        opener.open_chain(Runtime('onnx'), [Runtime('onnx', 'int8')])
