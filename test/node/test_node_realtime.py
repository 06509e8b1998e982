"""The parameter `realtime`: granted or refused is reported, and the node drives."""

import json
import logging
import os
from pathlib import Path
import subprocess
import sys
from threading import Event, Thread

import pytest
from rig import CameraThread, NodeProcess, Rig
from tiny import write_tiny

from vla_nav_node.driving.diagnostics.statuses import OK, realtime_status, WARN
from vla_nav_node.system.realtime import Answer, parse_cores, PRIORITIES, Realtime

ROOT = Path(__file__).parents[2]
REQUEST = """
import json, logging, os, resource, sys
from threading import Event
from vla_nav_node.system.realtime import Realtime
if sys.argv[1] == 'nobody':
    resource.setrlimit(resource.RLIMIT_RTPRIO, (0, 0))
    resource.setrlimit(resource.RLIMIT_MEMLOCK, (1 << 16, 1 << 16))
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    if os.geteuid() == 0:
        os.setgroups([])
        os.setuid(65534)
realtime = Realtime(True, logging.getLogger())
realtime.lock_memory()
found = []
def work(stopping):
    found.append([os.sched_getscheduler(0) & 0xff, sorted(os.sched_getaffinity(0))])
realtime.with_priority('driving', work)(Event())
print(json.dumps([realtime.answers, found, os.SCHED_FIFO]))
"""


def request(user):
    """Request all in another process; return answers, state, the number of FIFO and stderr."""
    done = subprocess.run([sys.executable, '-c', REQUEST, user], text=True, timeout=60, check=True,
                          env={**os.environ, 'PYTHONPATH': str(ROOT)}, capture_output=True)
    answers, (state,), fifo = json.loads(done.stdout)
    return [Answer(*answer) for answer in answers], state, fifo, done.stderr


def test_what_is_reported_as_granted_is_granted():
    (memory, first, core), (policy, allowed), fifo, stderr = request('me')
    print(memory, first, core, sep='\n')
    assert first.granted == (policy == fifo)
    assert core.granted == (len(allowed) == 1)
    assert all(answer.granted or f'{answer.request} refused' in stderr
               for answer in (memory, first, core))


def test_a_user_without_permissions_gets_the_fixes():
    answers, (policy, allowed), fifo, stderr = request('nobody')
    memory, first, core = answers
    assert not any(answer.granted for answer in answers)
    assert policy != fifo
    assert memory.text.startswith('the limit is 64 KiB; fix: ')
    assert '"<user> - memlock unlimited"' in memory.text and '--cap-add=IPC_LOCK' in memory.text
    assert first.text.startswith('Operation not permitted; fix: ')
    assert '"<user> - rtprio 42"' in first.text and 'CAP_SYS_NICE' in first.text
    assert core.text.startswith(f'this process may use core {allowed[0]} only')
    assert stderr.count('refused') == 3


def test_without_the_parameter_nothing_is_requested():
    realtime = Realtime(False, None)
    realtime.lock_memory()
    work = Event.set
    assert realtime.with_priority('driving', work) is work
    assert realtime.answers == []


def test_other_threads_stay_ordinary():
    assert Realtime(True, None).with_priority('diagnostics', Event.set) is Event.set
    assert PRIORITIES['watchdog'] > PRIORITIES['driving'] > PRIORITIES['camera']


def test_a_hung_thread_gives_its_priority_to_its_replacement():
    realtime, going, done, states = Realtime(True, logging.getLogger()), Event(), Event(), []

    def work(stopping):
        going.set()
        done.wait(10.0)
        states.append(os.sched_getscheduler(0) & 0xff)
    threads = [Thread(target=realtime.with_priority('driving', work), args=(None,), name='driving')
               for _ in range(2)]
    threads[0].start()
    assert going.wait(10.0)
    realtime.lower_priority('driving')
    going.clear()
    threads[1].start()
    assert going.wait(10.0)
    done.set()
    for thread in threads:
        thread.join()
    first, _ = realtime.answers  # the same request is reported once
    assert sorted(states) == sorted(
        [os.SCHED_OTHER, os.SCHED_FIFO if first.granted else os.SCHED_OTHER])


@pytest.mark.parametrize(('text', 'wanted'), [
    ('\n', set()), ('3\n', {3}), ('1-3\n', {1, 2, 3}), ('0,4-5,7\n', {0, 4, 5, 7})])
def test_the_kernels_lists_of_cores(text, wanted):
    assert parse_cores(text) == wanted


def test_diagnostics_name_what_was_refused():
    granted, refused = Answer('one', True, 'core 1'), Answer('two', False, 'why; fix: so')
    assert realtime_status([granted]).level == OK
    status = realtime_status([granted, refused])
    assert (status.level, status.message) == (WARN, 'refused: two (why; fix: so)')
    assert status.values == {'one': 'core 1', 'two': 'refused: why; fix: so'}


def test_the_node_drives_whatever_the_machine_says(tmp_path):
    node = NodeProcess(model=write_tiny(tmp_path / 'tiny').directory, realtime=True)
    rig = Rig()
    try:
        with CameraThread(rig):
            rig.drives()
            rig.until(lambda: rig.diagnostics and len(
                rig.diagnostics[-1][1]['realtime'][2]) == 2 + len(PRIORITIES),
                      'an answer to every wish')
        level, message, values = rig.diagnostics[-1][1]['realtime']
    finally:
        rig.close()
        status, stderr = node.finish()
    assert status == 0, stderr
    print(level, message, values, sep='\n')
    refused = [wish for wish, text in values.items() if text.startswith('refused: ')]
    assert (level, message.split(':')[0]) == ((WARN, 'refused') if refused else (OK, 'granted'))
    assert all(f'realtime: {wish} refused: ' in stderr for wish in refused)
