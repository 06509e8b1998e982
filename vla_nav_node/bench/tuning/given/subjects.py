"""What a user names as MODEL, as trials: its runtimes, and those that may not be taken."""

from pathlib import Path
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from .file_inputs import Named, write_inputs
from ..trial import Subject, Trial
from ...models.frame_sets import load_frame_set
from ...models.matrix import absence, Kind
from ...models.policies import open_model
from ....backends import BACKENDS, PRECISIONS
from ....bundle.bundle import Bundle, sha256_of
from ....bundle.verdicts import files_read, is_trained, refusal_reason
from ....errors import SettingError

FRAMES = 50
PREFERRED = ('onnx', 'fp32')  # the node's defaults
UNTRAINED = ('It is not trained, so it may not drive: its figures are for comparing speeds, and '
             'no verdict of `vla_nav verify` was asked for.')


class Model(NamedTuple):
    """A model with its baseline, its other runtimes, and the reasons against the rest."""

    baseline: Trial
    runtimes: List[Trial]
    refused: Dict[str, str]
    sha256: str
    bundle: Optional[Bundle] = None
    note: str = ''


class Wanted(NamedTuple):
    """What the user asks for."""

    backends: Sequence[str] = ()  # empty: all
    precisions: Sequence[str] = ()
    device: str = 'auto'
    preferred: Tuple[str, str] = PREFERRED  # the baseline's backend and precision


def is_file(name: str) -> bool:
    """Return whether a model is an ONNX file, and no bundle."""
    return Path(name).suffix == '.onnx' and Path(name).is_file()


def open_bundle(name: str, bundles: Path, frames: str, wanted: Wanted, folder: Path) -> Model:
    """Return a bundle's trials; its frames are written to `folder`."""
    precisions = wanted.precisions or PRECISIONS
    bundle = open_model(name, bundles, ['fp32', *wanted.precisions], frames)
    subject = Subject(name, 'bundle', bundle.directory, folder / 'inputs.npz')
    np.savez(subject.inputs, image=load_frame_set(frames, bundle.input, FRAMES).frames)
    refused: Dict[str, str] = {}
    allowed: List[Trial] = []
    for kind in (Kind(backend, precision) for backend in wanted.backends or BACKENDS
                 for precision in precisions):
        reason = _refusal(bundle, kind, wanted.device)
        if reason:
            refused[kind.label] = reason
        else:
            allowed.append(Trial(subject, kind.backend, kind.precision,
                                 wanted.device).at_defaults())
    return _model(bundle, allowed, refused, wanted)


def open_file(name: str, named: Named, folder: Path, device: str = 'auto') -> Model:
    """Return an ONNX file's trials: ONNX Runtime's own defaults are the baseline."""
    if device == 'cuda':
        raise SettingError(f'--device cuda for {name}', 'the CPU, for a file',
                           'import it into a bundle')
    path, inputs = Path(name), folder / 'inputs.npz'
    states = write_inputs(path, named, inputs)
    subject = Subject(name, 'onnx', path, inputs, states)
    ours = Trial(subject, device='cpu')
    note = '' if not states else 'Fed back: ' + ', '.join(
        f'{after} into {before}' for before, after in states) + '.'
    digest = sha256_of(path)
    return Model(Trial(subject, device='cpu', own_defaults=True), [ours], {}, digest, note=note)


def _refusal(bundle: Bundle, kind: Kind, device: str) -> str:
    """Return why a runtime is not tried; '' if it is."""
    if kind.backend == 'tensorrt' and device == 'cpu':
        return 'tensorrt needs a GPU'
    missing = absence(bundle, kind)
    if missing or not is_trained(bundle):
        return missing
    reason = refusal_reason(bundle, kind.backend, kind.precision)
    return reason and f'it {reason}: run `vla_nav verify`'


def _model(bundle: Bundle, allowed: List[Trial], refused: Dict[str, str],
           wanted: Wanted) -> Model:
    if not allowed:
        raise SettingError(f'{bundle.name} has nothing to tune: ' + '; '.join(
            f'{label}: {reason}' for label, reason in refused.items()),
            'a backend and precision that `vla_nav verify` has passed')
    baseline = next((trial for trial in allowed
                     if (trial.backend, trial.precision) == wanted.preferred),
                    next((trial for trial in allowed if trial.backend == PREFERRED[0]),
                         allowed[0]))
    others = [trial for trial in allowed if trial is not baseline]
    file, = files_read(bundle, baseline.backend, baseline.precision)
    return Model(baseline, others, refused, str(bundle.manifest['files'][file]['sha256']),
                 bundle, '' if is_trained(bundle) else UNTRAINED)
