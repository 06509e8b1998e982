"""Threads that fail, and threads that stop together."""

from threading import Event

from vla_nav_node.driving.mailbox import Mailbox
from vla_nav_node.system.threads import Threads


def fail(stopping):
    """Raise an unexpected error."""
    raise KeyError('missing')


def test_a_thread_that_fails_is_reported_with_its_place():
    lines, done = [], Event()

    def on_failure(what):
        lines.append(what)
        done.set()
    threads = Threads(on_failure)
    threads.start('camera', fail)
    assert done.wait(5.0)
    line, = lines
    assert line.startswith("the camera thread died of KeyError: 'missing' (test_threads.py:")
    assert threads.stop()


def test_threads_stop_together():
    threads = Threads(lambda what: None)
    threads.start('one', lambda stopping: stopping.wait())
    threads.start('two', lambda stopping: stopping.wait())
    assert threads.stop()


def test_the_newest_frame_wins_and_the_drop_is_counted():
    mailbox = Mailbox()
    for number in range(3):
        mailbox.put(number)
    assert mailbox.take(0.0) == 2
    assert (mailbox.received, mailbox.replaced) == (3, 2)
    assert mailbox.take(0.0) is None
    mailbox.wake()
    assert mailbox.take(60.0) is None  # at once
