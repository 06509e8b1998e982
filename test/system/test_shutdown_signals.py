"""What ends the main thread's wait, and what stops the process and lets it continue."""

import os
from pathlib import Path
import signal
import subprocess
import sys
import time

import pytest

from vla_nav_node.system.shutdown_signals import (
    catchable, FAULTS, HARMLESS, REQUESTS, ShutdownSignals, signal_name, StartupSignals, STOPS)

IGNORED_BY_PYTHON = {signal.SIGPIPE, signal.SIGXFSZ}
ENDS = sorted(signal.valid_signals() - FAULTS - HARMLESS - STOPS - IGNORED_BY_PYTHON
              - {signal.SIGKILL, signal.SIGSTOP})
WAITING = """
import os, signal, sys
from vla_nav_node.system.shutdown_signals import ShutdownSignals
shutdown = ShutdownSignals()
shutdown.catch_signals()

def say(text):
    print(text, flush=True)

def pause(name, stop):
    say(f'zero before {name}')
    stop()
    say('going on')

say('ready')
exec(sys.argv[1])
while True:
    say(shutdown.wait(pause))
"""


@pytest.fixture
def begin():
    """Start processes that wait for signals, each in its own process group, as a job."""
    processes = []

    def begin(setup='pass', code=WAITING, **how):
        process = subprocess.Popen(
            [sys.executable, '-c', code, setup], stdout=subprocess.PIPE, text=True,
            cwd=Path(__file__).parents[2], **{'preexec_fn': os.setpgrp, **how})
        processes.append(process)
        assert process.stdout.readline() == 'ready\n'
        return process
    yield begin
    for process in processes:
        process.kill()
        process.communicate()


def is_stopped(process):
    """Wait until a process is stopped."""
    deadline = time.monotonic() + 30.0
    while True:
        with open(f'/proc/{process.pid}/stat') as file:
            if file.read().rpartition(')')[2].split()[0] == 'T':
                return True
        assert time.monotonic() < deadline, 'it was not stopped'
        time.sleep(0.01)


def test_every_signal_that_ends_a_process_ends_the_wait(begin):
    process = begin()
    assert {signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGALRM, signal.SIGABRT,
            signal.SIGRTMAX} <= set(ENDS)
    for number in ENDS:
        process.send_signal(number)
        assert process.stdout.readline() == f'{signal_name(number)}\n'


@pytest.mark.parametrize('number', sorted(FAULTS))
def test_what_the_processor_raises_ends_the_process_as_ever(begin, number):
    process = begin('import resource; resource.setrlimit(resource.RLIMIT_CORE, (0, 0))')
    process.send_signal(number)
    assert process.wait(30.0) == -number


def test_abort_in_a_library_ends_the_process_as_ever(begin):
    process = begin('import resource; resource.setrlimit(resource.RLIMIT_CORE, (0, 0)); '
                    'shutdown.wait(pause); os.abort()')
    process.send_signal(signal.SIGHUP)
    assert process.wait(30.0) == -signal.SIGABRT


@pytest.mark.parametrize('number', [signal.SIGHUP, signal.SIGQUIT, signal.SIGTSTP])
def test_what_is_ignored_stays_ignored(begin, number):
    def ignore():
        os.setpgrp()
        signal.signal(number, signal.SIG_IGN)
    process = begin(preexec_fn=ignore)
    process.send_signal(number)
    process.send_signal(signal.SIGTERM)
    assert process.stdout.readline() == 'SIGTERM\n'


@pytest.mark.parametrize('number', sorted(REQUESTS))
def test_what_launch_files_end_a_node_by_is_taken_though_a_shell_ignores_it(begin, number):
    process = begin(preexec_fn=lambda: signal.signal(number, signal.SIG_IGN))
    process.send_signal(number)
    assert process.stdout.readline() == f'{signal_name(number)}\n'


