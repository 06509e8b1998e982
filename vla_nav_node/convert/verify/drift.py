"""Measure how far one step graph is off another, and how much faster it is."""

from dataclasses import asdict, dataclass
from pathlib import Path
import time
from typing import Any, Dict, Tuple

import numpy as np

from .open_loop import errors, record
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

    def infer(self, image: np.ndarray, state: State) -> Tuple[np.ndarray, State]:
        """Run one step: image uint8 [1, H, W, 3], state -> action [1, 2] m/s, new state."""
        action, *after = self._session.run(self._results, self.feed(image, state))
        return action, tuple(after)

    def all_outputs(self, image: np.ndarray, state: State) -> Dict[str, np.ndarray]:
        """Run one step and return every output of the graph by name."""
        names = [entry.name for entry in self._session.get_outputs()]
        return dict(zip(names, self._session.run(names, self.feed(image, state))))

    def feed(self, image: np.ndarray, state: State) -> Dict[str, np.ndarray]:
        """Return the graph's inputs by name."""
        return {'image': image, **dict(zip(self._states, state))}

    def milliseconds(self, image: np.ndarray) -> float:
        """Return the time of an undisturbed step, from RUNS steps in a row."""
        times = []
        state = self.zero
        for _ in range(RUNS):
            start = time.perf_counter_ns()
            _, state = self.infer(image, state)
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
        self.steps = len(frames)
        self._frames = frames
        self._record = record(step, frames, step.zero, len(frames))

    def drift(self, step: StepFile) -> Drift:
        """Run another graph over the frames, from the reference's states and with its own."""
        one_step, rollout, state_error = errors(step, self._frames, self._record)
        return Drift(*(float(value) for value in (
            one_step.mean(), one_step.max(), rollout.mean(), rollout.max(), state_error)))

    def record_outputs(self, step: StepFile, most: int) -> Dict[str, np.ndarray]:
        """
        Return the outputs of `step` from the reference's states, by name: float32 [S, ...].

        S is at most `most`, spread evenly over the frames.
        """
        chosen = np.linspace(0, len(self._frames) - 1, min(most, len(self._frames)))
        outputs = [step.all_outputs(self._frames[index][None], self._record.states[index])
                   for index in np.rint(chosen).astype(int)]
        return {name: np.concatenate([one[name] for one in outputs]) for name in outputs[0]}


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
    """Time two graphs in turns on a frame, uint8 [H, W, 3], each from the zero state."""
    image = frame[None]
    for step in (first, second):
        for _ in range(WARM_UP):
            step.infer(image, step.zero)
    rounds = np.array([(first.milliseconds(image), second.milliseconds(image))
                       for _ in range(ROUNDS)])
    lead = rounds[:, 1] - rounds[:, 0]
    fastest = rounds.min(axis=0)
    return Race(float(fastest[0]), float(fastest[1]), float(np.median(lead)),
                float((lead > 0).mean()))
