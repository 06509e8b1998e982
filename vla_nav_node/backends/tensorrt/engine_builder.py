"""
Build a TensorRT engine from a step graph, in a process of its own.

A build takes minutes, gigabytes, and the interpreter's lock while the graph is read; and a
builder that crashes takes its process along. None of this may happen to a node that drives. The
process is started by `engine_process`; it writes the engine into the cache, and lines of JSON to
its output.
"""

import json
import os
from pathlib import Path
import sys
from threading import Lock, Thread
import time
from typing import Any, Dict, IO, Tuple

from .engine_cache import Engine, EngineCache, EngineKey
from .engine_graph import facts_of, read_for_tensorrt
from .tensorrt_library import failure, library, log_of, network_flags, try_start
from ...bundle.bundle import sha256_of
from ...errors import BackendError

TELL_EVERY_S = 5.0
FAILED, LEFT_ALONE = 2, 3  # exit statuses
NETWORK_PRODUCTS = ('CONVOLUTION', 'MATRIX_MULTIPLY', 'FULLY_CONNECTED')


def main() -> int:
    """Build what standard input asks for; 0 once the engine is in the cache."""
    # What libraries print goes to the errors; the output is for our own lines.
    lines = os.fdopen(os.dup(sys.stdout.fileno()), 'w', buffering=1)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    order = json.loads(sys.stdin.readline())
    Thread(target=_end_with_parent, daemon=True).start()
    key, graph = EngineKey(**order['key']), Path(order['graph'])
    try:
        EngineCache(Path(order['directory'])).load_or_build(
            key, lambda: build(graph, key, Progress(lines)))
    except BackendError as error:
        _say(lines, error=[error.found, error.expected, error.fix])
        return FAILED
    return 0


def build(path: Path, key: EngineKey, progress: 'Progress') -> Engine:
    """Return the engine for `key` from the graph at `path`, with what the graph states of itself."""
    if sha256_of(path) != key.model:
        raise BackendError(f'{path} was altered since the bundle was loaded',
                           fix='start the node anew')
    trt = library()
    model = read_for_tensorrt(path)
    facts = facts_of(model)
    progress.start()
    try:
        plan = _build(trt, model.SerializeToString(), key.precision, progress)
    finally:
        progress.stop()
    return Engine(plan, {'seconds': round(progress.seconds, 1), **facts._asdict()})


def _build(trt: Any, graph: bytes, precision: str, progress: 'Progress') -> bytes:
    log = log_of(trt)
    since = len(log.said)
    builder, wrong = try_start(trt, trt.Builder, 'TensorRT cannot start its builder')
    if wrong:
        raise wrong
    flags, strongly_typed = network_flags(trt)
    network = builder.create_network(flags)
    parser = trt.OnnxParser(network, log)
    if not parser.parse(graph):
        said = '; '.join(str(parser.get_error(number)) for number in range(parser.num_errors))
        raise BackendError(f'TensorRT {trt.__version__} cannot read the graph: {said[:500]}',
                           'operators that it has', 'try another precision, or backend onnx')
    config = builder.create_builder_config()
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED  # or no layer tells its type
    if precision == 'fp32':
        config.clear_flag(trt.BuilderFlag.TF32)  # 10 bits of 23: that would be no fp32
    if not strongly_typed:
        _allow(trt, config, network, precision)
    if hasattr(trt, 'IProgressMonitor'):
        config.progress_monitor = _monitor(trt, progress)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise failure(log, since, 'TensorRT cannot build the engine')
    return bytes(plan)  # its buffer claims to be of floats


def _allow(trt: Any, config: Any, network: Any, precision: str) -> None:
    """
    Allow the types of the graph, for a TensorRT that would otherwise choose them itself.

    Up to 9 it takes a graph's types for suggestions. Products that are fp16 in the graph are made
    to be fp16; quantised ones are int8 by their Q/DQ nodes.
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
    """Tell every few seconds how far a build is; TensorRT's threads report to it."""

    def __init__(self, lines: IO[str]) -> None:
        """Write to `lines`."""
        self._lines, self._lock = lines, Lock()
        self._phases: Dict[str, Tuple[int, int]] = {}  # the outermost first
        self._since = time.monotonic()
        self._running = False

    @property
    def seconds(self) -> float:
        """Return how long it has been going on."""
        return time.monotonic() - self._since

    def start(self) -> None:
        """Begin to tell."""
        self._since, self._running = time.monotonic(), True
        Thread(target=self._tell, daemon=True).start()

    def stop(self) -> None:
        """End it."""
        self._running = False

    def enter(self, phase: str, steps: int) -> None:
        """Note that a phase of so many steps begins."""
        with self._lock:
            self._phases[phase] = (0, steps)

    def step(self, phase: str, number: int) -> None:
        """Note that a step of a phase is done."""
        with self._lock:
            self._phases[phase] = (number + 1, self._phases.get(phase, (0, 0))[1])

    def leave(self, phase: str) -> None:
        """Note that a phase is over."""
        with self._lock:
            self._phases.pop(phase, None)

    def text(self) -> str:
        """Say how far it is."""
        with self._lock:
            parts = [f'{phase} {done} of {steps}' for phase, (done, steps)
                     in self._phases.items()]
        return ', '.join([f'{self.seconds:.0f} s', *parts])

    def _tell(self) -> None:
        while True:
            time.sleep(TELL_EVERY_S)
            if not self._running:
                return
            _say(self._lines, progress=self.text())


def _monitor(trt: Any, progress: Progress) -> Any:
    """Return TensorRT's own interface to a Progress (from 8.6's successors on)."""
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
    """End this process when the one that asked is gone: its end of the input is closed then."""
    sys.stdin.read()
    os._exit(LEFT_ALONE)


def _say(lines: IO[str], **what: Any) -> None:
    lines.write(json.dumps(what) + '\n')
    lines.flush()


if __name__ == '__main__':
    sys.exit(main())
