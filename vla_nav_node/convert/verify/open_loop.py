"""Compare two backends on the same frames: single steps from equal states, and a rollout."""

from dataclasses import dataclass
from typing import Any, Callable, Dict, Iterable, List, Protocol, Sequence, Tuple

import numpy as np

from ...errors import SettingError
from ...types import State

AXES = ('vx', 'vy')
# The frames must be such that a wrong network gives wrong answers on them.
FEWEST_FRAMES = 30  # different ones
LEAST_CONTRAST = 4.0  # grey levels, standard deviation within a picture
LEAST_SMOOTHNESS = 0.5  # correlation of neighbouring pixels: pictures have over 0.9, noise has 0
LEAST_STATE = 1e-3  # smaller states count as this size, so that rounding is not measured
# Drift grows if the last third of a rollout is this many times worse than the first, each relative
# to the one-step error on the same frames, and is more than rounding.
GROWTH = 2.0
NOTEWORTHY = 0.1  # of the limit

Track = Callable[[Iterable[int]], Iterable[int]]  # shows progress


class Steps(Protocol):
    """A backend, or a step graph opened as one."""

    def infer(self, image: np.ndarray, state: State) -> Tuple[np.ndarray, State]:
        """Run one step: image uint8 [1, H, W, 3], state -> action [1, 2] m/s, new state."""


@dataclass(frozen=True)
class Record:
    """What the reference did on the frames."""

    order: Sequence[int]  # the frame of each step
    actions: np.ndarray  # float64 [steps, 2], m/s
    states: List[State]  # before each step, and after the last


def check_frames(frames: np.ndarray) -> None:
    """Raise SettingError if agreement on these frames, uint8 [N, H, W, 3], proves nothing."""
    distinct = len({frame.tobytes() for frame in frames})
    if distinct < FEWEST_FRAMES:
        raise SettingError(f'{distinct} different frames', f'at least {FEWEST_FRAMES}',
                           'name a source with more')
    sample = frames[np.linspace(0, len(frames) - 1, FEWEST_FRAMES).astype(int)].astype(np.float32)
    contrast = float(np.median(sample.std(axis=(1, 2, 3))))
    if contrast < LEAST_CONTRAST:
        raise SettingError(f'frames of one colour (contrast {contrast:.1f} grey levels)',
                           f'at least {LEAST_CONTRAST:g}', 'frames from a working camera')
    smooth = float(np.corrcoef(sample[:, :, 1:].ravel(), sample[:, :, :-1].ravel())[0, 1])
    if smooth < LEAST_SMOOTHNESS:
        raise SettingError(f'frames of noise (neighbouring pixels correlate by {smooth:.2f})',
                           f'at least {LEAST_SMOOTHNESS:g}', 'frames from a camera')


def back_and_forth(count: int, steps: int) -> List[int]:
    """Return the frame of each step; at either end the order reverses, so nothing jumps."""
    period = [*range(count), *range(count - 2, 0, -1)]
    return [period[step % len(period)] for step in range(steps)]


def record(reference: Steps, frames: np.ndarray, zero: State, steps: int,
           track: Track = iter) -> Record:
    """Run the reference over the frames and keep every action and state."""
    order = back_and_forth(len(frames), steps)
    actions, states = [], [zero]
    for index in track(order):
        action, state = reference.infer(frames[index][np.newaxis], states[-1])
        actions.append(action[0])
        states.append(state)
    return Record(order, np.asarray(actions, float), states)


def compare(backend: Steps, frames: np.ndarray, reference: Record,
            track: Track = iter) -> Dict[str, Any]:
    """Return the figures of single steps and of the rollout against the reference."""
    return figures(*errors(backend, frames, reference, track))


def errors(backend: Steps, frames: np.ndarray, reference: Record,
           track: Track = iter) -> Tuple[np.ndarray, np.ndarray, float]:
    """
    Run a backend over the frames, from the reference's states and with its own.

    Return the absolute errors of the actions, m/s, in single steps [steps, 2] and in the rollout
    [steps, 2], and the mean relative error of the state after single steps.
    """
    state = reference.states[0]
    stepped, rolled, state_errors = [], [], []
    for step, index in enumerate(track(reference.order)):
        frame = frames[index][np.newaxis]
        action, after = backend.infer(frame, reference.states[step])
        stepped.append(action[0])
        state_errors.append(relative_error(after, reference.states[step + 1]))
        action, state = backend.infer(frame, state)
        rolled.append(action[0])
    one_step, rollout = (np.abs(np.asarray(actions, float) - reference.actions)
                         for actions in (stepped, rolled))
    return one_step, rollout, float(np.mean(state_errors))


def figures(one_step: np.ndarray, rollout: np.ndarray, state_error: float) -> Dict[str, Any]:
    """Summarise absolute errors [steps, 2] in m/s; a number that is not finite becomes None."""
    return {'one_step': {**_per_axis(one_step), 'state': _short(state_error)},
            'rollout': {'steps': len(rollout), **_per_axis(rollout),
                        'thirds': [_short(third) for third in _thirds(rollout)],
                        'growth': _short(growth(one_step, rollout))}}


def growth(one_step: np.ndarray, rollout: np.ndarray) -> float:
    """
    Return how many times worse the rollout's last third is than its first.

    Each is relative to the one-step error on the same frames, so that a stretch of hard frames
    does not count as drift.
    """
    tiny = np.finfo(np.float32).eps
    first, _, last = _thirds(rollout) / (_thirds(one_step) + tiny)
    return float(last / max(first, tiny))


def worst(part: Dict[str, Any], kind: str) -> float:
    """Return the `max` or `mean` of the worse axis; nan if one is not finite."""
    values = [part[axis][kind] for axis in AXES]
    return float('nan') if None in values else max(values)


def _short(value: float) -> Any:
    """Round to the digits that policy.yaml keeps."""
    return float(f'{value:.3g}') if np.isfinite(value) else None


def _per_axis(errors: np.ndarray) -> Dict[str, Dict[str, Any]]:
    return {axis: {'mean': _short(column.mean()), 'max': _short(column.max())}
            for axis, column in zip(AXES, errors.T)}


def _thirds(errors: np.ndarray) -> np.ndarray:
    return np.array([third.mean() for third in np.array_split(errors.max(axis=1), 3)])


def relative_error(found: State, wanted: State) -> float:
    """Return the RMS difference of two states over the RMS of `wanted`, of the worse part."""
    return max(_rms(one - other) / max(_rms(other), LEAST_STATE)
               for one, other in zip(found, wanted))


def _rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.square(values, dtype=float).mean()))
