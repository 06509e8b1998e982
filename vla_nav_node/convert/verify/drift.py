"""Measure how far one step graph is off another, and how much faster it is."""

from dataclasses import asdict, dataclass
from pathlib import Path
import time
from typing import Any, Dict, List, Tuple

import numpy as np

from .open_loop import relative_error
from ...backends.onnx.onnx_session import CPU, open_session
from ...bundle.manifest import RECURRENT_STATES
from ...types import State

WARM_UP, ROUNDS, RUNS = 5, 21, 10  # RUNS in a row on each side in turn, ROUNDS times
UNDISTURBED = 25  # percentile of a round's runs: slower ones shared the machine


class StepFile:
    """A step graph opened on the CPU as it is for driving."""

    def __init__(self, path: Path) -> None:
        """Open the file; raise BackendError if ONNX Runtime cannot."""
        import onnxruntime
        self._session: Any = open_session(onnxruntime, path, CPU)
        shapes = {entry.name: entry.shape for entry in self._session.get_inputs()}
        # By name: a file may have them in any order.
        parts = [part for part in RECURRENT_STATES['LSTM'] if f'{part}_in' in shapes]
        self._states = [f'{part}_in' for part in parts]
        self._results = ['action', *(f'{part}_out' for part in parts)]
        self.zero: State = tuple(np.zeros(shapes[name], np.float32) for name in self._states)

    def __call__(self, frame: np.ndarray, state: State) -> Tuple[np.ndarray, State]:
        """Run one step: frame uint8 [H, W, 3], state -> action [2] m/s, new state."""
        action, *after = self._session.run(self._results, self.feed(frame, state))
        return action[0], tuple(after)

    def all_outputs(self, frame: np.ndarray, state: State) -> Dict[str, np.ndarray]:
        """Run one step and return every output of the graph by name."""
        names = [entry.name for entry in self._session.get_outputs()]
        return dict(zip(names, self._session.run(names, self.feed(frame, state))))

    def feed(self, frame: np.ndarray, state: State) -> Dict[str, np.ndarray]:
        """Return the graph's inputs by name."""
        return {'image': frame[None], **dict(zip(self._states, state))}

    def milliseconds(self, frame: np.ndarray) -> float:
        """Return the time of an undisturbed step, from RUNS steps in a row."""
        times = []
        state = self.zero
        for _ in range(RUNS):
            start = time.perf_counter_ns()
            _, state = self(frame, state)
            times.append(time.perf_counter_ns() - start)
        return float(np.percentile(times, UNDISTURBED)) / 1e6


@dataclass(frozen=True)
class Drift:
    """Differences from the reference's actions, m/s over frames and axes, and its state."""

    step_mean: float  # from the reference's state
    step_max: float
    rollout_mean: float  # with its own state, carried from frame to frame
    rollout_max: float
    state: float  # of the new state after one step, relative to its size; mean

    def as_dict(self) -> Dict[str, float]:
        """Return the figures for the manifest."""
        return {name: round(value, 6) for name, value in asdict(self).items()}


class Reference:
    """A graph's actions and states on a sequence of frames, to compare others with."""

    def __init__(self, step: StepFile, frames: np.ndarray) -> None:
        """Run `step` over `frames`, uint8 [N, H, W, 3], with carried state."""
        self._frames = frames
        self._states: List[State] = [step.zero]
        actions = []
        for frame in frames:
            action, state = step(frame, self._states[-1])
            actions.append(action)
            self._states.append(state)
        self.actions = np.array(actions)

    def drift(self, step: StepFile) -> Drift:
        """Run another graph over the frames, from the reference's states and with its own."""
        one_step, rollout, state_errors, state = [], [], [], step.zero
        for frame, before, wanted in zip(self._frames, self._states, self._states[1:]):
            action, after = step(frame, before)
            one_step.append(action)
            state_errors.append(relative_error(after, wanted))
            action, state = step(frame, state)
            rollout.append(action)
        single, rolled = (np.abs(np.array(actions) - self.actions)
                          for actions in (one_step, rollout))
        return Drift(*(float(value) for value in (
            single.mean(), single.max(), rolled.mean(), rolled.max(), np.mean(state_errors))))

    def record_outputs(self, step: StepFile, most: int) -> Dict[str, np.ndarray]:
        """
        Return the outputs of `step` from the reference's states, by name: float32 [S, ...].

        S is at most `most`, spread evenly over the frames.
        """
        chosen = np.linspace(0, len(self._frames) - 1, min(most, len(self._frames)))
        recorded = [step.all_outputs(self._frames[index], self._states[index])
                    for index in np.rint(chosen).astype(int)]
        return {name: np.concatenate([outputs[name] for outputs in recorded])
                for name in recorded[0]}


@dataclass(frozen=True)
class Race:
    """Times of two graphs that ran in turns, so that disturbances hit both."""

    first_ms: float  # of a step, in the best round
    second_ms: float
    lead_ms: float  # by which the first is faster; median of the rounds
    share_ahead: float  # of the rounds in which the first was faster

    def is_lost(self, by: float) -> bool:
        """Return whether the first is slower by this share of a step, in most rounds."""
        return self.lead_ms < -by * self.first_ms and self.share_ahead < 0.5


def race(first: StepFile, second: StepFile, frame: np.ndarray) -> Race:
    """Time two graphs in turns on one frame, each from the zero state."""
    for step in (first, second):
        for _ in range(WARM_UP):
            step(frame, step.zero)
    rounds = np.array([(first.milliseconds(frame), second.milliseconds(frame))
                       for _ in range(ROUNDS)])
    lead = rounds[:, 1] - rounds[:, 0]
    fastest = rounds.min(axis=0)
    return Race(float(fastest[0]), float(fastest[1]), float(np.median(lead)),
                float((lead > 0).mean()))
