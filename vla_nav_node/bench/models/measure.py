"""Open rows, run them on the same frames, and time them in turns."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from .agreement import agreement, gate_rows, record_reference
from .candidate import Candidate
from .frame_sets import FrameSet, MADE
from .matrix import device_of, Plan
from .policies import Policy
from .runners.row_process import Budget, RowProcess
from .runners.worker import Span
from ...bundle.bundle import Bundle, WEIGHTS
from ...bundle.verdicts import refusal_reason, STEPS
from ...driving.latency_recorder import Percentiles
from ...errors import VlaNavError
from ...system.progress import Bar

Row = Dict[str, Any]
BUDGETS_MS = (10.0, 20.0)  # the usual control periods
REFERENCES = ('torch fp32', 'onnx fp32')  # rows that the others' actions are compared with
FIGURES = {'p50': 50, 'p99': 99}
BLOCK = 20  # steps of one row before the next row's turn
SETTLE = 5  # steps at the start of a turn that do not count: other rows have used the caches
TRIAL = 5  # steps that tell how long a row takes
OTHER_S = 1.5  # of a row: comparing, and what is not a timed step


class Pace(NamedTuple):
    """How many steps are timed back to back and, with a period, how many paced ones."""

    warm_up: int
    runs: int
    period_ms: float = 0.0
    paced_runs: int = 0  # 0: as many as runs

    def timings(self) -> List[Tuple[str, int, float]]:
        """Return the name, the steps and the period in s of each timing."""
        paced = ('paced', self.paced_runs or self.runs, self.period_ms / 1e3)
        return [('back to back', self.runs, 0.0), *([paced] if self.period_ms else [])]


class Measured(NamedTuple):
    """An open row with what was measured of it."""

    process: RowProcess
    frame_set: FrameSet
    actions: np.ndarray  # float32 [N, actions], the state carried on
    spans: Sequence[Span]  # of each timing

    @property
    def name(self) -> str:
        """Return the name of the candidate."""
        return self.process.candidate.name

    @property
    def paced_p99(self) -> float:
        """Return the p99 of a paced step, ms."""
        return float(np.percentile(self.spans[-1].ms, 99))

    def figures(self) -> Row:
        """Return how it did on its number of threads."""
        return {'threads': self.process.candidate.threads, **{
            pace: {name: float(np.percentile(span.ms, share)) for name, share in FIGURES.items()}
            for pace, span in zip(('back_to_back', 'paced'), self.spans)}}


def open_rows(batches: Sequence[Sequence[Candidate]], stack: ExitStack,
              advance: Callable[[int], None], absent: Optional[Dict[str, str]] = None,
              budget: Optional[Budget] = None) -> List[RowProcess]:
    """
    Open each candidate in a process of its own, which `stack` ends; a batch opens together.

    Add those that cannot be opened to `absent` with the reason; without it, raise VlaNavError.
    """
    opened: List[RowProcess] = []
    for batch in batches:
        if absent is None:
            opened += _open_together(batch, stack, None, Budget())
        else:
            wanted = [each for each in batch if each.name not in absent
                      and not _runs_on_gpu(each.name, opened)]
            opened += _open_together(wanted, stack, absent, budget or Budget())
        advance(len(batch))
    return opened


def _runs_on_gpu(name: str, opened: Sequence[RowProcess]) -> bool:
    """Return whether a candidate runs on a GPU, where the number of threads does not matter."""
    return any(each.candidate.name == name and device_of(each.opened.info) != 'cpu'
               for each in opened)


def _open_together(batch: Sequence[Candidate], stack: ExitStack,
                   absent: Optional[Dict[str, str]], budget: Budget) -> List[RowProcess]:
    if absent is not None and not budget.left_s:
        absent.update({each.name: 'not measured: the limit was over before it was opened'
                       for each in batch})
        return []
    opened, started = [], [RowProcess(each, wait=False) for each in batch]
    for process in started:
        stack.callback(process.close)
    for process in started:
        name = process.candidate.name
        try:
            process.wait(budget.patience_s())
        except VlaNavError as error:
            if absent is None:
                raise
            absent[name] = (str(error).removeprefix(f'{name}: ') if budget.left_s else
                            'not measured: it did not open before the limit was over')
        else:
            opened.append(process)
    return opened


def run_rows(opened: Sequence[RowProcess], frame_sets: Sequence[FrameSet], pace: Pace, bar: Bar,
             title: str = '') -> List[Measured]:
    """Run each row on its frames, then time all of them in turns."""
    actions, advance = [], bar(f'{title}the same frames', len(opened))
    for process, frame_set in zip(opened, frame_sets):
        process.load(frame_set.frames)
        actions.append(process.call('actions', frame_set.starts))
        advance(1)
    for process in opened:
        process.call('run', pace.warm_up, 0)
    timings = [take_turns(opened, runs, period_s, bar(title + name, runs * len(opened)))
               for name, runs, period_s in pace.timings()]
    return [Measured(*row) for row in zip(opened, frame_sets, actions, zip(*timings))]


def take_turns(processes: Sequence[RowProcess], runs: int, period_s: float,
               advance: Callable[[int], None]) -> List[Span]:
    """
    Time `runs` steps of each process, in turns, so that disturbances hit all alike.

    With a `period_s` a step begins every period, as a camera makes it; with 0 back to back.
    `advance` is called after each turn with the number of steps, when nothing is measured.
    """
    spans: List[List[Span]] = [[] for _ in processes]
    order = list(range(len(processes)))
    for begin in range(0, runs, BLOCK):
        count = min(BLOCK, runs - begin)
        for number in order:
            spans[number].append(processes[number].call('run', count, SETTLE, period_s))
            advance(count)
        order = order[1:] + order[:1]  # no row always follows the same one
    return [Span(np.concatenate([turn.ms for turn in turns]), sum(turn.cpu_ms for turn in turns))
            for turns in spans]


def measure_policy(plan: Plan, pace: Pace, policy: Policy, bar: Bar,
                   limit: Optional[Budget] = None, gates: bool = False
                   ) -> Tuple[List[Row], Dict[str, str]]:
    """
    Return the measured rows of a plan, and the absent ones with the reason.

    With `gates`, compare the rows with the trained network as `vla_nav verify` does.
    """
    absent, frame_set, budget = dict(plan.absent), policy.frame_set, limit or Budget()
    with ThreadPoolExecutor(1) as pool, ExitStack() as stack:
        rows_to_open = sum(map(len, plan.batches))
        opening = budget.share(1, rows_to_open * _least_s(pace)) if limit else budget
        # Beside the opening, which mostly waits for a GPU.
        recording = pool.submit(record_reference, plan.bundle, frame_set.frames, opening) \
            if gates else None
        advance = bar(f'{plan.policy}: opening', rows_to_open)
        opened = open_rows(plan.batches, stack, advance, absent, opening)
        recorded = recording.result() if recording else ''
        if limit:
            opened = _that_fit(opened, pace, len(frame_set.frames), budget, absent)
        if not opened:
            return [], absent
        rows = _rows(plan, pace, run_rows(opened, [frame_set] * len(opened), pace, bar,
                                          f'{plan.policy}: '))
        if gates:
            foreign = policy.trained and policy.source == MADE
            parity = gate_rows(opened, recorded, foreign, budget)
            rows = [{**row, 'frames': policy.source, 'parity': parity[row['label']]}
                    for row in rows]
    return rows, absent


def _least_s(pace: Pace) -> float:
    return OTHER_S + pace.paced_runs * (1 + SETTLE / BLOCK) * pace.period_ms / 1e3


def _that_fit(opened: Sequence[RowProcess], pace: Pace, frames: int, budget: Budget,
              absent: Dict[str, str]) -> List[RowProcess]:
    """Return the rows whose steps fit into the time, the first ones first."""
    fit: List[RowProcess] = []
    left_s = budget.left_s
    for process in opened:
        name = process.candidate.name
        try:
            ms = float(np.median(process.call('run', TRIAL, 0).ms))
        except VlaNavError as error:
            absent[name] = f'it failed: {error}'
            continue
        needed_s = _needed_s(ms, pace, frames)
        if needed_s > left_s:
            absent[name] = (f'not measured: it needs {needed_s:.1f} s, and the limit leaves '
                            f'{left_s:.1f} s')
            continue
        left_s -= needed_s
        fit.append(process)
    return fit


def _needed_s(ms: float, pace: Pace, frames: int) -> float:
    """Return the time of a row with steps of `ms`: run on the frames, timed and compared."""
    turns = 1 + SETTLE / BLOCK
    steps = pace.warm_up + pace.runs * turns + frames + 2 * STEPS
    return (steps * ms + pace.paced_runs * turns * max(pace.period_ms, ms)) / 1e3


def _rows(plan: Plan, pace: Pace, measured: List[Measured]) -> List[Row]:
    """Return one row for each name: that of the number of threads with the least paced p99."""
    by_name: Dict[str, List[Measured]] = {}
    for each in measured:
        by_name.setdefault(each.name, []).append(each)
    best = {name: min(same, key=lambda each: each.paced_p99) for name, same in by_name.items()}
    reference = next((best[name] for wanted in REFERENCES for name in best
                      if name.startswith(wanted)), measured[0])
    return [_row(plan, pace, best[name], reference, same) for name, same in by_name.items()]


def _row(plan: Plan, pace: Pace, one: Measured, reference: Measured,
         alternatives: List[Measured]) -> Row:
    back_to_back, paced = one.spans
    candidate, opened = one.process.candidate, one.process.opened
    may_not_drive = 'is no bundle' if candidate.kind != 'bundle' else \
        refusal_reason(plan.bundle, candidate.backend, candidate.precision)
    return {
        'policy': plan.policy, 'label': one.name, **describe(one.process),
        'back_to_back': latency(back_to_back), 'paced': latency(paced),
        'period_ms': pace.period_ms, 'late': int((paced.ms > pace.period_ms).sum()),
        'work': {'policy': plan.policy, 'weights_sha256': _weights_hash(plan.bundle),
                 'picture': list(opened.size), 'carries_state': opened.carries_state},
        'may_not_drive': may_not_drive,
        'agreement': {**_agreement(one, reference), 'with': reference.name},
        'alternatives': [each.figures() for each in alternatives]}


def _agreement(one: Measured, reference: Measured) -> Dict[str, Any]:
    """Compare with the reference, each step from the zero state if the row carries no state."""
    if one.process.opened.carries_state:
        return agreement(reference.actions, one.actions)
    starts = [True] * len(one.frame_set.starts)
    return agreement(*(each.process.call('actions', starts) for each in (reference, one)))


def _weights_hash(bundle: Bundle) -> str:
    """Return the hash of the file that a bundle's graphs were exported from."""
    files = bundle.manifest['files']
    return str(files[WEIGHTS if WEIGHTS in files else next(iter(files))]['sha256'])


