"""How far the actions of two models differ on the same frames, and from the labels."""

from typing import Any, Dict, List, Optional, Sequence, Union

import numpy as np

from .runners.row_process import Budget, RowProcess
from ...backends import open_backend
from ...bundle.bundle import Bundle
from ...bundle.manifest import AXES
from ...bundle.verdicts import REFERENCE, STEPS
from ...convert.verify.open_loop import check_frames, Record, record
from ...convert.verify.verdict import judge_open_loop
from ...errors import SettingError, VlaNavError

ALIVE = 1e-3  # m/s: actions that vary by less hardly depend on the image
STILL = 1e-9  # m/s: the deviation of actions that change by rounding only
FOREIGN = 'not judged, since the policy was trained on frames of another kind (--frames): '
Parity = Dict[str, Any]  # 'figures' and 'problems', or 'unmeasured' with the reason


def axis_names(actions: np.ndarray) -> List[str]:
    """Return a name for each column of actions [N, actions]."""
    count = actions.shape[1]
    return list(AXES) if count == len(AXES) else [f'action {number}' for number in range(count)]


def agreement(a: np.ndarray, b: np.ndarray) -> Dict[str, Any]:
    """
    Compare actions [N, actions] of two models on the same frames, m/s.

    `mean` and `max` are of the worse axis, since a robot drives on both; None where an action is
    not finite. Raise SettingError if the models have different numbers of actions.
    """
    if a.shape != b.shape:
        raise SettingError(f'A gives {a.shape[1]} numbers and B {b.shape[1]}',
                           'models with the same actions')
    axes = {name: _axis(a[:, number].astype(float), b[:, number].astype(float))
            for number, name in enumerate(axis_names(a))}
    finite = bool(np.isfinite(a).all() and np.isfinite(b).all())
    worst = {figure: max(axis[figure] for axis in axes.values()) if finite else None
             for figure in ('mean', 'max')}
    return {'axes': axes, 'frames': len(a), **worst, 'finite': finite,
            'alive': bool(np.ptp(a, axis=0).max() >= ALIVE)}


def _axis(a: np.ndarray, b: np.ndarray) -> Dict[str, Any]:
    difference = np.abs(a - b)
    if not np.isfinite(difference).all():
        return {'mean': None, 'max': None, 'correlation': None}
    still = not min(a.std(), b.std()) > STILL  # then Pearson's correlation is undefined
    return {'mean': float(difference.mean()), 'max': float(difference.max()),
            'correlation': None if still else float(np.corrcoef(a, b)[0, 1])}


def action_mae(actions: np.ndarray, labels: Optional[np.ndarray]) -> Optional[float]:
    """Return the mean absolute error to the labels, m/s; None without labels or finite actions."""
    if labels is None:
        return None
    if labels.shape != actions.shape:
        raise SettingError(f'labels of {labels.shape[1]} numbers',
                           f'{actions.shape[1]}, as the models give')
    error = float(np.abs(actions - labels).mean())
    return error if np.isfinite(error) else None


def record_reference(bundle: Bundle, frames: np.ndarray, budget: Budget) -> Union[Record, str]:
    """Run the trained network on the frames on the CPU; return why if that is impossible."""
    try:
        check_frames(frames)
        name, precision = REFERENCE
        backend = open_backend(name, bundle, precision, 'cpu')
        recorded = record(backend, frames, bundle.zero_state(), STEPS, budget.limit)
        backend.close()
    except VlaNavError as error:
        return f'there is no reference: {error}'
    return recorded


def gate_rows(opened: Sequence[RowProcess], recorded: Union[Record, str], foreign: bool,
              budget: Budget) -> Dict[str, Parity]:
    """
    Put all rows, which have loaded the frames, through the gates of `vla_nav verify` together.

    `foreign` frames are unlike those that the policy was trained on.
    """
    if isinstance(recorded, str):
        return {each.candidate.name: {'unmeasured': recorded} for each in opened}
    for process in opened:
        process.ask('compare', recorded)
    return {each.candidate.name: _parity(each, foreign, budget) for each in opened}


def _parity(process: RowProcess, foreign: bool, budget: Budget) -> Parity:
    try:
        figures = process.answer(budget.patience_s(least_s=1.0))
    except VlaNavError as error:
        late = not budget.left_s
        return {'unmeasured': 'the limit was over' if late else str(error), 'failed': not late}
    precision = process.candidate.precision
    problems = judge_open_loop(precision, figures)
    if problems and foreign and precision == 'int8':
        # The scales and gates of int8 are for the frames of training; rounding errors are not.
        return {'figures': figures, 'unmeasured': FOREIGN + '; '.join(problems)}
    return {'figures': figures, 'problems': problems}
