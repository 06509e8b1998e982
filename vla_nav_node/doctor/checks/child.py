"""Ask a process of its own: what crashes or hangs there is an answer, too."""

from contextlib import suppress
import json
import os
import signal
import subprocess
import sys
from typing import Any, Dict, Mapping, NamedTuple, Sequence

from ...system.machine import with_package
from ...system.realtime import yield_to_the_robot
from ...system.shutdown_signals import signal_name

LAST_CHARACTERS = 2000  # of what it wrote on stderr


class Answer(NamedTuple):
    """What a probe told before it ended."""

    facts: Dict[str, Any]
    problem: str = ''  # how it ended, if not well
    stderr: str = ''

    @property
    def last_line(self) -> str:
        """Return the last line that it wrote on stderr."""
        return (self.stderr.strip().splitlines() or [''])[-1].strip()


def ask(module: str, arguments: Sequence[str], environment: Mapping[str, str],
        limit_s: float) -> Answer:
    """Run a module of doctor.probes or node.probes, and return what it told."""
    child = subprocess.Popen(
        [sys.executable, '-m', module, *arguments], stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
        env=with_package(environment))
    yield_to_the_robot(child.pid)
    try:
        output, errors = child.communicate(timeout=limit_s)
        ended = _how(child.returncode)
    except subprocess.TimeoutExpired:
        _kill(child.pid)
        output, errors = child.communicate()
        ended = f'gave no answer within {limit_s:g} s'
    finally:
        _kill(child.pid)
        child.wait()
    return _answer(output, ended, errors.decode(errors='replace')[-LAST_CHARACTERS:])


def _answer(output: bytes, ended: str, stderr: str) -> Answer:
    facts: Dict[str, Any] = {}
    for line in output.splitlines():
        try:
            facts.update(json.loads(line))
        except ValueError:  # cut off by a crash
            break
    step = facts.get('step', '')
    return Answer(facts, ended and (f'{ended} ({step})' if step else ended), stderr)


def _how(status: int) -> str:
    if status < 0:
        return f'crashed with {signal_name(-status)}'
    return f'ended with status {status}' if status else ''


def _kill(group: int) -> None:
    """Kill a child with all that it started."""
    with suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)
