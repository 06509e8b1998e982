"""The same frames through two backends: one step from equal states, and a rollout with its own."""

from dataclasses import dataclass
from typing import Any, Callable, Dict, Iterable, List, Sequence

import numpy as np

from ...errors import SettingError
from ...types import Backend, State

AXES = ('vx', 'vy')
# Frames have to be such that a wrong network answers them wrongly.
FEWEST_FRAMES = 30  # that differ from one another
LEAST_CONTRAST = 4.0  # grey levels, standard deviation within a picture
LEAST_SMOOTHNESS = 0.5  # correlation of neighbouring pixels: pictures have over 0.9, noise has 0
LEAST_STATE = 1e-3  # a smaller state counts as one of this size: rounding is not measured by it
# Drift grows when the last third of a rollout is this many times worse than the first third, each
# as a multiple of what the same frames cost in one step, and is no mere rounding.
GROWTH = 2.0
NOTEWORTHY = 0.1  # of the gate

Track = Callable[[Iterable[int]], Iterable[int]]  # shows progress


@dataclass(frozen=True)
class Record:
    """What the reference did on the frames."""

    order: Sequence[int]  # which frame each step saw
    actions: np.ndarray  # float64 [steps, 2], m/s
    states: List[State]  # before each step, and after the last


def check_frames(frames: np.ndarray) -> None:
    """Raise SettingError when agreement on these frames, uint8 [N, H, W, 3], proves nothing."""
    distinct = len({frame.tobytes() for frame in frames})
    if distinct < FEWEST_FRAMES:
        raise SettingError(f'{distinct} different frames', f'at least {FEWEST_FRAMES}',
                           'name a source with more')
    sample = frames[np.linspace(0, len(frames) - 1, FEWEST_FRAMES).astype(int)].astype(np.float32)
    contrast = float(np.median(sample.std(axis=(1, 2, 3))))
    if contrast < LEAST_CONTRAST:
        raise SettingError(f'frames of one colour (contrast {contrast:.1f} grey levels)',
                           f'at least {LEAST_CONTRAST:g}', 'frames from a camera that sees')
    smooth = float(np.corrcoef(sample[:, :, 1:].ravel(), sample[:, :, :-1].ravel())[0, 1])
    if smooth < LEAST_SMOOTHNESS:
        raise SettingError(f'frames of noise (neighbouring pixels correlate by {smooth:.2f})',
                           f'at least {LEAST_SMOOTHNESS:g}', 'frames from a camera')


def back_and_forth(count: int, steps: int) -> List[int]:
    """Return the frame of each step; at an end it turns round, so that nothing ever jumps."""
    around = [*range(count), *range(count - 2, 0, -1)]
    return [around[step % len(around)] for step in range(steps)]


def record(reference: Backend, frames: np.ndarray, zero: State, steps: int,
           track: Track = iter) -> Record:
    """Drive the reference through the frames and keep every action and state."""
    order = back_and_forth(len(frames), steps)
    actions, states = [], [zero]
    for index in track(order):
        action, state = reference.infer(frames[index][np.newaxis], states[-1])
        actions.append(action[0])
        states.append(state)
    return Record(order, np.asarray(actions, float), states)


def compare(backend: Backend, frames: np.ndarray, kept: Record,
            track: Track = iter) -> Dict[str, Any]:
    """Return the figures of one step and of the rollout against what the reference did."""
    state = kept.states[0]
    stepped, rolled, state_errors = [], [], []
    for step, index in enumerate(track(kept.order)):
        frame = frames[index][np.newaxis]
        action, after = backend.infer(frame, kept.states[step])
        stepped.append(action[0])
        state_errors.append(relative(after, kept.states[step + 1]))
        action, state = backend.infer(frame, state)
        rolled.append(action[0])
    once, drifted = (np.abs(np.asarray(actions, float) - kept.actions)
                     for actions in (stepped, rolled))
    return figures(once, drifted, float(np.mean(state_errors)))


def figures(once: np.ndarray, rolled: np.ndarray, state_error: float) -> Dict[str, Any]:
    """Sum up absolute errors [steps, 2] in m/s; a number that is not finite becomes None."""
    return {'one_step': {**_per_axis(once), 'state': short(state_error)},
            'rollout': {'steps': len(rolled), **_per_axis(rolled),
                        'thirds': [short(third) for third in _thirds(rolled)],
                        'growth': short(growth(once, rolled))}}


def growth(once: np.ndarray, rolled: np.ndarray) -> float:
    """
    Give by how much the rollout got worse from its first third to its last.

    Both as a multiple of what the same frames cost in one step, so that a stretch of hard frames
    is not taken for drift.
    """
    tiny = np.finfo(np.float32).eps
    first, _, last = _thirds(rolled) / (_thirds(once) + tiny)
    return float(last / max(first, tiny))


def worst(part: Dict[str, Any], kind: str) -> float:
    """Return the `max` or `mean` of the worse axis; nan where one is not finite."""
    values = [part[axis][kind] for axis in AXES]
    return float('nan') if None in values else max(values)


def short(value: float) -> Any:
    """Round to what is worth keeping in policy.yaml."""
    return float(f'{value:.3g}') if np.isfinite(value) else None


def _per_axis(errors: np.ndarray) -> Dict[str, Dict[str, Any]]:
    return {axis: {'mean': short(column.mean()), 'max': short(column.max())}
            for axis, column in zip(AXES, errors.T)}


def _thirds(errors: np.ndarray) -> np.ndarray:
    return np.array([third.mean() for third in np.array_split(errors.max(axis=1), 3)])


def relative(found: State, wanted: State) -> float:
    """Return the difference of two states relative to the size of the second; of the worse part."""
    return max(_rms(one - other) / max(_rms(other), LEAST_STATE)
               for one, other in zip(found, wanted))


def _rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.square(values, dtype=float).mean()))
