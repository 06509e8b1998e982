"""An open model: one step after another, its state carried; rehearsals leave no trace."""

from pathlib import Path
from typing import Any, Dict, List, Protocol, Sequence, Tuple

import numpy as np

from ..trial import Trial
from ....backends import open_backend
from ....backends.huge_pages import in_huge_pages
from ....backends.onnx.onnx_session import CPU, session_options
from ....bundle.bundle import load_bundle
from ....errors import BackendError, first_line
from ....policy.recurrent_policy import Policy
from ....types import BackendInfo

Outputs = List[np.ndarray]


class Stepper(Protocol):
    """An open model; `info` is what really runs."""

    info: BackendInfo

    def step(self, number: int) -> Outputs:
        """Run the step of this number, and carry the state -> the outputs that are no state."""

    def rehearse(self, number: int) -> None:
        """Run it and drop everything."""

    def state(self) -> Outputs:
        """Return the state after the last step."""

    def reset(self) -> None:
        """Start from the zero state."""


class BundleStepper:
    """A policy on one of our backends, as in the node."""

    def __init__(self, trial: Trial) -> None:
        """Open it, or raise VlaNavError."""
        bundle = load_bundle(trial.subject.path)
        self._backend = open_backend(trial.backend, bundle, trial.precision, trial.device,
                                     options=trial.options)
        self._policy = Policy(self._backend, bundle.zero_state())
        self._frames = np.load(trial.subject.inputs)['image'][:, None]
        self.info = self._backend.info

    def step(self, number: int) -> Outputs:
        return [self._policy.act(self._frames[number % len(self._frames)])]

    def rehearse(self, number: int) -> None:
        self._policy.rehearse(self._frames[number % len(self._frames)])

    def state(self) -> Outputs:
        return [np.array(part) for part in self._policy.state]

    def reset(self) -> None:
        self._policy.reset()


class FileStepper:
    """An ONNX file with the inputs that the user named; outputs that are states are fed back."""

    def __init__(self, trial: Trial) -> None:
        """Open it, or raise BackendError."""
        import onnxruntime as ort
        path = trial.subject.path
        options = ort.SessionOptions() if trial.own_defaults else session_options(
            ort, path, trial.options)
        options.log_severity_level = 3  # errors
        with in_huge_pages(trial.options.huge_pages and not trial.own_defaults):
            self._open(ort, path, options, trial)
        self.info = BackendInfo('onnx', 'onnxruntime', ort.__version__, 'cpu', CPU, '')

    def _open(self, ort: Any, path: Path, options: Any, trial: Trial) -> None:
        pairs = dict(trial.subject.states)
        try:
            self._session = ort.InferenceSession(str(path), options, providers=[CPU])
        except Exception as error:  # the runtime's own classes share no base
            raise BackendError(f'ONNX Runtime cannot open {path.name}: {first_line(error)}',
                               'a graph that this version reads') from error
        contents = dict(np.load(trial.subject.inputs))
        self._zeros = {name: contents.pop(name) for name in pairs}
        self._contents, self._pairs = contents, pairs
        others = [one.name for one in self._session.get_outputs()
                  if one.name not in pairs.values()]
        self._names = others + list(pairs.values())
        self._count = len(others)
        self.reset()
        self._run(0)

    def step(self, number: int) -> Outputs:
        outputs, self._state = self._run(number)
        return outputs

    def rehearse(self, number: int) -> None:
        self._run(number)

    def state(self) -> Outputs:
        return list(self._state.values())

    def reset(self) -> None:
        self._state = self._zeros

    def _run(self, number: int) -> Tuple[Outputs, Dict[str, np.ndarray]]:
        feed: Dict[str, Any] = {name: many[number % len(many)]
                                for name, many in self._contents.items()}
        found: Sequence[np.ndarray] = self._session.run(self._names, {**feed, **self._state})
        return list(found[:self._count]), dict(zip(self._pairs, found[self._count:]))


def open_stepper(trial: Trial) -> Stepper:
    """Open a trial in this process, or raise VlaNavError."""
    return BundleStepper(trial) if trial.subject.kind == 'bundle' else FileStepper(trial)
