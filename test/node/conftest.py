"""Fixtures of the tests that start nodes."""

import pytest
from rig import FaultyProcess
from tiny import write_tiny


@pytest.fixture(scope='module')
def bundle(tmp_path_factory):
    """Write a tiny policy."""
    return write_tiny(tmp_path_factory.mktemp('bundles') / 'tiny')


@pytest.fixture
def start_faulty(tmp_path, bundle):
    """Return a function that starts a node whose backends can be made to fail."""
    scenes = []

    def start(**parameters):
        scenes.append(FaultyProcess(tmp_path / 'fault', model=bundle.directory, **parameters))
        return scenes[-1]
    yield start
    for scene in scenes:
        scene.close()
