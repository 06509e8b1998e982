"""The fault matrix: each fault on a driving node, and the table in the documentation."""

import importlib.util
import os

from faults import launched, table
from faults.fault import try_out
from faults.scene import Scene
from faults.trap_policy import write_trap
import pytest


@pytest.fixture(scope='module')
def scene(tmp_path_factory):
    """Start a camera and a base for all faults; a fault starts the node."""
    scratch = tmp_path_factory.mktemp('faults')
    scene = Scene(scratch, write_trap(scratch / 'trap'))
    yield scene
    scene.close()


@pytest.fixture(scope='module')
def measured():
    """Collect the times; `make faults` writes them into the document."""
    measured = {}
    yield measured
    if os.environ.get('WRITE_FAULTS'):
        table.write(measured)


@pytest.mark.parametrize('fault', table.FAULTS, ids=lambda fault: fault.name)
def test_fault(scene, measured, fault):
    for package in fault.needs:
        if importlib.util.find_spec(package) is None:
            pytest.skip(f'{package} is not installed: no ROS 2 with launch here')
        if launched.missing():
            pytest.skip(launched.missing())
    measured[fault.name] = try_out(scene, fault)


@pytest.mark.skipif('WRITE_FAULTS' in os.environ, reason='it is about to be written')
def test_the_document_lists_these_faults():
    rows = table.committed()
    assert list(rows) == [fault.name for fault in table.FAULTS], 'run make faults'
    for fault in table.FAULTS:
        cells = rows[fault.name]
        assert [*cells[:4], cells[5]] == table.described(fault), 'run make faults'
