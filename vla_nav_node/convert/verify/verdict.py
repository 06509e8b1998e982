"""Judge each backend and precision of a bundle against torch in fp32."""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Callable, Dict, Iterable, List, Mapping, Optional, Sequence, Tuple

import numpy as np

from .open_loop import check_frames, compare, GROWTH, NOTEWORTHY, Record, record, worst
from ...backends import BACKENDS, is_installed, open_backend, PRECISIONS
from ...bundle.bundle import amend, Bundle, WEIGHTS
from ...bundle.verdicts import (
    decisive_hash, files_of, files_read, REFERENCE, STEPS, THRESHOLDS)
from ...errors import BackendError, BundleError, SettingError, VlaNavError
from ...system.install_lines import pip_install
from ...types import BackendInfo

Progress = Callable[[Iterable[int], str], Iterable[int]]
NOT_DRIVEN = 'not driven: the policy was not trained in the simulator'


@dataclass
class Row:
    """The figures and problems of one backend in one precision."""

    backend: str
    precision: str
    info: Optional[BackendInfo] = None
    skipped: str = ''  # why it is unavailable on this machine
    figures: Dict[str, Any] = field(default_factory=dict)
    problems: List[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        """Return the name for tables."""
        return f'{self.backend} {self.precision}'


def candidates(bundle: Bundle, backends: Optional[Sequence[str]],
               precisions: Optional[Sequence[str]], device: str = 'auto') -> List[Tuple[str, str]]:
    """
    Return what to compare: everything asked for, else what is installed and in the bundle.

    On a GPU the reference is included: it is compared with itself on the CPU.
    """
    for name in backends or ():
        if not is_installed(name):
            raise BackendError(f'backend {name} is not installed here',
                               fix=pip_install(name))
    pairs = [(name, precision) for name in backends or filter(is_installed, BACKENDS)
             for precision in precisions or [one for one in PRECISIONS if one in bundle.precisions]
             if (name, precision) != REFERENCE or device == 'cuda']
    if not pairs:
        raise SettingError('nothing to compare with the reference, torch in fp32',
                           'another backend or precision',
                           f"{pip_install('onnx')}, or make one with 'vla_nav export'")
    return pairs


def device_for(backend: str, device: str) -> str:
    """Return the device to judge on: TensorRT needs a GPU, and `auto` takes none unverified."""
    return 'cuda' if (backend, device) == ('tensorrt', 'auto') else device


def trained_in_simulator(bundle: Bundle) -> bool:
    """Return whether closed loops in the simulator mean anything for this policy."""
    return bool(bundle.manifest.get('training', {}).get('seeds'))


def verify_open_loop(bundle: Bundle, frames: np.ndarray, wanted: Sequence[Tuple[str, str]],
                     steps: int = STEPS, device: str = 'auto',
                     progress: Progress = lambda items, title: items) -> List[Row]:
    """
    Compare each (backend, precision) with the reference on `frames`, uint8 [N, H, W, 3].

    Raise SettingError if the frames or the number of steps prove nothing.
    """
    if steps < STEPS:
        raise SettingError(f'{steps} steps', f'at least {STEPS}')
    if frames.shape[1:] != bundle.input.shape[1:] or frames.dtype != np.uint8:
        raise SettingError(f'frames of {frames.dtype} {list(frames.shape)}',
                           f'uint8 [N, {", ".join(map(str, bundle.input.shape[1:]))}]')
    check_frames(frames)
    name, precision = REFERENCE
    reference = open_backend(name, bundle, precision, 'cpu')
    recorded = record(reference, frames, bundle.zero_state(), steps,
                      lambda items: progress(items, 'the reference'))
    reference.close()
    rows = [_compare(bundle, Row(*pair), frames, recorded, device, progress) for pair in wanted]
    working = {row.backend for row in rows if row.info}
    for row in rows:
        graph, = files_read(bundle, row.backend, row.precision)
        in_bundle = graph != WEIGHTS and graph in bundle.manifest['files']
        if row.skipped and in_bundle and row.backend in working:
            # The backend opens other graphs, so the machine is not to blame.
            row.problems, row.skipped = [f'it does not open: {row.skipped}'], ''
    return rows


def _compare(bundle: Bundle, row: Row, frames: np.ndarray, reference: Record, device: str,
             progress: Progress) -> Row:
    try:
        backend = open_backend(row.backend, bundle, row.precision,
                               device_for(row.backend, device))
    except (BackendError, BundleError) as error:
        row.skipped = str(error)
        return row
    row.info = backend.info
    try:
        row.figures = compare(backend, frames, reference, lambda items: progress(items, row.name))
        row.problems += judge_open_loop(row.precision, row.figures)
    except VlaNavError as error:
        row.problems.append(f'it failed: {error}')
    finally:
        backend.close()
    return row


def judge_open_loop(precision: str, figures: Mapping[str, Any]) -> List[str]:
    """Return where the figures of an open loop exceed the limits of a precision."""
    limits = THRESHOLDS[precision]
    kind = 'max' if 'max' in limits else 'mean'
    problems = []
    for part, title in (('one_step', 'one step'), ('rollout', 'the rollout')):
        error = worst(figures[part], kind)
        if not error <= limits[kind]:
            problems.append(f'{title} differs by {error:.2g} m/s ({kind}); the limit is '
                            f'{limits[kind]:g}')
    state = figures['one_step']['state']
    if state is None or state > limits['state']:
        problems.append(f'the state differs by {state} of its size in one step; the limit is '
                        f'{limits["state"]:g}')
    last, growth = figures['rollout']['thirds'][-1], figures['rollout']['growth']
    # Numbers that are not finite have been reported above.
    if None not in (last, growth) and growth > GROWTH and last > NOTEWORTHY * limits[kind]:
        problems.append(f'the drift grows: {growth:g} times from the first third of the rollout '
                        f'to the last; the limit is {GROWTH:g}')
    return problems


def judge_closed_loop(precision: str, loop: Any) -> List[str]:
    """Return where the figures of a closed loop exceed the limits; `loop` may say why none ran."""
    limits = THRESHOLDS[precision]
    if 'lost' not in limits or loop == NOT_DRIVEN:
        return []
    driven = loop['episodes'] if isinstance(loop, dict) else 0
    if driven < limits['episodes']:
        return [f'{driven} paired episodes in the closed loop; expected at least '
                f'{limits["episodes"]:g}']
    if loop['lost'] > limits['lost']:
        return [f'{loop["lost"]:.1%} of the episodes are lost; the limit is {limits["lost"]:.0%}']
    return []


def describe_frames(source: str, frames: np.ndarray) -> Dict[str, Any]:
    """Return what the verdict records of the frames, without the folders of their path."""
    return {'source': Path(source).name, 'frames': len(frames)}


def verdict(bundle: Bundle, row: Row, frames: Mapping[str, Any]) -> Dict[str, Any]:
    """Return what policy.yaml keeps of a row; `frames` describes what it was compared on."""
    info = asdict(row.info) if row.info else {}
    return {'passed': not row.problems, 'problems': row.problems,
            'files': files_of(bundle, row.backend, row.precision),
            'manifest': decisive_hash(bundle), 'gates': dict(THRESHOLDS[row.precision]),
            **row.figures, 'frames': dict(frames),
            'ran_on': {key: info[key] for key in ('library', 'version', 'provider', 'device')}}


def write_verdicts(bundle: Bundle, rows: Iterable[Row], frames: Mapping[str, Any]) -> Bundle:
    """Write the verdicts of the rows that ran into policy.yaml, and keep the others there."""
    ran = [row for row in rows if row.info]

    def change(manifest: Dict[str, Any]) -> None:
        verification = manifest['verification'] = dict(manifest.get('verification', {}))
        before = verification.get('verdicts')  # anything, if the manifest was edited by hand
        verdicts = {name: dict(one) for name, one in before.items() if isinstance(one, dict)} \
            if isinstance(before, dict) else {}
        for row in ran:
            verdicts.setdefault(row.backend, {})[row.precision] = verdict(bundle, row, frames)
        verification['verdicts'] = verdicts
    return amend(bundle, change)
