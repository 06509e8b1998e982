"""The node drives only by what verify has passed, unless allow_unverified is set."""

import time

from onnx import load, save
import pytest
from rig import CameraThread, NodeProcess, Rig
import tiny
from vla_nav_node.bundle.bundle import amend, write_bundle
from vla_nav_node.bundle.verdicts import UNTRAINED
from vla_nav_node.convert.verify.verdict import verify_open_loop, write_verdicts
from vla_nav_node.driving.diagnostics.statuses import OK, WARN


def write(directory):
    """Write a tiny policy whose fp32 graph is verified and whose fp16 graph (the same) is not."""
    bundle = tiny.write_tiny(directory)
    half = directory.with_name('half')
    save(load(bundle.file('policy.fp32.onnx')), half)
    sources = {name: bundle.file(name) for name in bundle.manifest['files']}
    manifest = {key: value for key, value in bundle.manifest.items() if key != 'files'}
    return write_bundle(directory, manifest,
                        {**sources, 'policy.fp16.onnx': half})


def drive(**parameters):
    """Start a node and a rig."""
    return NodeProcess(**parameters), Rig()


def test_a_swap_to_what_is_not_verified_is_refused_until_it_is(tmp_path):
    bundle = write(tmp_path / 'tiny')
    node, rig = drive(model=bundle.directory)
    try:
        with CameraThread(rig):
            rig.drives()
            level, _, values = rig.say('policy', 'fp32')
            assert level == OK and values['verified'].startswith('passed on onnxruntime ')
            assert 'by onnx in fp16 has not been verified' in rig.configure(precision='fp16')
            rig.drives(time.monotonic())
            rows = verify_open_loop(bundle, tiny.scenes(), [('onnx', 'fp16')])
            write_verdicts(bundle, rows, {})
            assert rig.configure(precision='fp16') == ''
            rig.drives(time.monotonic())
            level, message, _ = rig.say('policy', 'fp16')
            assert level == OK, message  # new verdicts do not change the bundle
            assert rig.configure(backend='torch', precision='fp32') == ''
            assert rig.say('policy', 'torch')[2]['verified'] == 'the reference'
    finally:
        rig.close()
        status, stderr = node.finish()
    assert status == 0, stderr


def test_allow_unverified_drives_and_warns_all_the_time(tmp_path):
    bundle = write(tmp_path / 'tiny')
    node, rig = drive(model=bundle.directory, precision='fp16', allow_unverified=True)
    try:
        with CameraThread(rig):
            rig.drives()
            for _ in range(2):
                level, _, values = rig.say('policy', 'because allow_unverified is set')
                assert level == WARN
                assert values['verified'] == 'no: has not been verified'
            assert 'cannot change' in rig.configure(allow_unverified=False)
    finally:
        rig.close()
        status, stderr = node.finish()
    assert status == 0, stderr


@pytest.mark.parametrize('change, parameters, reason', [
    ({}, {'precision': 'fp16'}, 'tiny_lstm by onnx in fp16 has not been verified'),
    ({}, {'precision': 'int8', 'allow_unverified': True}, 'has no policy.int8.onnx'),
    ({'trained': False}, {'allow_unverified': True}, UNTRAINED),
    ({'trained': False}, {'backend': 'torch', 'allow_unverified': True}, UNTRAINED)])
def test_it_does_not_start_by_what_may_not_drive(tmp_path, change, parameters, reason):
    bundle = write(tmp_path / 'tiny')
    amend(bundle, lambda manifest: manifest['training'].update(change))
    status, stderr = NodeProcess(model=bundle.directory, **parameters).wait()
    assert status == 2
    assert reason in stderr and 'Traceback' not in stderr
