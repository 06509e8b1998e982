"""The frames that all contestants see: the same ones, in the same order."""

from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import List, Optional
import zipfile

import cv2
import numpy as np

from ....convert.frames.calibrated import Calibrated, NONE
from ....errors import SettingError
from ....vision.preprocess import InputSpec, Preprocess

HELP = ('sim (the simulator, expert driving), a folder of pictures, a rosbag2, an .npy of frames, '
        'an .npz of frames and actions, or noise')
NOISE = 'noise'
COARSE = (9, 12)  # cells of a noise picture, blown up: something like shapes, of any size


@dataclass(frozen=True)
class Pictures:
    """Frames uint8 [N, H, W, 3] in order; `starts` is where the state begins anew."""

    frames: np.ndarray
    starts: List[bool]
    actions: Optional[np.ndarray] = None  # float32 [N, actions], what was right, m/s


def load_pictures(source: str, spec: InputSpec, count: int, seed: int = 0,
                  calibrated: Calibrated = NONE) -> Pictures:
    """
    Read at most `count` frames of a source, resized as `spec` says, but none of the `calibrated`.

    An .npz has `frames` (uint8 [N, h, w, 3]), `actions` (float [N, 2], m/s) and, if it likes,
    `starts` (bool [N], true where an episode begins).
    """
    if source.endswith('.npz'):
        return _labelled(Path(source), spec, count, calibrated)
    if source == NOISE:
        frames = _noise(spec, count, seed)
    else:
        from ....sim.expert.simulated_frames import load_frames
        frames = load_frames(source, spec, count, seed, calibrated)
    return Pictures(frames, _starts(len(frames)))


def _starts(count: int) -> List[bool]:
    return [number == 0 for number in range(count)]


def _noise(spec: InputSpec, count: int, seed: int) -> np.ndarray:
    """Good for times only: what a policy makes of noise proves nothing."""
    cells = np.random.default_rng(seed).integers(0, 256, (count, *COARSE, 3), np.uint8)
    return np.stack([cv2.resize(one, (spec.width, spec.height)) for one in cells])


def _labelled(path: Path, spec: InputSpec, count: int, calibrated: Calibrated) -> Pictures:
    arrays = _read(path)
    frames, actions = arrays['frames'], arrays['actions']
    starts = arrays.get('starts', np.zeros(len(frames), bool))
    number = len(frames) if frames.ndim == 4 else 0
    if (not number or frames.dtype != np.uint8 or frames.shape[-1] != 3
            or actions.shape != (number, 2) or starts.shape != (number,)
            or actions.dtype.kind not in 'fiu' or not np.isfinite(actions).all()):
        found = ', '.join(f'{name} {array.dtype} {list(array.shape)}'
                          for name, array in arrays.items())
        raise SettingError(f'{path} has {found}',
                           'frames uint8 [N, h, w, 3], finite actions [N, 2] in m/s, and starts '
                           'bool [N] or none')
    kept = list(islice(calibrated.others(range(number), str(path), lambda at: frames[at]), count))
    prepare = Preprocess(spec)
    resized = np.stack([prepare(frames[at])[0].copy() for at in kept])
    # The state begins anew where something was left out, too.
    begins = [bool(starts[before + 1:at + 1].any()) or at - before > 1 or before < 0
              for before, at in zip([-1, *kept], kept)]
    return Pictures(resized, begins, actions[kept].astype(np.float32))


def _read(path: Path) -> dict:
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in ('frames', 'actions', 'starts')
                      if name in archive.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        reason = ' '.join(str(error).split())[:200]
        raise SettingError(f'{path} cannot be read: {reason}',
                           'an .npz of frames and actions') from None
    missing = [name for name in ('frames', 'actions') if name not in arrays]
    if missing:
        raise SettingError(f'{path} has no ' + ' and no '.join(missing),
                           'frames and actions in it')
    return arrays
