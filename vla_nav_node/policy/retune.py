"""`~/retune`: run `vla_nav tune` while the robot is disabled, and drive by what it finds."""

import os
from pathlib import Path
import subprocess
import sys
from threading import Event
from typing import Any, Callable, Dict, List, Optional

import yaml

from .runtimes import Runtime
from ..errors import VlaNavError
from ..system.machine import with_package
from ..system.realtime import yield_to_the_robot
from ..system.user_cache import cache_root, own_directory

POLL_S = 0.2
LAST_LINES = 3
CONFIG = 'parameters.yaml'


class Retune:
    """One tuning at a time, in a process of its own."""

    def __init__(self, model: Path, is_disabled: Callable[[], bool],
                 apply: Callable[[Dict[str, Any]], str], log: Any) -> None:
        """`apply` sets parameters and returns why it could not, or ''; `log` is a ROS logger."""
        self._model = model
        self._is_disabled = is_disabled
        self._apply = apply
        self._log = log
        self.process: Optional['subprocess.Popen[bytes]'] = None

    def start(self, runtime: Runtime, period_ms: float) -> str:
        """Start a tuning and return what happens next; raise VlaNavError if it may not start."""
        if not self._is_disabled():
            raise VlaNavError('the robot may drive, and a tuning takes the processor',
                              'a disabled robot', 'call ~/enable with false')
        if self.process is not None:
            raise VlaNavError('a tuning is running already', fix='wait for its end in the log')
        self._folder = own_directory(tuned_file(self._model).parent, 'tuning')
        self._output = (self._folder / 'log.txt').open('wb')
        self.process = subprocess.Popen(
            command(self._model, runtime, period_ms, self._folder), stdin=subprocess.DEVNULL,
            stdout=self._output, stderr=subprocess.STDOUT, start_new_session=True,
            env=with_package(os.environ))
        yield_to_the_robot(self.process.pid)
        return f'tuning {self._model.name} for some minutes; the log tells the result'

    def run(self, stopping: Event) -> None:
        """Wait for tunings and apply what they find; runs in a thread of its own."""
        while not stopping.wait(POLL_S):
            if self.process is None:
                continue
            if not self._is_disabled():
                self.end('the robot was enabled')
            elif self.process.poll() is not None:
                self._finish(self.process.returncode)
        self.end('the node ends')

    def end(self, reason: str) -> None:
        """End a tuning that runs; its result is lost."""
        process, self.process = self.process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(5.0)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        self._output.close()
        self._log.warning(f'the tuning was ended: {reason}')

    def _finish(self, status: int) -> None:
        self.process = None
        self._output.close()
        lines = (self._folder / 'log.txt').read_text(errors='replace').splitlines()
        if status:
            self._log.error('the tuning failed: ' + ' '.join(lines[-LAST_LINES:]))
            return
        file = tuned_file(self._model)
        values = read_parameters(file)
        if not values:
            self._log.info('the tuning found no winner: the settings stay')
            return
        problem = self._apply(values)
        if problem:
            self._log.error(f'the tuned settings are refused: {problem}')
            return
        self._log.info(f'drives by tuned settings: {values}; to keep them, start the node with '
                       f'--params-file {file}')


def tuned_file(model: Path) -> Path:
    """Return the parameter file that keeps what was tuned for the bundle in a directory."""
    return cache_root() / 'tuned' / model.name / CONFIG


def command(model: Path, runtime: Runtime, period_ms: float, folder: Path) -> List[str]:
    """Return the command line that tunes what drives, at the pace it drives at."""
    (folder / CONFIG).unlink(missing_ok=True)
    return [sys.executable, '-m', f'{__package__.partition(".")[0]}.cli', 'tune', str(model),
            '--quick', '--backends', runtime.backend, '--precisions', runtime.precision,
            '--device', runtime.device, '--period-ms', f'{period_ms:g}',
            '--config', str(folder / CONFIG), '--output', str(folder)]


def read_parameters(file: Path) -> Dict[str, Any]:
    """Return the parameters in a file that `vla_nav tune` wrote; empty without one."""
    if not file.is_file():
        return {}
    tree = yaml.safe_load(file.read_text(encoding='utf-8'))
    values: Dict[str, Any] = tree['/**']['ros__parameters']
    return values
