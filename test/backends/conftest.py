"""Tiny policies that the tests of several backends share."""

import pytest
import tiny
from vla_nav_node.backends import open_backend


@pytest.fixture(name='bundle', scope='module', params=['LSTM', 'GRU'])
def _bundle(request, tmp_path_factory):
    return tiny.write_tiny(tmp_path_factory.mktemp('bundle') / 'tiny', request.param, layers=2)


@pytest.fixture(name='reference', scope='module')
def _reference(bundle):
    return open_backend('onnx', bundle, device='cpu')
