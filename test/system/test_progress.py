"""The progress bar: only on a terminal, only on stderr, only for long work."""

import os
from pathlib import Path
import pty
import subprocess
import sys

import pytest

pytest.importorskip('rich')

WORK = ('from vla_nav_node.system import progress\n'
        'progress.AFTER_S, progress.EVERY_S = {after}, 0.0\n'
        'for number in progress.track(range(3), "counting"):\n'
        '    print(number, flush=True)\n')


def run(after_s, **streams):
    """Count to three with a bar that comes after `after_s`; return what stdout had."""
    done = subprocess.run([sys.executable, '-c', WORK.format(after=after_s)], check=True,
                          timeout=60, env={**os.environ, 'TERM': 'xterm'}, **streams)
    return done.stdout


def on_terminal(after_s):
    """Run a child with a terminal as stderr; return its stdout and the terminal's text."""
    ours, theirs = pty.openpty()
    try:
        said = run(after_s, stdout=subprocess.PIPE, stderr=theirs)
        os.write(theirs, b'end')
        return said, os.read(ours, 1 << 16)
    finally:
        os.close(theirs)
        os.close(ours)


def test_a_log_gets_no_bar_and_no_blank_line():
    done = subprocess.run([sys.executable, '-c', WORK.format(after=0.0)], check=True, timeout=60,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.stdout == b'0\n1\n2\n'


def test_a_terminal_gets_the_bar_and_stdout_never_does():
    said, shown = on_terminal(0.0)
    assert said == b'0\n1\n2\n'
    assert b'counting' in shown


def test_work_that_is_done_soon_shows_nothing():
    said, shown = on_terminal(3600.0)
    assert said == b'0\n1\n2\n'
    assert shown == b'end'


def test_there_is_one_bar_in_the_whole_package():
    """Any other would write to stdout, or blank lines to a log."""
    package = Path(__file__).parents[2] / 'vla_nav_node'
    users = {path.name for path in package.rglob('*.py') if 'rich.progress' in path.read_text()}
    assert users == {'progress.py'}
