"""Threads that fail, and what ends the main thread."""

import os
import signal
import subprocess
import sys
from threading import Event

from vla_nav_node.frame_mailbox import Mailbox
from vla_nav_node.threads import Ending, Threads


def fail(stopping):
    """Fail as nobody foresaw."""
    raise KeyError('missing')


def test_a_thread_that_fails_is_reported_with_its_place():
    told, done = [], Event()

    def on_failure(what):
        told.append(what)
        done.set()
    threads = Threads(on_failure)
    threads.start('camera', fail)
    assert done.wait(5.0)
    line, = told
    assert line.startswith("the camera thread died of KeyError: 'missing' (test_threads.py:")
    assert threads.stop()


def test_threads_stop_together():
    threads = Threads(lambda what: None)
    threads.start('one', lambda stopping: stopping.wait())
    threads.start('two', lambda stopping: stopping.wait())
    assert threads.stop()


def test_the_first_reason_ends_the_wait():
    ending = Ending()
    ending.because('one')
    ending.because('two')
    assert ending.wait() == 'one'


def test_a_signal_ends_the_wait():
    code = ('from vla_nav_node.threads import Ending; e = Ending(); e.catch_signals();'
            'print("ready", flush=True); print(e.wait())')
    process = subprocess.Popen([sys.executable, '-c', code], stdout=subprocess.PIPE, text=True,
                               cwd=os.path.dirname(os.path.dirname(__file__)))
    assert process.stdout.readline() == 'ready\n'
    process.send_signal(signal.SIGTERM)
    assert process.communicate(timeout=10.0)[0] == 'SIGTERM\n'


def test_the_newest_frame_wins_and_the_drop_is_counted():
    mailbox = Mailbox()
    for number in range(3):
        mailbox.put(number)
    assert mailbox.take(0.0) == 2
    assert (mailbox.received, mailbox.replaced) == (3, 2)
    assert mailbox.take(0.0) is None
    mailbox.wake()
    assert mailbox.take(60.0) is None  # at once
