"""A policy runtime that fails in the running node: it stops, reports it, and still answers."""

import re
import time

import pytest
from rig import CameraThread
from std_srvs.srv import SetBool, Trigger


@pytest.fixture
def faults(start_faulty):
    """Start a node whose runtime can be made to fail."""
    return start_faulty()


def test_errors_of_the_runtime_stop_the_robot_until_they_are_over(faults):
    rig = faults.rig
    with CameraThread(rig):
        for fault, text in (('raise', 'infer: the runtime has run out of memory'),
                            ('nan', 'the policy gave a number that is not finite')):
            rig.drives()
            faults.make(fault)
            rig.stands()
            rig.errs('policy', text)
            faults.clear()
        rig.drives()


def test_a_runtime_that_computes_something_else_is_refused(faults):
    rig = faults.rig
    with CameraThread(rig):
        rig.drives()
    rig.stands()  # else the last image is still in transport, and differs
    faults.make('different')
    assert 'differs by 0.1 m/s from the running backend on the same' in rig.configure(device='cpu')
    faults.make('nan')
    assert 'differs by nan m/s from the running backend' in rig.configure(device='cpu')
    faults.make('crash')
    assert rig.configure(device='cpu') == 'ZeroDivisionError: unforeseen'
    faults.clear()
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
        assert moved - hung < 0.2 + 0.02 + 0.5  # 0.5 s for this process
        report = rig.errs('policy', 'infer has not come back for ')
        assert 'standing still: infer has not come back for ' in report['driving'][1]
        reports = len(rig.diagnostics)
        rig.until(lambda: len(rig.diagnostics) >= reports + 3, 'diagnostics during a hang')
        assert rig.call(SetBool, data=False).success
        assert rig.call(SetBool, data=True).success
        answer = rig.call(Trigger)
        assert not answer.success
        assert 'infer has not come back' in answer.message
        since = time.monotonic()
        faults.clear()
        rig.drives(since)
        faults.make('hang')
        rig.stands()
    status, stderr = faults.node.finish()  # from within a hang
    assert status == 0, stderr
    assert rig.commands[-1][1:] == (0.0, 0.0)
    lines = [line.split(']: ')[-1] for line in stderr.splitlines()]
    assert 'driving' in lines
    assert any(re.fullmatch(r'driving again after [0-9.]+ s', line) for line in lines)
    stops = [line for line in stderr.splitlines() if ']: standing still: infer has not' in line]
    assert stops and all('[WARN]' in line for line in stops)


def test_an_unforeseen_error_ends_it_with_a_zero_and_the_cause(faults):
    rig = faults.rig
    with CameraThread(rig):
        rig.drives()
        faults.make('crash')
        status, stderr = faults.node.wait()
        assert status == 1
        assert 'the driving thread died of ZeroDivisionError: unforeseen' in stderr
        rig.until(lambda: rig.commands[-1][1:] == (0.0, 0.0), 'the last zero')
