"""Load a bundle, and step its policy at the pace of the control loop."""

from dataclasses import replace
import re
import sys
import time
from typing import List

import numpy as np

from .telling import answer, parts, Tell
from ...backends import BACKENDS, is_installed, open_backend
from ...bundle.bundle import Bundle, load_bundle
from ...bundle.fingerprint import fingerprint, tuning_problem
from ...bundle.verdicts import refusal_reason
from ...policy.retune import read_parameters, tuned_file
from ...types import Backend

PERIOD_S, STEPS, WARM_UPS = 0.02, 100, 3


def look(tell: Tell, model: str = '') -> None:
    """Tell the bundle, its verdicts, then the backend and its times."""
    tell(step='reading the bundle')
    bundle = load_bundle(model)
    verdicts = [(name, precision, refusal_reason(bundle, name, precision))
                for name in BACKENDS for precision in bundle.precisions]
    tell(name=bundle.name, directory=str(bundle.directory), precisions=bundle.precisions,
         verdicts=verdicts, bytes=sum(entry['bytes']
                                      for entry in bundle.manifest['files'].values()))
    drives = next(((name, precision) for name in ('onnx', 'torch') if is_installed(name)
                   for precision in bundle.precisions), None)
    if drives is None:
        return
    tell(step=f'opening it by {drives[0]} in {drives[1]}')
    try:
        backend = open_backend(drives[0], bundle, drives[1])
    except Exception as error:  # noqa: BLE001  # whatever a broken runtime raises
        tell(open_error=parts(error))
        return
    tell(runs=str(backend.info), fingerprint=fingerprint(bundle, backend.info),
         tuned=tuned(bundle, backend), step='stepping it every 20 ms')
    tell(period_ms=PERIOD_S * 1e3, times_ms=drive(bundle, backend))


def tuned(bundle: Bundle, backend: Backend) -> List[str]:
    """Return what the settings of `vla_nav tune` are for, and why they do not hold here."""
    path = tuned_file(bundle.directory)
    written = read_parameters(path).get('tuned_for')
    if not written:
        return []
    runtime = re.search(r'runtime=(\w+):(\w+)', str(written))
    info = backend.info
    if runtime and runtime[1] != info.name:
        return []  # another backend: its version is not known here
    if runtime and runtime[2] in bundle.precisions:
        info = replace(info, precision=runtime[2])
    return [str(path), str(written), tuning_problem(bundle, str(written), info)]


def drive(bundle: Bundle, backend: Backend) -> List[float]:
    """Return the ms of each step at its period, with the state carried."""
    generator = np.random.default_rng(0)
    pictures = generator.integers(0, 256, (4, *bundle.input.shape), dtype=np.uint8)
    state, times_ms = bundle.zero_state(), []
    for number in range(WARM_UPS):
        _, state = backend.infer(pictures[number], state)
    start_s = time.perf_counter()
    for number in range(STEPS):
        time.sleep(max(start_s + number * PERIOD_S - time.perf_counter(), 0.0))
        begin_s = time.perf_counter()
        _, state = backend.infer(pictures[number % len(pictures)], state)
        times_ms.append(round(1e3 * (time.perf_counter() - begin_s), 3))
    return times_ms


if __name__ == '__main__':
    answer(look, sys.argv[1:])
