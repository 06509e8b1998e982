"""Tuned settings hold where they were tuned; `~/retune` tunes while the robot is disabled."""

import os

import pytest
from rig import CameraThread, NodeProcess, Rig
from std_srvs.srv import SetBool, Trigger
from tiny import write_tiny
from vla_nav_node.backends import open_backend
from vla_nav_node.bundle.fingerprint import differences, fingerprint


@pytest.fixture(name='bundle', scope='module')
def _bundle(tmp_path_factory):
    return write_tiny(tmp_path_factory.mktemp('tuned') / 'tiny')


@pytest.fixture(name='here', scope='module')
def _here(bundle):
    """Return the fingerprint of the default runtime on this machine."""
    return fingerprint(bundle, open_backend('onnx', bundle, device='cpu').info,
                       date='2026-11-30')


@pytest.fixture(name='start')
def _start(bundle):
    """Return a function that starts a node and a rig; they end with the test."""
    opened = []

    def start(**parameters):
        opened.append(NodeProcess(model=bundle.directory, **parameters))
        opened.append(Rig())
        return opened[1]
    yield start
    node, rig = opened
    rig.close()
    status, stderr = node.finish()
    assert status == 0, stderr


def test_settings_that_were_tuned_here_drive(start, here):
    rig = start(tuned_for=f"'{here}'", tuned_p50_ms=1.5, huge_pages='false')
    with CameraThread(rig):
        rig.drives()
        level, _, values = rig.say('policy', 'onnx')
    assert values['tuned for'] == here
    assert level == 0
    assert not rig.get('huge_pages')


def test_settings_that_were_tuned_elsewhere_do_not(start, here):
    elsewhere = here.replace('cores=', 'cores=1')
    rig = start(tuned_for=f"'{elsewhere}'", tuned_p50_ms=1.5, huge_pages='false',
                rehearsal_ms=2.0, intra_op_num_threads=2)
    with CameraThread(rig):
        rig.drives()
        level, message, values = rig.say('policy', 'it drives by the default options')
    assert level == 1 and 'cores is' in message and 'fix: vla_nav tune' in message
    assert 'tuned for' not in values
    # What ROS tells is what drives.
    assert rig.get('huge_pages') and not rig.get('tuned_for')
    assert rig.get('rehearsal_ms') == 4.0
    assert rig.configure(huge_pages=False) == ''
    assert not rig.get('huge_pages')


def test_retune_is_refused_while_the_robot_may_drive_and_ends_when_it_may(start, monkeypatch,
                                                                          tmp_path):
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    rig = start()
    with CameraThread(rig):
        rig.drives()
        answer = rig.retune()
        assert not answer.success and 'call ~/enable with false' in answer.message
        assert rig.call(SetBool, data=False).success
        answer = rig.retune()
        assert answer.success and 'tuning tiny' in answer.message
        assert not rig.retune().success  # one at a time
        tuning = rig.until(lambda: children_that('tune'), 'the process of the tuning')
        assert all(os.getpriority(os.PRIO_PROCESS, pid) == 19 for pid in tuning)
        assert rig.call(SetBool, data=True).success
        rig.until(lambda: not children_that('tune'), 'the end of the tuning')
        rig.drives()
    assert rig.call(Trigger).success  # the node answers


def children_that(word):
    """Return the processes of this machine that run a verb of the command line."""
    found = []
    for pid in filter(str.isdigit, os.listdir('/proc')):
        try:
            with open(f'/proc/{pid}/cmdline', 'rb') as file:
                words = file.read().split(b'\0')
        except OSError:
            continue
        if b'vla_nav_node.cli' in words and word.encode() in words:
            found.append(int(pid))
    return found


@pytest.mark.parametrize('text, same', [
    ('cores=2; date=2026-01-01', True), ('cores=4', False), ('', False), ('nonsense', False),
    (' cores = 2 ;; ', True)])
def test_fingerprints_are_compared_by_their_parts_and_not_by_date(text, same):
    assert (not differences(text, 'cores=2; date=2026-11-30')) == same


def test_a_difference_is_told_in_words():
    assert differences('library=ort 1.31.0', 'library=ort 1.32.0; cores=2') == [
        'library is ort 1.32.0 instead of ort 1.31.0', 'cores is 2 instead of unknown']
