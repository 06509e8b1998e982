"""The verdict on each backend and precision of a bundle, held against torch in fp32."""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import (
    Any, Callable, Dict, Iterable, Iterator, List, Mapping, Optional, Sequence, Tuple)

import numpy as np

from .open_loop import check_frames, compare, GROWTH, NOTEWORTHY, Record, record, worst
from ...backends import BACKENDS, is_installed, open_backend, PRECISIONS
from ...bundle.bundle import amend, Bundle, WEIGHTS
from ...bundle.verdicts import (
    decisive_hash, files_of, files_read, REFERENCE, STEPS, THRESHOLDS)
from ...errors import BackendError, BundleError, SettingError, VlaNavError
from ...types import BackendInfo

Progress = Callable[[Iterable[int], str], Iterable[int]]
NOT_DRIVEN = 'not driven: the policy was not trained in the simulator'


@dataclass
class Row:
    """One backend in one precision: what it was found to do, and what is wrong with that."""

    backend: str
    precision: str
    info: Optional[BackendInfo] = None
    skipped: str = ''  # why it cannot be had on this machine
    figures: Dict[str, Any] = field(default_factory=dict)
    problems: List[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        """Name it in tables."""
        return f'{self.backend} {self.precision}'


def candidates(bundle: Bundle, backends: Optional[Sequence[str]],
               precisions: Optional[Sequence[str]], device: str = 'auto') -> List[Tuple[str, str]]:
    """
    Give what to compare: all that is asked for; else what is installed and in the bundle.

    On a GPU the reference itself is compared with what it does on the CPU.
    """
    for name in backends or ():
        if not is_installed(name):
            raise BackendError(f'backend {name} is not installed here',
                               fix=f"pip install 'vla_nav_node[{name}]'")
    wanted = [name for name in backends or BACKENDS if is_installed(name)]
    there = precisions or [precision for precision in PRECISIONS
                           if precision in bundle.precisions]
    pairs = [(name, precision) for name in wanted for precision in there
             if (name, precision) != REFERENCE or device == 'cuda']
    if not pairs:
        raise SettingError('nothing to compare with the reference, torch in fp32',
                           'another backend or precision',
                           "pip install onnxruntime, or make one with 'vla_nav export'")
    return pairs


def device_for(backend: str, device: str) -> str:
    """Return the device on which a backend is judged: it is what `auto` does not take before."""
    return 'cuda' if (backend, device) == ('tensorrt', 'auto') else device


def trained_in_simulator(bundle: Bundle) -> bool:
    """Tell whether closed loops in the simulator say anything about this policy."""
    return bool(bundle.manifest.get('training', {}).get('seeds'))


def verify_open_loop(bundle: Bundle, frames: np.ndarray, wanted: Sequence[Tuple[str, str]],
                     steps: int = STEPS, device: str = 'auto',
                     progress: Progress = lambda items, title: items) -> List[Row]:
    """
    Compare each (backend, precision) with the reference on `frames`, uint8 [N, H, W, 3].

    Raise SettingError for frames or a number of steps that prove nothing.
    """
    if steps < STEPS:
        raise SettingError(f'{steps} steps', f'at least {STEPS}')
    if frames.shape[1:] != bundle.input.shape[1:] or frames.dtype != np.uint8:
        raise SettingError(f'frames of {frames.dtype} {list(frames.shape)}',
                           f'uint8 [N, {", ".join(map(str, bundle.input.shape[1:]))}]')
    check_frames(frames)
    name, precision = REFERENCE
    reference = open_backend(name, bundle, precision, 'cpu')
    kept = record(reference, frames, bundle.zero_state(), steps,
                  lambda items: progress(items, 'the reference'))
    reference.close()
    rows = [_compare(bundle, Row(*pair), frames, kept, device, progress) for pair in wanted]
    works = {row.backend for row in rows if row.info}
    for row in rows:
        graph, = files_read(bundle, row.backend, row.precision)
        there = graph != WEIGHTS and graph in bundle.manifest['files']
        if row.skipped and there and row.backend in works:
            # Not this machine's fault: the backend opens other graphs.
            row.problems, row.skipped = [f'it does not open: {row.skipped}'], ''
    return rows


def _compare(bundle: Bundle, row: Row, frames: np.ndarray, kept: Record, device: str,
             progress: Progress) -> Row:
    try:
        backend = open_backend(row.backend, bundle, row.precision,
                               device_for(row.backend, device))
    except (BackendError, BundleError) as error:
        row.skipped = str(error)
        return row
    row.info = backend.info
    try:
        row.figures = compare(backend, frames, kept, lambda items: progress(items, row.name))
    except VlaNavError as error:
        row.problems.append(f'it failed: {error}')
    finally:
        backend.close()
    row.problems += judge_open_loop(row.precision, row.figures) if row.figures else []
    return row


def judge_open_loop(precision: str, figures: Mapping[str, Any]) -> List[str]:
    """List where the figures of an open loop are beyond the gates of a precision."""
    kind, limit = _speed_gate(precision)
    problems = []
    for part, told in (('one_step', 'one step'), ('rollout', 'the rollout')):
        found = worst(figures[part], kind)
        if not found <= limit:
            problems.append(f'{told} differs by {found:.2g} m/s ({kind}); the gate is {limit:g}')
    state, most = figures['one_step']['state'], THRESHOLDS[precision]['state']
    if state is None or state > most:
        problems.append(f'the state differs by {state} of its size in one step; the gate is '
                        f'{most:g}')
    return problems + _judge_growth(precision, figures['rollout'])


def _speed_gate(precision: str) -> Tuple[str, float]:
    kind = 'max' if 'max' in THRESHOLDS[precision] else 'mean'
    return kind, THRESHOLDS[precision][kind]


def _judge_growth(precision: str, rollout: Mapping[str, Any]) -> List[str]:
    last, growth = rollout['thirds'][-1], rollout['growth']
    _, limit = _speed_gate(precision)
    if None in (last, growth) or growth <= GROWTH or last <= NOTEWORTHY * limit:
        return []  # what is not finite has been told
    return [f'the drift grows: {growth:g} times from the first third of the rollout to the last; '
            f'the gate is {GROWTH:g}']


def judge_closed_loop(precision: str, loop: Any) -> List[str]:
    """List where the figures of a closed loop are beyond the gates; `loop` may be its absence."""
    gates = THRESHOLDS[precision]
    if 'lost' not in gates or loop == NOT_DRIVEN:
        return []
    driven = loop['episodes'] if isinstance(loop, dict) else 0
    if driven < gates['episodes']:
        return [f'{driven} paired episodes in the closed loop; the gate wants '
                f'{gates["episodes"]:g}']
    if loop['lost'] > gates['lost']:
        return [f'{loop["lost"]:.1%} of the episodes are lost; the gate is {gates["lost"]:.0%}']
    return []


def told_frames(source: str, frames: np.ndarray) -> Dict[str, Any]:
    """Say what was compared on, without the names of anybody's folders."""
    return {'source': Path(source).name, 'frames': len(frames)}


def verdict(bundle: Bundle, row: Row, frames: Mapping[str, Any]) -> Dict[str, Any]:
    """Return what policy.yaml keeps of a row; `frames` tells what it was compared on."""
    info = asdict(row.info) if row.info else {}
    return {'passed': not row.problems, 'problems': row.problems,
            'files': files_of(bundle, row.backend, row.precision),
            'manifest': decisive_hash(bundle), 'gates': dict(THRESHOLDS[row.precision]),
            **row.figures, 'frames': dict(frames),
            'ran_on': {key: info[key] for key in ('library', 'version', 'provider', 'device')}}


def write_verdicts(bundle: Bundle, rows: Iterable[Row], frames: Mapping[str, Any]) -> Bundle:
    """Put the verdicts of the rows that ran into policy.yaml, beside those of others."""
    ran = [row for row in rows if row.info]

    def change(manifest: Dict[str, Any]) -> None:
        verification = manifest['verification'] = dict(manifest.get('verification', {}))
        verdicts = {name: dict(one) for name, one in _mapping(verification.get('verdicts'))}
        for row in ran:
            verdicts.setdefault(row.backend, {})[row.precision] = verdict(bundle, row, frames)
        verification['verdicts'] = verdicts
    return amend(bundle, change)


def _mapping(value: Any) -> Iterator[Tuple[str, Mapping[str, Any]]]:
    """Return the items of what may be anything: a manifest can be written by hand."""
    items = value.items() if isinstance(value, dict) else ()
    return ((name, one) for name, one in items if isinstance(one, dict))
