"""The settings of ONNX Runtime as Python, for a file that runs elsewhere than in this package."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast, List

from ..trial import Trial
from ....backends.onnx.onnx_session import session_options

HUGE_BEFORE = ['from vla_nav_node.backends.huge_pages import NewMemory', '',
               'memory = NewMemory()']
HUGE_AFTER = ['# and after its first run: memory.use_huge_pages()']


class _Written:
    """Stands for SessionOptions, and writes down what is set."""

    lines: List[str]

    def __init__(self) -> None:
        object.__setattr__(self, 'lines', ['options = onnxruntime.SessionOptions()'])

    def __setattr__(self, name: str, value: Any) -> None:
        self.lines.append(f'options.{name} = {value}')

    def add_session_config_entry(self, name: str, value: str) -> None:
        self.lines.append(f'options.add_session_config_entry({name!r}, {value!r})')


class _Named:
    """Stands for an enumeration of ONNX Runtime."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __getattr__(self, name: str) -> str:
        return f'{self._path}.{name}'


def session_text(trial: Trial) -> str:
    """Return Python that opens a file as a trial does; what session_options sets, and no copy."""
    if trial.own_defaults:
        return ''
    ort = SimpleNamespace(SessionOptions=_Written, **{
        name: _Named(f'onnxruntime.{name}')
        for name in ('ExecutionMode', 'GraphOptimizationLevel')})
    written = session_options(cast(Any, ort), Path(trial.subject.path), trial.options)
    before, after = (HUGE_BEFORE, HUGE_AFTER) if trial.options.huge_pages else ([], [])
    lines: List[str] = [
        'import onnxruntime', *before, *written.lines,
        f'session = onnxruntime.InferenceSession({str(trial.subject.path)!r}, options,',
        "                                       providers=['CPUExecutionProvider'])", *after]
    return '\n'.join(lines)
