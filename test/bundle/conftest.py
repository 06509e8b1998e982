"""A bundle on disk that tests read; they change copies of it."""

import pytest
import tiny


@pytest.fixture(name='directory', scope='package')
def _directory(tmp_path_factory):
    return tiny.write_tiny(tmp_path_factory.mktemp('bundles') / 'policy').directory