def test_what_a_library_handles_is_left_to_it():
    before = signal.signal(signal.SIGUSR1, lambda *_: None)
    try:
        assert signal.SIGUSR1 not in catchable()
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert signal.SIGUSR1 in catchable()


def stops_and_goes_on(process, number):
    """Assert that the stop `number` has come after the zero, and resume the process."""
    assert process.stdout.readline() == f'zero before {signal_name(number)}\n'
    assert is_stopped(process)
    process.send_signal(signal.SIGCONT)
    assert process.stdout.readline() == 'going on\n'


def ends_by_sigterm(process):
    """Assert that SIGTERM is the next thing that the process reports."""
    process.send_signal(signal.SIGTERM)
    assert process.stdout.readline() == 'SIGTERM\n'


@pytest.mark.parametrize('number', sorted(STOPS))
def test_a_stop_stops_the_process_after_the_robot_and_it_goes_on(begin, number):
    process = begin()
    for _ in range(2):
        process.send_signal(number)
        stops_and_goes_on(process, number)
    ends_by_sigterm(process)


def test_many_stops_are_one(begin):
    process = begin('for _ in range(1000): os.kill(os.getpid(), signal.SIGTTOU)')
    stops_and_goes_on(process, signal.SIGTTOU)
    ends_by_sigterm(process)


def test_an_end_goes_before_a_stop(begin):
    process = begin('os.kill(os.getpid(), signal.SIGTSTP); os.kill(os.getpid(), signal.SIGHUP)')
    assert process.stdout.readline() == 'SIGHUP\n'


def test_an_end_that_came_while_it_was_stopped_is_not_forgotten(begin):
    process = begin()
    process.send_signal(signal.SIGTSTP)
    process.stdout.readline()
    assert is_stopped(process)
    process.send_signal(signal.SIGHUP)
    process.send_signal(signal.SIGCONT)
    assert [process.stdout.readline() for _ in range(2)] == ['going on\n', 'SIGHUP\n']


def test_the_first_reason_ends_the_wait():
    shutdown = ShutdownSignals()
    shutdown.request('one')
    shutdown.request('two')
    assert shutdown.wait(lambda *_: None) == 'one'


def test_a_signal_during_the_start_is_kept_though_a_library_swallows_it():
    before = {number: signal.getsignal(number) for number in REQUESTS}
    try:
        for number in REQUESTS:
            start = StartupSignals()
            start.raise_interrupts()
            start.check()
            with pytest.raises(KeyboardInterrupt):
                os.kill(os.getpid(), number)
            with pytest.raises(KeyboardInterrupt):
                start.check()
    finally:
        sys.unraisablehook = sys.__unraisablehook__
        for number, handler in before.items():
            signal.signal(number, handler)


STARTING = """
import os, signal, sys
from vla_nav_node.system.shutdown_signals import StartupSignals
start = StartupSignals()
exec(sys.argv[1])
"""


@pytest.mark.parametrize(('code', 'status', 'error'), [
    ('os.kill(os.getpid(), signal.SIGINT)', 0, ''),  # at once, before anything is to be released
    ('start.raise_interrupts(); os.kill(os.getpid(), signal.SIGINT)', -2, 'KeyboardInterrupt'),
    # In a destructor it cannot be raised: not printed, and raised by the next check.
    ('class A: __del__ = lambda self: os.kill(os.getpid(), signal.SIGTERM)\n'
     'start.raise_interrupts(); A(); print("on"); start.check()', -2, 'KeyboardInterrupt'),
    ('class A: __del__ = lambda self: 1 / 0\n'
     'start.raise_interrupts(); A()', 0, 'ZeroDivisionError'),
])
def test_signals_during_a_start(code, status, error):
    ended = subprocess.run([sys.executable, '-c', STARTING, code], capture_output=True, text=True,
                           check=False)
    assert ended.returncode == status, ended.stderr
    assert error in ended.stderr and ended.stderr.count('Traceback') == bool(error)
