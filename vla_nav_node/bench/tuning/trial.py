"""One way to run a model: its runtime and its options; nothing is opened yet."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Dict, Mapping, Tuple, Union

from ..models.candidate import Candidate
from ...backends.options import BackendOptions, DEFAULTS
from ...backends.step_backend import CACHE_BYTES
from ...driving.parameters import REHEARSAL_MS

Value = Union[str, int, float, bool]
REHEARSAL = 'rehearsal_ms'  # the node's parameter
OWN = "ONNX Runtime's own defaults"


@dataclass(frozen=True)
class Subject:
    """The model that is tuned; `inputs` is the .npz that its process reads."""

    name: str
    kind: str  # bundle, onnx
    path: Path
    inputs: Path = Path()
    states: Tuple[Tuple[str, str], ...] = ()  # of a file: (input, output that goes back into it)


@dataclass(frozen=True)
class Trial:
    """What is measured against the baseline; its name tells all of it."""

    subject: Subject
    backend: str = 'onnx'
    precision: str = ''  # of a bundle
    device: str = 'auto'
    options: BackendOptions = DEFAULTS
    rehearsal_ms: float = 0.0
    own_defaults: bool = False  # of a file: without any of our options
    # Faults and work for tests: busy:MS, slower:MS, wrong, drift, crash, hang.
    planted: str = ''

    @property
    def runtime(self) -> str:
        """Return what runs it, such as 'onnx int8'."""
        return f'{self.backend} {self.precision}'.strip()

    @property
    def default_rehearsal_ms(self) -> float:
        """Return how long before the next picture the node rehearses if nobody says."""
        if self.subject.kind != 'bundle' or self.device == 'cuda' or self.backend == 'tensorrt':
            return 0.0
        file = Candidate('', 'bundle', self.subject.path, self.precision, self.backend).model_file
        small = file.is_file() and file.stat().st_size < CACHE_BYTES
        return REHEARSAL_MS if small else 0.0

    @property
    def changed(self) -> Dict[str, Value]:
        """Return the settings that differ from the defaults of this runtime."""
        found: Dict[str, Value] = dict(self.options.changed())
        if self.rehearsal_ms != self.default_rehearsal_ms:
            found[REHEARSAL] = self.rehearsal_ms
        return found

    @property
    def settings(self) -> str:
        """Return the changed settings in words."""
        if self.own_defaults:
            return OWN
        texts = [f'{name}={_plain(value)}' for name, value in self.changed.items()]
        return ', '.join(texts + [self.planted] * bool(self.planted)) or 'the defaults'

    @property
    def name(self) -> str:
        """Return the runtime and the changed settings."""
        return f'{self.runtime}: {self.settings}'

    def with_changes(self, changes: Mapping[str, Value]) -> 'Trial':
        """Return it with other settings, by the names of the node's parameters."""
        options: Dict[str, Any] = {key: value for key, value in changes.items()
                                   if key != REHEARSAL}
        return replace(self, options=replace(self.options, **options),
                       rehearsal_ms=float(changes.get(REHEARSAL, self.rehearsal_ms)))

    def at_defaults(self) -> 'Trial':
        """Return the same runtime with the defaults."""
        return replace(self, options=DEFAULTS, rehearsal_ms=self.default_rehearsal_ms,
                       own_defaults=False, planted='')


def _plain(value: Value) -> str:
    return f'{value:g}' if isinstance(value, float) else str(value).lower() \
        if isinstance(value, bool) else str(value)
