"""Whether a trial computes the same as the defaults of its runtime: outputs, state, repeats."""

from typing import Dict, List, Tuple

import numpy as np

from .arena import Arena
from .measured.paced_worker import Rollout
from .trial import Trial
from ...bundle.verdicts import THRESHOLDS
from ...convert.verify.open_loop import relative_error

STEPS, REPEATS = 200, 100
# Of a file that is no bundle: RMS difference of an output over its RMS.
FILE_LIMITS: Dict[str, float] = {'relative': 1e-3, 'state': 1e-3}


def check_truth(arena: Arena, trial: Trial) -> str:
    """
    Return what differs, '' if nothing does; from the first steps of a new process on.

    The reference is the same runtime with the defaults: whether that one computes what was
    trained is for `vla_nav verify` to say.
    """
    return str(arena.once(f'truth, {trial.name}', lambda: _check(arena, trial)))


def differences(reference: Rollout, found: Rollout, repeats: float, precision: str) -> List[str]:
    """Return in words where a rollout leaves the limits of a precision, '' for a file's."""
    limits = THRESHOLDS.get(precision, FILE_LIMITS)
    if found.outputs.shape != reference.outputs.shape:
        return [f'{found.outputs.shape[1]} outputs instead of {reference.outputs.shape[1]}']
    if not all(map(_finite, found)):
        return ['a result is not finite']
    error, limit, unit = _outputs(reference.outputs, found.outputs, limits)
    state = max((_relative(one, other) for one, other in
                 zip(found.states, reference.states)), default=0.0)
    problems = [f'the outputs of {len(found.outputs)} steps differ by {error:.2g}{unit}; the '
                f'limit is {limit:g}'] * (error > limit)
    if state > limits['state']:
        problems.append(f'the state differs by {state:.2g} of its size; the limit is '
                        f'{limits["state"]:g}')
    scale = 1.0 if precision in THRESHOLDS else max(float(np.abs(reference.outputs).max()), 1e-9)
    if repeats > limit * scale:
        problems.append(f'one input gives results that differ by {repeats:.2g}')
    return problems


def _check(arena: Arena, trial: Trial) -> str:
    same = trial.at_defaults() if trial.subject.kind == 'bundle' else arena.baseline
    with arena.open(same, trial) as (reference, process):
        return '; '.join(differences(reference.rollout(STEPS), process.rollout(STEPS),
                                     process.repeats(REPEATS), trial.precision))


def _outputs(reference: np.ndarray, found: np.ndarray,
             limits: Dict[str, float]) -> Tuple[float, float, str]:
    errors = np.abs(found - reference)
    if 'relative' in limits:
        return _relative(found, reference), limits['relative'], ' of their size'
    if 'max' in limits:
        return float(errors.max(initial=0.0)), limits['max'], ' m/s'
    return float(errors.mean(axis=0).max(initial=0.0)), limits['mean'], ' m/s (mean)'


def _finite(values: np.ndarray) -> bool:
    return bool(np.isfinite(values).all())


def _relative(found: np.ndarray, wanted: np.ndarray) -> float:
    if not wanted.size:
        return 0.0
    return relative_error([found], [wanted])
