"""The time from the start of a process to its first command, and its memory then."""

from pathlib import Path
from statistics import median
import time
from typing import Any, Callable, Dict, List, Sequence

from .probe import make_pictures, PERIOD_S, Probe
from .sides import ours, Side
from ..process_memory import memory_of
from ..processes import Processes
from ...errors import VlaNavError

BACKENDS = ('onnx', 'torch')
START_S = 120.0  # the longest wait for a first command, on a slow machine
SETTLE = 100  # images before the memory is read
BEFORE = 10  # images that the camera has sent before the process starts


def first_command(probe: Probe, processes: Processes, pictures: Sequence[Any]) -> float:
    """Send images until one is answered; return the time of the answer as time.perf_counter."""
    deadline_s, number = time.perf_counter() + START_S, 0
    while True:
        begin_s = time.perf_counter()
        if probe.send(pictures[number % len(pictures)], PERIOD_S) is not None:
            return time.perf_counter()
        processes.check()
        if begin_s > deadline_s:
            raise VlaNavError(f'no command from {probe.side.name} within {START_S:g} s; '
                              + processes.last_words(), 'one that is not zero')
        number += 1


def measure_starts(times: int, parameters: Dict[str, object], environment: Dict[str, str],
                   logs: Path, on_start: Callable[[int], None]) -> Dict[str, Any]:
    """Start our node `times` on each backend, in turns; return medians and all values."""
    starts: Dict[str, List[Dict[str, float]]] = {backend: [] for backend in BACKENDS}
    for number in range(times):
        for backend in BACKENDS:
            # A namespace of its own: a node that has just ended may linger in the graph.
            side = ours(f'start_{backend}_{number}', {**parameters, 'backend': backend})
            starts[backend].append(_start(side, environment, logs))
            on_start(1)
    return {backend: {'starts': values, **{
        name: median(value[name] for value in values) for name in values[0]}}
        for backend, values in starts.items()}


def _start(side: Side, environment: Dict[str, str], logs: Path) -> Dict[str, float]:
    probe, pictures = Probe(side), make_pictures(640, 480)
    try:
        for number in range(BEFORE):
            probe.send(pictures[number % len(pictures)], PERIOD_S)
        with Processes(environment) as processes:
            begin_s = time.perf_counter()
            process = side.start(processes, logs)
            seconds = first_command(probe, processes, pictures) - begin_s
            probe.measure(pictures, SETTLE)
            return {'seconds': seconds, **memory_of(process.pid)}
    finally:
        probe.close()
