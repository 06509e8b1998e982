"""One policy on all its rows: opened, compared with the reference, and timed in turns."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any, Dict, List, Sequence, Tuple

import numpy as np

from .budget import Budget
from .gpu_plan import batches
from .gpu_policies import Policy
from .parity import compare_all, reference
from ..benchmark.benchmark_plan import Entry, Plan
from ..benchmark.benchmark_session import Pace, rows_of
from ..side_by_side.bench_pictures import Pictures
from ..side_by_side.contender import Contender
from ..side_by_side.rounds import BLOCK, SETTLE
from ....bundle.verdicts import STEPS
from ....errors import VlaNavError
from ....system.progress import Bar

Row = Dict[str, Any]
Opened = List[Tuple[str, Contender]]
TRIAL = 5  # steps that tell how long a row takes
OTHER_S = 1.5  # of a row: comparing, and what is not a timed step


def measure(plan: Plan, pace: Pace, policy: Policy, budget: Budget,
            bar: Bar) -> Tuple[List[Row], Dict[str, str]]:
    """Return the rows that came about, and the others with the reason."""
    absent, frames = dict(plan.absent), policy.frames
    with ThreadPoolExecutor(1) as pool, ExitStack() as stack:
        opening = budget.share(1, reserve_s=len(plan.entries) * _least_s(pace))
        # Beside the opening, which is mostly waiting for a GPU.
        recording = pool.submit(reference, plan.bundle, frames, opening)
        opened = _open(plan, stack, opening, absent, bar)
        kept = recording.result()
        opened = _that_fit(opened, pace, len(frames), budget, absent)
        if not opened:
            return [], absent
        starts = [number == 0 for number in range(len(frames))]
        rows = rows_of(opened, plan, pace, Pictures(frames, starts), bar)
        parity = compare_all(opened, kept, policy.foreign, budget)
    return [{**row, 'frames': policy.source, 'parity': parity[row['label']]}
            for row in rows], absent


def _least_s(pace: Pace) -> float:
    return OTHER_S + pace.paced_runs * (1 + SETTLE / BLOCK) * pace.period_ms / 1e3


def _open(plan: Plan, stack: ExitStack, budget: Budget, absent: Dict[str, str],
          bar: Bar) -> Opened:
    opened: Opened = []
    advance = bar(f'{plan.policy}: opening', len(plan.entries))
    for batch in batches(plan.entries):
        if budget.left_s:
            opened += _open_together(batch, stack, budget, absent)
        else:
            absent.update({entry.label: 'not measured: the limit was over before it was opened'
                           for entry in batch})
        advance(len(batch))
    return opened


def _open_together(batch: Sequence[Entry], stack: ExitStack, budget: Budget,
                   absent: Dict[str, str]) -> Opened:
    started = [(entry.label, Contender(entry.alternatives[0], wait=False)) for entry in batch]
    for _, contender in started:
        stack.callback(contender.close)
    opened: Opened = []
    for label, contender in started:
        try:
            contender.wait(max(budget.left_s, 0.1))
        except VlaNavError as error:
            absent[label] = (str(error).removeprefix(f'{label}: ') if budget.left_s else
                             'not measured: it did not open before the limit was over')
        else:
            opened.append((label, contender))
    return opened


def _that_fit(opened: Opened, pace: Pace, frames: int, budget: Budget,
              absent: Dict[str, str]) -> Opened:
    """Return those whose steps fit into the time, the first ones first."""
    fit: Opened = []
    left_s = budget.left_s
    for label, contender in opened:
        try:
            ms = float(np.median(contender.run(TRIAL, 0).ms))
        except VlaNavError as error:
            absent[label] = f'it failed: {error}'
            continue
        needed_s = _needed_s(ms, pace, frames)
        if needed_s > left_s:
            absent[label] = (f'not measured: it needs {needed_s:.1f} s, and the limit leaves '
                             f'{left_s:.1f} s')
            continue
        left_s -= needed_s
        fit.append((label, contender))
    return fit


def _needed_s(ms: float, pace: Pace, frames: int) -> float:
    """Return how long a row of so many ms a step takes: timed, driven twice, and compared."""
    turns = 1 + SETTLE / BLOCK
    steps = pace.warm_up + pace.runs * turns + 2 * frames + 2 * STEPS
    return (steps * ms + pace.paced_runs * turns * max(pace.period_ms, ms)) / 1e3
