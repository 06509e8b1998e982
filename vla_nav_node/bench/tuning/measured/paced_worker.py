"""The process of one trial: steps at the robot's pace, beside threads like the node's."""

from contextlib import suppress
from dataclasses import dataclass
import gc
import os
from pathlib import Path
import threading
import time
from typing import Dict, List, NamedTuple

import numpy as np

from .steppers import open_stepper, Outputs, Stepper
from ..paired_blocks import Block
from ..trial import Trial
from ....policy.rehearsal import rehearses
from ....types import BackendInfo

# Wake-ups of the node's other threads, s: the watchdog's, and the report for diagnostics.
BESIDE_S = (0.02, 1.0)
REPORT = 20  # lines that the latter formats
KILLED_FIRST = '800'  # when memory runs out: this process, and not the one that tunes


@dataclass(frozen=True)
class Open:
    """What an opened trial really is."""

    info: BackendInfo
    first_action_s: float  # time.perf_counter, one clock for all processes
    step_s: float  # the time of the second step


class Rollout(NamedTuple):
    """What a trial computes from the zero state on; float64 [steps, numbers]."""

    outputs: np.ndarray
    states: np.ndarray


class PacedWorker:
    """Each public method answers one request of the parent."""

    _stepper: Stepper

    def open(self, trial: Trial) -> Open:  # noqa: A003, RUF100
        """Open a trial and run its first step."""
        with suppress(OSError):
            Path('/proc/self/oom_score_adj').write_text(KILLED_FIRST)
        self._plant = Plant(trial.planted)
        self._stepper, self._number = open_stepper(trial), 0
        on_cpu = self._stepper.info.device == 'cpu'  # as the node, which rehearses nowhere else
        self._rehearsal_s = trial.rehearsal_ms / 1e3 if on_cpu else 0.0
        self._stepper.step(0)
        for period_s in BESIDE_S:
            threading.Thread(target=_beside, args=(period_s,), daemon=True).start()
        begin_s = time.perf_counter()
        self._stepper.step(0)
        return Open(self._stepper.info, begin_s, time.perf_counter() - begin_s)

    def warm_up(self, count: int) -> float:
        """Run steps back to back; return the median of the later half, ms."""
        ms = [self._timed_ms() for _ in range(max(count, 2))]
        return float(np.median(ms[len(ms) // 2:]))

    def block(self, steps: int, settle: int, period_s: float) -> Block:
        """Time `steps`, one every period, after `settle` that do not count."""
        gc.collect()
        gc.disable()
        ms, cpu_ns, due = np.empty(steps), 0, time.perf_counter()
        for number in range(-settle, steps):
            if number == 0:
                cpu_ns = time.process_time_ns()
            due = max(due + period_s, time.perf_counter())
            self._wait(due, period_s)
            taken = self._timed_ms()
            if number >= 0:
                ms[number] = taken
        cpu_ms = (time.process_time_ns() - cpu_ns) / 1e6 / steps
        gc.enable()
        return Block(ms, cpu_ms)

    def rollout(self, steps: int) -> Rollout:
        """Run steps from the zero state -> what they compute."""
        self._stepper.reset()
        rows: List[np.ndarray] = []
        states: List[np.ndarray] = []
        for number in range(steps):
            rows.append(_flat(self._plant.wrong(self._stepper.step(number), number)))
            states.append(_flat(self._stepper.state()))
        return Rollout(np.array(rows), np.array(states))

    def repeats(self, count: int) -> float:
        """Run one input `count` times from the zero state; return the largest difference."""
        first, worst = None, 0.0
        for number in range(count):
            self._stepper.reset()
            found = _flat(self._plant.wrong(self._stepper.step(0), number))
            first = found if first is None else first
            worst = max(worst, float(np.abs(found - first).max(initial=0.0)))
        return worst

    def _wait(self, due: float, period_s: float) -> None:
        """Sleep until a step is due, and rehearse before if the node would."""
        if rehearses(period_s * 1e9, self._rehearsal_s * 1e9):
            time.sleep(max(due - self._rehearsal_s - time.perf_counter(), 0.0))
            self._stepper.rehearse(max(self._number - 1, 0))
        time.sleep(max(due - time.perf_counter(), 0.0))

    def _timed_ms(self) -> float:
        begin_ns = time.perf_counter_ns()
        self._stepper.step(self._number)
        self._plant.work(begin_ns)
        self._number += 1
        return (time.perf_counter_ns() - begin_ns) / 1e6


class Plant:
    """The faults and the work that tests plant in a trial."""

    def __init__(self, text: str) -> None:
        """Take NAME or NAME:NUMBER, or nothing."""
        self.name, _, number = text.partition(':')
        self._amount = float(number or 0.0)

    def work(self, begin_ns: int) -> None:
        """Take longer, end the process, or hang."""
        if self.name == 'crash':
            os.abort()
        if self.name == 'hang':
            threading.Event().wait()
        now_ns = time.perf_counter_ns()
        busy_ns = {'busy': self._amount * 1e6, 'slower': self._amount * (now_ns - begin_ns)}
        end_ns = now_ns + busy_ns.get(self.name, 0.0)
        while time.perf_counter_ns() < end_ns:
            pass

    def wrong(self, outputs: Outputs, number: int) -> Outputs:
        """Return other outputs: all of them (wrong), or none but the first (drift)."""
        off: Dict[str, float] = {'wrong': 0.05, 'drift': 0.05 * bool(number)}
        return [output + off.get(self.name, 0.0) for output in outputs]


def _flat(arrays: Outputs) -> np.ndarray:
    parts = [np.asarray(array, np.float64).ravel() for array in arrays]
    return np.concatenate(parts) if parts else np.empty(0)


def _beside(period_s: float) -> None:
    """Wake up as a thread of the node does, as long as this process lives."""
    while True:
        time.sleep(period_s)
        if period_s == max(BESIDE_S):
            '\n'.join(f'{number / 7:.3f} ms' for number in range(REPORT))
