"""
Build a TensorRT engine from a step graph, in a process of its own.

A build takes minutes and gigabytes, holds the GIL while it reads the graph, and a crash ends its
process: nothing for a node that drives. `engine_process` starts this process, which writes the
engine into the cache, and lines of JSON to its output.
"""

import json
import os
from pathlib import Path
import sys
from threading import Lock, Thread
import time
from typing import Any, Dict, IO, Tuple

from .engine_cache import Engine, EngineCache, EngineKey
from .engine_graph import graph_facts, read_for_tensorrt
from .tensorrt_library import (
    import_tensorrt, log_of, logged_error, network_flags, try_create)
from ...bundle.bundle import sha256_of
from ...errors import BackendError

REPORT_EVERY_S = 5.0
FAILED, ORPHANED = 2, 3  # exit statuses
NETWORK_PRODUCTS = ('CONVOLUTION', 'MATRIX_MULTIPLY', 'FULLY_CONNECTED')


def main() -> int:
    """Build the engine that standard input orders; return 0 once it is in the cache."""
    # What libraries print goes to the error stream; the output is for our own lines.
    lines = os.fdopen(os.dup(sys.stdout.fileno()), 'w', buffering=1)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    order = json.loads(sys.stdin.readline())
    Thread(target=_end_with_parent, daemon=True).start()
    key, graph = EngineKey(**order['key']), Path(order['graph'])
    try:
        EngineCache(Path(order['directory'])).load_or_build(
            key, lambda: build(graph, key, Progress(lines)))
    except BackendError as error:
        _write(lines, error=[error.found, error.expected, error.fix])
        return FAILED
    return 0


def build(path: Path, key: EngineKey, progress: 'Progress') -> Engine:
    """Build the engine for `key` from the graph at `path`; return it with the graph's facts."""
    if sha256_of(path) != key.model:
        raise BackendError(f'{path} was altered since the bundle was loaded',
                           fix='restart the node')
    trt = import_tensorrt()
    model = read_for_tensorrt(path)
    facts = graph_facts(model)
    progress.start()
    try:
        plan = _build(trt, model.SerializeToString(), key, progress)
    finally:
        progress.stop()
    return Engine(plan, {'seconds': round(progress.seconds, 1), **facts._asdict()})


def _build(trt: Any, graph: bytes, key: EngineKey, progress: 'Progress') -> bytes:
    log = log_of(trt)
    start = len(log.messages)
    builder, error = try_create(trt, trt.Builder, 'TensorRT cannot start its builder')
    if error:
        raise error
    flags, strongly_typed = network_flags(trt)
    network = builder.create_network(flags)
    parser = trt.OnnxParser(network, log)
    if not parser.parse(graph):
        errors = '; '.join(str(parser.get_error(number)) for number in range(parser.num_errors))
        raise BackendError(f'TensorRT {trt.__version__} cannot read the graph: {errors[:500]}',
                           'operators that it supports', 'try another precision, or backend onnx')
    config = builder.create_builder_config()
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED  # else layers have no types
    config.builder_optimization_level = key.builder_optimization_level
    if key.max_aux_streams >= 0:
        config.max_aux_streams = key.max_aux_streams
    if key.precision == 'fp32':
        config.clear_flag(trt.BuilderFlag.TF32)  # 10 bits of 23, which is not fp32
    if not strongly_typed:
        _set_types(trt, config, network, key.precision)
    if hasattr(trt, 'IProgressMonitor'):
        config.progress_monitor = _monitor(trt, progress)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise logged_error(log, start, 'TensorRT cannot build the engine')
    return bytes(plan)  # its buffer declares floats


def _set_types(trt: Any, config: Any, network: Any, precision: str) -> None:
    """
    Make products fp16 that are fp16 in the graph; quantised ones are int8 by their Q/DQ nodes.

    For TensorRT up to 9, which chooses the types itself and takes a graph's for suggestions.
    """
    if precision == 'int8':
        config.set_flag(trt.BuilderFlag.INT8)
    if precision == 'fp16':
        config.set_flag(trt.BuilderFlag.FP16)
        config.set_flag(trt.BuilderFlag.OBEY_PRECISION_CONSTRAINTS)
        kinds = {getattr(trt.LayerType, name) for name in NETWORK_PRODUCTS
                 if hasattr(trt.LayerType, name)}
        for number in range(network.num_layers):
            layer = network.get_layer(number)
            if layer.type in kinds and layer.get_input(0).dtype == trt.float16:
                layer.precision = trt.float16


class Progress:
    """Writes the progress of a build every few seconds; TensorRT's threads report to it."""

    def __init__(self, lines: IO[str]) -> None:
        self._lines, self._lock = lines, Lock()
        self._phases: Dict[str, Tuple[int, int]] = {}  # the outermost first
        self._since = time.monotonic()
        self._running = False

    @property
    def seconds(self) -> float:
        """Return the time since the start."""
        return time.monotonic() - self._since

    def start(self) -> None:
        self._since, self._running = time.monotonic(), True
        Thread(target=self._report, daemon=True).start()

    def stop(self) -> None:
        self._running = False

    def enter(self, phase: str, steps: int) -> None:
        """Begin a phase of so many steps."""
        with self._lock:
            self._phases[phase] = (0, steps)

    def step(self, phase: str, number: int) -> None:
        """Count a step of a phase as done."""
        with self._lock:
            self._phases[phase] = (number + 1, self._phases.get(phase, (0, 0))[1])

    def leave(self, phase: str) -> None:
        """End a phase."""
        with self._lock:
            self._phases.pop(phase, None)

    def text(self) -> str:
        """Return the progress for the user."""
        with self._lock:
            parts = [f'{phase} {done} of {steps}' for phase, (done, steps)
                     in self._phases.items()]
        return ', '.join([f'{self.seconds:.0f} s', *parts])

    def _report(self) -> None:
        while True:
            time.sleep(REPORT_EVERY_S)
            if not self._running:
                return
            _write(self._lines, progress=self.text())


def _monitor(trt: Any, progress: Progress) -> Any:
    """Return the interface by which TensorRT, later than 8.6, reports to a Progress."""
    class Monitor(trt.IProgressMonitor):

        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)

        def phase_start(self, phase_name: str, parent_phase: str, num_steps: int) -> None:
            progress.enter(phase_name, num_steps)

        def step_complete(self, phase_name: str, step: int) -> bool:
            progress.step(phase_name, step)
            return True  # go on

        def phase_finish(self, phase_name: str) -> None:
            progress.leave(phase_name)

    return Monitor()


def _end_with_parent() -> None:
    """End this process with the one that started it, when its end of the input closes."""
    sys.stdin.read()
    os._exit(ORPHANED)


def _write(lines: IO[str], **message: Any) -> None:
    lines.write(json.dumps(message) + '\n')
    lines.flush()


if __name__ == '__main__':
    sys.exit(main())