def latency(span: Span) -> Dict[str, Any]:
    """Return the figures of a row's steps, ms."""
    ms, mean, found = span.ms, float(span.ms.mean()), Percentiles.from_values(span.ms.tolist())
    return {'runs': len(ms), 'mean': mean, 'std': float(ms.std()), 'p50': found.p50,
            'p95': found.p95, 'p99': found.p99, 'max': found.most, 'fps': 1e3 / mean,
            'cpu_ms': span.cpu_ms / len(ms),
            'share': {f'{budget:g}': mean / budget for budget in BUDGETS_MS},
            'misses': {f'{budget:g}': int((ms > budget).sum()) for budget in BUDGETS_MS}}


def describe(process: RowProcess) -> Dict[str, Any]:
    """Return what an open row really is, and its memory and file size in MB (10^6 bytes)."""
    opened, candidate = process.opened, process.candidate
    return {
        'name': candidate.name, 'kind': candidate.kind, **opened.info,
        'threads': candidate.threads or 'its own', 'size': list(opened.size),
        'carries_state': opened.carries_state,
        'file': candidate.model_file.name, 'file_mb': candidate.size_bytes / 1e6,
        'start_s': process.start_s,
        'memory': {'before': opened.memory_before, 'after': opened.memory_after,
                   'own': opened.memory_after - opened.memory_before,
                   'most': process.call('most_memory')}}
