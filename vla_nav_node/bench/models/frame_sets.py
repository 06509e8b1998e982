"""The frames that all rows of a policy see: the same ones, in the same order."""

from dataclasses import dataclass
from importlib.util import find_spec
from itertools import islice
import os
from pathlib import Path
from typing import Dict, List, Optional
import zipfile

import cv2
import numpy as np

from ...bundle.bundle import Bundle
from ...convert.frames.calibrated import Calibrated, NONE, SIMULATOR
from ...convert.verify.verdict import trained_in_simulator
from ...errors import SettingError, SimulationError
from ...vision.preprocess import InputSpec, Preprocess

HELP = ('sim (the simulator, expert driving), a folder of pictures, a rosbag2, an .npy of frames, '
        'an .npz of frames and actions, or noise')
AUTO, MADE, NOISE = 'auto', 'made', 'noise'
COARSE = (9, 12)  # cells of a noise picture, enlarged: something like shapes, of any size
CELLS, CELL = 10, 24  # a wall of coloured cells; so many over the height, so many pixels wide
STRIDE = 3  # pixels that the camera turns from frame to frame


@dataclass(frozen=True)
class FrameSet:
    """Frames uint8 [N, H, W, 3] in order; the state begins at zero at each of `starts`."""

    frames: np.ndarray
    starts: List[bool]
    actions: Optional[np.ndarray] = None  # labels, float32 [N, actions], m/s


def load_frame_set(source: str, spec: InputSpec, count: int, seed: int = 0,
                   calibrated: Calibrated = NONE) -> FrameSet:
    """
    Return at most `count` frames of a source, resized as `spec`, without the `calibrated` ones.

    An .npz has `frames` (uint8 [N, h, w, 3]), `actions` (float [N, 2], m/s) and optionally
    `starts` (bool [N], true where an episode begins). Raise SettingError if there are none.
    """
    if source.endswith('.npz'):
        return _labelled(Path(source), spec, count, calibrated)
    if source == NOISE:
        frames = _noise(spec, count, seed)
    elif source == MADE:
        frames = _wall(spec, count, seed)
    else:
        from ...sim.expert.simulated_frames import load_frames
        frames = load_frames(source, spec, count, seed, calibrated)
    return FrameSet(frames, [number == 0 for number in range(len(frames))])


def source_for(source: str, bundle: Bundle) -> str:
    """Return what 'auto' stands for: the simulator if the policy was trained in it and it runs."""
    if source != AUTO:
        return source
    if not trained_in_simulator(bundle) or not all(map(find_spec, ('mujoco', 'scipy'))):
        return MADE
    from ...sim.world import rendering
    try:
        os.environ['MUJOCO_GL'] = rendering.choose()
    except SimulationError:
        return MADE
    return SIMULATOR


def _noise(spec: InputSpec, count: int, seed: int) -> np.ndarray:
    """Return pictures for measuring times only: actions on noise prove nothing."""
    cells = np.random.default_rng(seed).integers(0, 256, (count, *COARSE, 3), np.uint8)
    return np.stack([cv2.resize(picture, (spec.width, spec.height)) for picture in cells])


def _wall(spec: InputSpec, count: int, seed: int) -> np.ndarray:
    """
    Return what a camera sees that turns before a painted wall.

    It needs neither the simulator nor a renderer, and a wrong network answers it wrongly.
    """
    wide = spec.width + STRIDE * (count - 1)
    cells = np.random.default_rng(seed).integers(0, 256, (CELLS, wide // CELL + 2, 3), np.uint8)
    wall = cv2.resize(cells, (wide, spec.height), interpolation=cv2.INTER_LINEAR)
    return np.stack([wall[:, left:left + spec.width]
                     for left in range(0, STRIDE * count, STRIDE)])


def _labelled(path: Path, spec: InputSpec, count: int, calibrated: Calibrated) -> FrameSet:
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
    # The state also begins at zero where frames were left out.
    begins = [bool(starts[before + 1:at + 1].any()) or at - before > 1 or before < 0
              for before, at in zip([-1, *kept], kept)]
    return FrameSet(resized, begins, actions[kept].astype(np.float32))


def _read(path: Path) -> Dict[str, np.ndarray]:
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
