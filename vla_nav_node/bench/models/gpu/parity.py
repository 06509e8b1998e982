"""Whether a row still does what the trained network does: what `vla_nav verify` asks of it."""

from typing import Any, Dict, List, Tuple, Union

import numpy as np

from .budget import Budget
from ..side_by_side.contender import Contender
from ....backends import open_backend
from ....bundle.bundle import Bundle
from ....bundle.verdicts import REFERENCE, STEPS
from ....convert.verify.open_loop import check_frames, Record, record
from ....convert.verify.verdict import judge_open_loop
from ....errors import VlaNavError

FOREIGN = 'no judgement, since the frames are not of the kind that it was trained on (--frames): '
Parity = Dict[str, Any]  # 'figures' and 'problems', or 'unmeasured' with the reason


def reference(bundle: Bundle, frames: np.ndarray, budget: Budget) -> Union[Record, str]:
    """Take the trained network through the frames on the CPU; give why not where it cannot be."""
    try:
        check_frames(frames)
        name, precision = REFERENCE
        backend = open_backend(name, bundle, precision, 'cpu')
        kept = record(backend, frames, bundle.zero_state(), STEPS, budget.watch)
        backend.close()
    except VlaNavError as error:
        return f'there is no reference: {error}'
    return kept


def compare_all(opened: List[Tuple[str, Contender]], kept: Union[Record, str], foreign: bool,
                budget: Budget) -> Dict[str, Parity]:
    """
    Compare all contenders, which were shown the frames, at the same time.

    `foreign` are frames unlike those that a policy was trained on.
    """
    if isinstance(kept, str):
        return {label: {'unmeasured': kept} for label, _ in opened}
    for _, contender in opened:
        contender.ask('compare', kept)
    return {label: _parity(contender, foreign, budget) for label, contender in opened}


def _parity(contender: Contender, foreign: bool, budget: Budget) -> Parity:
    try:
        figures = contender.answer(max(budget.left_s, 1.0))
    except VlaNavError as error:
        late = not budget.left_s
        return {'unmeasured': 'the limit was over' if late else str(error), 'failed': not late}
    precision = contender.contestant.precision
    problems = judge_open_loop(precision, figures)
    if problems and foreign and precision == 'int8':
        # Its scales and its gates are for what the policy knows; rounding errors are not.
        return {'figures': figures, 'unmeasured': FOREIGN + '; '.join(problems)}
    return {'figures': figures, 'problems': problems}
