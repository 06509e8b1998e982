"""One policy on all its rows: opened together, run on the same frames, timed in turns."""

from contextlib import ExitStack
from typing import Any, Dict, List, NamedTuple, Tuple

import numpy as np

from .benchmark_plan import Plan
from ..side_by_side import figures
from ..side_by_side.agreement import agreement
from ..side_by_side.bench_pictures import Pictures
from ..side_by_side.contender import Contender
from ..side_by_side.rounds import take_turns
from ..side_by_side.worker import Span
from ....bundle.bundle import Bundle, WEIGHTS
from ....bundle.verdicts import refusal_reason
from ....errors import VlaNavError
from ....system.progress import Bar

Row = Dict[str, Any]
REFERENCES = ('torch fp32', 'onnx fp32')  # what the others' actions are held against


class Pace(NamedTuple):
    """How much is measured, and how often a paced step begins."""

    warm_up: int
    runs: int
    period_ms: float
    paced_runs: int = 0  # 0: as many as runs


class Measured(NamedTuple):
    """A contender with all that was measured of it."""

    label: str
    contender: Contender
    back_to_back: Span
    paced: Span
    actions: np.ndarray  # float32 [N, actions], the state carried on
    first_actions: np.ndarray  # float32 [N, actions], each from the zero state


def measure(plan: Plan, pace: Pace, pictures: Pictures, bar: Bar
            ) -> Tuple[List[Row], Dict[str, str]]:
    """Return a row for each entry, and those that could not be opened with the reason."""
    absent = dict(plan.absent)
    with ExitStack() as stack:
        opened = _open(plan, stack, absent, bar)
        if not opened:
            return [], absent
        return rows_of(opened, plan, pace, pictures, bar), absent


def rows_of(opened: List[Tuple[str, Contender]], plan: Plan, pace: Pace, pictures: Pictures,
            bar: Bar) -> List[Row]:
    """Time contenders in turns; give a row for each label."""
    contenders = [contender for _, contender in opened]
    spans = _time(contenders, pictures, pace, bar, plan.policy)
    acted = [(one.actions(pictures.starts), one.actions([True] * len(pictures.frames)))
             for one in contenders]
    found = [Measured(label, contender, *pair, *actions) for (label, contender), pair, actions
             in zip(opened, spans, acted)]
    return _rows(plan, pace, found)


def _open(plan: Plan, stack: ExitStack, absent: Dict[str, str],
          bar: Bar) -> List[Tuple[str, Contender]]:
    """Open one after the other, so that the start of one is not held up by another's."""
    opened: List[Tuple[str, Contender]] = []
    advance = bar(f'{plan.policy}: opening', sum(len(one.alternatives) for one in plan.entries))
    for entry in plan.entries:
        for contestant in entry.alternatives:
            try:
                contender = Contender(contestant)
            except VlaNavError as error:
                absent[entry.label] = error.found.removeprefix(f'{contestant.name}: ')
                break
            opened.append((entry.label, contender))
            stack.callback(contender.close)
            advance(1)
            if not contender.opened.info['device'].startswith('cpu'):
                break  # the processor's threads are of no account there
    return opened


def _time(contenders: List[Contender], pictures: Pictures, pace: Pace, bar: Bar,
          policy: str) -> List[Tuple[Span, Span]]:
    for contender in contenders:
        contender.show(pictures.frames)
        contender.run(pace.warm_up, 0)
    spans = [take_turns(contenders, runs, period_ms / 1e3,
                        bar(f'{policy}: {name}', runs * len(contenders)))
             for name, runs, period_ms in (
                 ('back to back', pace.runs, 0.0),
                 ('paced', pace.paced_runs or pace.runs, pace.period_ms))]
    return list(zip(*spans))


def _rows(plan: Plan, pace: Pace, found: List[Measured]) -> List[Row]:
    """Return one row for each label: the alternative with the least median stands for all."""
    best: Dict[str, Measured] = {}
    for one in found:
        if (one.label not in best
                or np.median(one.back_to_back.ms) < np.median(best[one.label].back_to_back.ms)):
            best[one.label] = one
    reference = next((one for name in REFERENCES for label, one in best.items()
                      if label.startswith(name)), found[0])
    return [_row(plan, pace, one, reference, [other for other in found if other.label == label])
            for label, one in best.items()]


def _row(plan: Plan, pace: Pace, one: Measured, reference: Measured,
         alike: List[Measured]) -> Row:
    state = one.contender.opened.carries_state
    actions, wanted = ((one.actions, reference.actions) if state
                       else (one.first_actions, reference.first_actions))
    return {
        'policy': plan.policy, 'label': one.label, **figures.describe(one.contender),
        'back_to_back': figures.latency(one.back_to_back), 'paced': figures.latency(one.paced),
        'period_ms': pace.period_ms, 'late': int((one.paced.ms > pace.period_ms).sum()),
        'work': {'policy': plan.policy, 'weights_sha256': _weights(plan.bundle),
                 'picture': list(one.contender.opened.size), 'carries_state': state},
        'may_not_drive': _problem(plan.bundle, one),
        'agreement': {**agreement(wanted, actions), 'with': reference.label},
        'alternatives': [{'threads': other.contender.contestant.threads,
                          'p50': float(np.median(other.back_to_back.ms))} for other in alike]}


def _weights(bundle: Bundle) -> str:
    """Return the hash of what a bundle's graphs were exported from."""
    files = bundle.manifest['files']
    return str(files[WEIGHTS if WEIGHTS in files else next(iter(files))]['sha256'])


def _problem(bundle: Bundle, one: Measured) -> str:
    """Say why the node would refuse this row; empty when it would drive it."""
    contestant = one.contender.contestant
    if contestant.kind != 'bundle':
        return 'is no bundle'
    return refusal_reason(bundle, contestant.backend, contestant.precision)
