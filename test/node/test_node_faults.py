"""A policy runtime that fails under the running node: it stops, says so, and stays answerable."""

from pathlib import Path
import sys
import time

import pytest
from rig import CameraThread, NodeProcess, Rig
from std_srvs.srv import SetBool, Trigger
from tiny import write_tiny

from vla_nav_node.driving.diagnostics.statuses import ERROR

FAULTY = [sys.executable, str(Path(__file__).parents[1] / 'faulty_node.py')]


@pytest.fixture(scope='module')
def bundle(tmp_path_factory):
    """Write a tiny policy."""
    return write_tiny(tmp_path_factory.mktemp('bundles') / 'tiny')


class Faults:
    """A driving node, and the file that brings its runtime to misbehave."""

    def __init__(self, path, bundle):
        """Start it."""
        self.path = path
        self.node = NodeProcess(command=FAULTY, env={'FAULT_FILE': str(path)},
                                model=bundle.directory)
        self.rig = Rig()

    def make(self, fault):
        """Bring a fault about."""
        beside = self.path.with_suffix('.new')
        beside.write_text(fault)
        beside.replace(self.path)

    def mend(self):
        """End the fault."""
        self.path.unlink(missing_ok=True)


@pytest.fixture
def faults(tmp_path, bundle):
    """Start a node whose runtime can be made to fail."""
    faults = Faults(tmp_path / 'fault', bundle)
    yield faults
    faults.mend()
    faults.rig.close()
    faults.node.process.kill()
    faults.node.wait()


def test_errors_of_the_runtime_stop_the_robot_until_they_are_over(faults):
    rig = faults.rig
    with CameraThread(rig):
        for fault, told in (('raise', 'infer: the runtime has run out of memory'),
                            ('nan', 'the policy gave a number that is not finite')):
            rig.drives()
            faults.make(fault)
            rig.stands()
            assert rig.say('driving', told)[0] == ERROR
            faults.mend()
        rig.drives()


def test_a_runtime_that_computes_something_else_is_refused(faults):
    rig = faults.rig
    with CameraThread(rig):
        rig.drives()
    rig.stands()  # or the last image, still under way, is what differs
    faults.make('different')
    assert 'differs by 0.1 m/s from the running backend on the same' in rig.configure(device='cpu')
    faults.make('nan')
    assert 'differs by nan m/s from the running backend' in rig.configure(device='cpu')
    faults.make('crash')
    assert rig.configure(device='cpu') == 'ZeroDivisionError: nobody foresaw this'
    faults.mend()
    with CameraThread(rig):
        rig.drives()
        assert rig.configure(device='cpu') == ''
    assert faults.node.finish()[0] == 0


def test_a_hang_stops_the_robot_and_is_named(faults):
    rig = faults.rig
    with CameraThread(rig):
        rig.drives()
        hung = time.monotonic()
        faults.make('hang')
        rig.stands()
        moved = max(at for at, x, y in rig.commands if x or y)
        assert moved - hung < 0.2 + 0.02 + 0.5  # the last is this process's own lateness
        level, _, _ = rig.say('driving', 'standing still: infer has not come back for ')
        assert level == ERROR
        reports = len(rig.diagnostics)
        rig.until(lambda: len(rig.diagnostics) >= reports + 3, 'diagnostics during a hang')
        assert rig.call(SetBool, data=False).success
        assert rig.call(SetBool, data=True).success
        answer = rig.call(Trigger)
        assert not answer.success
        assert 'infer has not come back' in answer.message
        since = time.monotonic()
        faults.mend()
        rig.drives(since)
        faults.make('hang')
        rig.stands()
    status, said = faults.node.finish()  # from within a hang
    assert status == 0, said
    assert rig.commands[-1][1:] == (0.0, 0.0)
    lines = [line.split(']: ')[-1] for line in said.splitlines()]
    assert 'drives' in lines and 'drives again' in lines
    assert [line for line in lines if line.startswith('standing still: ')]


def test_an_unforeseen_error_ends_it_with_a_zero_and_the_cause(faults):
    rig = faults.rig
    with CameraThread(rig):
        rig.drives()
        faults.make('crash')
        status, said = faults.node.wait()
        assert status == 1
        assert 'the driving thread died of ZeroDivisionError: nobody foresaw this' in said
        rig.until(lambda: rig.commands[-1][1:] == (0.0, 0.0), 'the last zero')
