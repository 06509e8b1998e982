"""The processes of the fault matrix: cameras that do tricks, and the node with its log."""

import json
import os
from pathlib import Path
import subprocess
import sys
from threading import Thread
import time

from rig import environment, NODE, PATIENCE_S, ros_arguments

from vla_nav_node.node.start import fastdds_profile

TESTS = Path(__file__).parents[1]
SHUT_NODE = [sys.executable, '-m', 'faults.shut_node']


def ros_environment(scratch):
    """Return the environment of a ROS process that logs to `scratch` and can import the tests."""
    env = fastdds_profile.environment(environment(ROS_LOG_DIR=str(scratch)))
    env['PYTHONPATH'] = f'{TESTS}:{env["PYTHONPATH"]}'
    return env


def wait_for(condition, what):
    """Wait until `condition()` is true, and return its result."""
    deadline = time.monotonic() + PATIENCE_S
    while not (result := condition()):
        assert time.monotonic() < deadline, f'{what} did not happen'
        time.sleep(0.005)
    return result


class CameraProcess:
    """A process of camera.py."""

    def __init__(self, scratch, name='camera', trick='good'):
        """Start it with a trick."""
        self.shots = []  # (when it was taken, the trick, whether a robot may drive on it)
        self.process = subprocess.Popen(
            [sys.executable, '-m', 'faults.camera', name, trick], env=ros_environment(scratch),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        Thread(target=self._listen, daemon=True).start()
        wait_for(lambda: self.shots, f'the first turn of {name}')

    def _listen(self):
        for line in self.process.stdout:
            self.shots.append(json.loads(line))

    def play(self, trick):
        """Start a trick; return when its first turn was."""
        count = len(self.shots)
        print(trick, file=self.process.stdin, flush=True)
        return wait_for(lambda: [taken for taken, name, _ in self.shots[count:]
                                 if name == trick], f'the trick {trick!r}')[0]

    def leave(self):
        """End it cleanly, so that its publisher does not stay listed; return when."""
        at = time.monotonic()
        self.process.stdin.close()
        self.process.wait(PATIENCE_S)
        return at

    def end(self):
        """Kill it; return when."""
        self.process.kill()
        at = time.monotonic()
        self.process.wait()
        return at


class LoggedNode:
    """A process of the node, with its output in a file as under launch."""

    def __init__(self, scratch, command=NODE, **parameters):
        """Start it."""
        self.log = scratch / 'node.log'
        with open(self.log, 'a') as log:
            # In its own process group, like a shell's job; an orphaned group ignores SIGTSTP.
            self.process = subprocess.Popen(
                [*command, *ros_arguments(parameters)], stderr=log, stdin=subprocess.PIPE,
                env=ros_environment(scratch),
                preexec_fn=os.setpgrp)  # noqa: PLW1509  # it takes no lock

    def signal(self, number):
        """Send it a signal; return when."""
        at = time.monotonic()
        self.process.send_signal(number)
        return at

    def status(self):
        """Wait for its end; return its exit status."""
        return self.process.wait(PATIENCE_S)

    def is_stopped(self):
        """Return whether a signal has stopped it, as Ctrl-Z does."""
        stat = Path(f'/proc/{self.process.pid}/stat').read_text()
        return stat.rpartition(')')[2].split()[0] == 'T'

    @property
    def runs(self):
        """Return whether it has not ended."""
        return self.process.poll() is None

    def end(self):
        """Kill it if it runs."""
        self.process.kill()
        self.process.wait()
