"""How far a quantised step graph is off the fp32 one, and how much sooner it is done."""

from dataclasses import asdict, dataclass
from pathlib import Path
import time
from typing import Any, Dict, List, Sequence, Tuple

import numpy as np

from ..verify.open_loop import relative
from ...backends.onnx.onnx_session import CPU, open_session
from ...bundle.manifest import RECURRENT_STATES
from ...types import State

WARM_UP, ROUNDS, RUNS = 5, 21, 10  # RUNS one after the other, each side in turn, ROUNDS times
UNDISTURBED = 25  # percentile of the runs of a round: what else the machine does is above it


@dataclass(frozen=True)
class Drift:
    """Differences to fp32's action, m/s, over all frames and both axes, and to its state."""

    step_mean: float  # from fp32's own state
    step_max: float
    rollout_mean: float  # from its own, carried from frame to frame
    rollout_max: float
    state: float  # of the new state after one step, as a share of its size, mean

    def as_dict(self) -> Dict[str, float]:
        """Return them for the manifest."""
        return {name: round(value, 6) for name, value in asdict(self).items()}


class StepFile:
    """A step graph opened as it drives, on the CPU."""

    def __init__(self, path: Path) -> None:
        """Open it."""
        import onnxruntime
        self._session: Any = open_session(onnxruntime, path, CPU)
        shapes = {entry.name: entry.shape for entry in self._session.get_inputs()}
        # By their names: a file has them in any order.
        parts = [part for part in RECURRENT_STATES['LSTM'] if f'{part}_in' in shapes]
        self._state = [f'{part}_in' for part in parts]
        self._results = ['action', *(f'{part}_out' for part in parts)]
        self.outputs = [entry.name for entry in self._session.get_outputs()]
        self.zero: State = tuple(np.zeros(shapes[name], np.float32) for name in self._state)

    def __call__(self, frame: np.ndarray, state: State) -> Tuple[np.ndarray, State]:
        """Run one step: frame uint8 [H, W, 3], state -> action [2] m/s, new state."""
        action, *after = self._session.run(self._results, self.feed(frame, state))
        return action[0], tuple(after)

    def tell(self, outputs: Sequence[str], frame: np.ndarray, state: State) -> List[np.ndarray]:
        """Run one step and give other outputs of the graph."""
        told: List[np.ndarray] = self._session.run(list(outputs), self.feed(frame, state))
        return told

    def feed(self, frame: np.ndarray, state: State) -> Dict[str, np.ndarray]:
        """Return the graph's inputs by their names."""
        return {'image': frame[None], **dict(zip(self._state, state))}

    def milliseconds(self, frame: np.ndarray) -> float:
        """Return the time of a step that nothing disturbs, from RUNS of them."""
        times = []
        state = self.zero
        for _ in range(RUNS):
            start = time.perf_counter_ns()
            _, state = self(frame, state)
            times.append(time.perf_counter_ns() - start)
        return float(np.percentile(times, UNDISTURBED)) / 1e6


class Reference:
    """The fp32 graph's way through the frames, which others are held against."""

    def __init__(self, step: StepFile, frames: np.ndarray) -> None:
        """Drive through `frames` (uint8 [N, H, W, 3]) once."""
        self._frames = frames
        self._states: List[State] = [step.zero]
        actions = []
        for frame in frames:
            action, state = step(frame, self._states[-1])
            actions.append(action)
            self._states.append(state)
        self.actions = np.array(actions)

    def drift(self, step: StepFile) -> Drift:
        """Take another graph through the same frames, from this one's states and from its own."""
        single, rolled, off, state = [], [], [], step.zero
        for frame, before, wanted in zip(self._frames, self._states, self._states[1:]):
            action, after = step(frame, before)
            single.append(action)
            off.append(relative(after, wanted))
            action, state = step(frame, state)
            rolled.append(action)
        by_step = np.abs(np.array(single) - self.actions)
        by_rollout = np.abs(np.array(rolled) - self.actions)
        return Drift(*(float(value) for value in (
            by_step.mean(), by_step.max(), by_rollout.mean(), by_rollout.max(), np.mean(off))))

    def tell(self, step: StepFile, most: int) -> Dict[str, np.ndarray]:
        """
        Give what the outputs of `step` were on this way, by name: float32 [S, ...] each.

        Of at most so many frames, evenly from the first to the last.
        """
        chosen = np.linspace(0, len(self._frames) - 1, min(most, len(self._frames)))
        told = [step.tell(step.outputs, self._frames[index], self._states[index])
                for index in np.rint(chosen).astype(int)]
        return {name: np.concatenate(values) for name, values in zip(step.outputs, zip(*told))}


@dataclass(frozen=True)
class Race:
    """Two graphs timed in turns, so that what disturbs the machine disturbs both."""

    one: float  # ms a step, in its best round
    other: float
    lead: float  # ms that `one` is ahead, the median of the rounds
    sure: float  # share of the rounds that it was ahead in

    def is_lost(self, by: float) -> bool:
        """Tell whether `one` is behind by that share of a step, and mostly."""
        return self.lead < -by * self.one and self.sure < 0.5


def race(one: StepFile, other: StepFile, frame: np.ndarray) -> Race:
    """Time two graphs on one frame, each from the zero state on."""
    for step in (one, other):
        for _ in range(WARM_UP):
            step(frame, step.zero)
    rounds = np.array([(one.milliseconds(frame), other.milliseconds(frame))
                       for _ in range(ROUNDS)])
    lead = rounds[:, 1] - rounds[:, 0]
    ones, others = rounds.min(axis=0)
    return Race(float(ones), float(others), float(np.median(lead)), float((lead > 0).mean()))
