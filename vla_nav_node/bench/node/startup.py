"""From the start of a process to its first command, and what it then holds in memory."""

from pathlib import Path
from statistics import median
import time
from typing import Any, Callable, Dict, List, Sequence

from .probe import make_pictures, PERIOD_S, Probe
from .sides import ours, Side
from ..processes import Processes
from ...errors import VlaNavError

BACKENDS = ('onnx', 'torch')
START_S = 120.0  # for a process to give its first command, on a slow machine
SETTLE = 100  # images before the memory is read
BEFORE = 10  # images that the camera has sent before the process starts


def first_command(probe: Probe, processes: Processes, pictures: Sequence[Any]) -> float:
    """Send images until one is answered; return the time of the answer as time.perf_counter."""
    deadline_s, number = time.perf_counter() + START_S, 0
    while True:
        begin_s = time.perf_counter()
        if probe.ask(pictures[number % len(pictures)], PERIOD_S) is not None:
            return time.perf_counter()
        processes.check()
        if begin_s > deadline_s:
            raise VlaNavError(f'no command from {probe.side.name} within {START_S:g} s; '
                              + processes.last_words(), 'one that is not zero')
        number += 1


def measure_starts(times: int, parameters: Dict[str, object], environment: Dict[str, str],
                   logs: Path, on_start: Callable[[int], None]) -> Dict[str, Any]:
    """Start our node `times` on each backend, in turns; give medians and all values."""
    found: Dict[str, List[Dict[str, float]]] = {backend: [] for backend in BACKENDS}
    for number in range(times):
        for backend in BACKENDS:
            # A namespace of its own: a node that has just ended may linger in the graph.
            side = ours(f'start_{backend}_{number}', {**parameters, 'backend': backend})
            found[backend].append(_one(side, environment, logs))
            on_start(1)
    return {backend: {'starts': values, **{
        name: median(value[name] for value in values) for name in values[0]}}
        for backend, values in found.items()}


def _one(side: Side, environment: Dict[str, str], logs: Path) -> Dict[str, float]:
    probe, pictures = Probe(side), make_pictures(640, 480)
    try:
        for number in range(BEFORE):
            probe.ask(pictures[number % len(pictures)], PERIOD_S)
        with Processes(environment) as processes:
            begin_s = time.perf_counter()
            process = side.start(processes, logs)
            seconds = first_command(probe, processes, pictures) - begin_s
            probe.film(pictures, SETTLE)
            return {'seconds': seconds, **memory_of(process.pid)}
    finally:
        probe.close()


def memory_of(pid: int) -> Dict[str, float]:
    """Return resident (RSS) and proportional (PSS) memory of a process in MB (10^6 bytes)."""
    path = Path(f'/proc/{pid}/smaps_rollup')
    try:
        return parse_rollup(path.read_text())
    except OSError as error:
        raise VlaNavError(f'{path} cannot be read: {error.strerror}',
                          'Linux 4.14 or newer, and a process of our own') from None


def parse_rollup(text: str) -> Dict[str, float]:
    """Read Rss and Pss, in kB of 1024 bytes, from the text of smaps_rollup."""
    kilobytes = {line.split(':')[0]: int(line.split()[1]) for line in text.splitlines()
                 if line.startswith(('Rss:', 'Pss:'))}
    return {'rss_mb': kilobytes['Rss'] * 1024 / 1e6, 'pss_mb': kilobytes['Pss'] * 1024 / 1e6}
