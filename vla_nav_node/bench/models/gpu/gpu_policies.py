"""The policies to measure and what they see, made on the machine itself."""

from importlib.util import find_spec
import os
from pathlib import Path
from typing import NamedTuple, Sequence

import cv2
import numpy as np

from ..benchmark.presets_on_disk import open_model
from ..runners.contestant import SHIPPED_NAME
from ..side_by_side.bench_pictures import NOISE
from ....bundle.bundle import Bundle
from ....bundle.verdicts import is_trained
from ....convert.frames.calibrated import Calibrated, calibration_facts, NONE
from ....convert.frames.calibrated import SIMULATOR
from ....convert.int8.fixed_scales import FILE as FIXED
from ....convert.structure.presets import PRESETS
from ....convert.verify.verdict import trained_in_simulator
from ....errors import SettingError, SimulationError
from ....sim.expert.simulated_frames import load_frames
from ....vision.preprocess import InputSpec

AUTO, MADE = 'auto', 'made'
CELLS, CELL = 10, 24  # a wall of coloured cells; so many over the height, so many pixels wide
CALIBRATED_ON = 1  # seed; what a row is compared on has another
STRIDE = 3  # pixels that the camera turns by from frame to frame


class Policy(NamedTuple):
    """What is measured, and what it sees."""

    bundle: Bundle
    source: str  # of the frames
    frames: np.ndarray  # uint8 [N, H, W, 3]

    @property
    def trained(self) -> bool:
        """Tell whether it has learned to drive."""
        return is_trained(self.bundle)

    @property
    def foreign(self) -> bool:
        """Tell whether the frames are unlike those that it was trained on."""
        return self.trained and self.source == MADE


def make_policy(name: str, folder: Path, precisions: Sequence[str], frames: str, count: int,
                fixed_scales: bool) -> Policy:
    """Return the policy of a name with all that is to be measured of it; see open_policy."""
    bundle = open_policy(name, folder, precisions)
    source = source_for(frames, bundle)
    if fixed_scales:
        bundle = with_fixed_scales(name, bundle, folder,
                                   frames_of(source, bundle.input, count, CALIBRATED_ON))
    calibrated = Calibrated((bundle, precision) for precision in precisions)
    return Policy(bundle, source, frames_of(source, bundle.input, count, calibrated=calibrated))


def source_for(asked: str, bundle: Bundle) -> str:
    """Return the simulator for 'auto' where a policy was trained in it and it can be had here."""
    if asked != AUTO:
        return asked
    if not trained_in_simulator(bundle) or not all(map(find_spec, ('mujoco', 'scipy'))):
        return MADE
    from ....sim.world import rendering
    try:
        os.environ['MUJOCO_GL'] = rendering.choose()
    except SimulationError:
        return MADE
    return SIMULATOR


def frames_of(source: str, spec: InputSpec, count: int, seed: int = 0,
              calibrated: Calibrated = NONE) -> np.ndarray:
    """
    Give frames uint8 [N, H, W, 3] of a source that convert.frames knows, or 'made'.

    'made' is what a camera sees that turns before a painted wall: neither the simulator nor a
    renderer is needed for it, and a wrong network answers it wrongly.
    """
    if source != MADE:
        return load_frames(source, spec, count, seed, calibrated)
    wide = spec.width + STRIDE * (count - 1)
    cells = np.random.default_rng(seed).integers(
        0, 256, (CELLS, wide // CELL + 2, 3), np.uint8)
    wall = cv2.resize(cells, (wide, spec.height), interpolation=cv2.INTER_LINEAR)
    return np.stack([wall[:, left:left + spec.width]
                     for left in range(0, STRIDE * count, STRIDE)])


def open_policy(name: str, folder: Path, precisions: Sequence[str]) -> Bundle:
    """Return the bundle of a name: the one that ships, a preset (written to `folder`), or a path."""
    # The int8 of the CPUs is searched for layer by layer, which takes long, and is not for GPUs.
    made = [precision for precision in precisions if precision != 'int8']
    return open_model(name, folder, made, NOISE)


def with_fixed_scales(name: str, bundle: Bundle, folder: Path, frames: np.ndarray) -> Bundle:
    """Add the int8 of TensorRT, calibrated on `frames`; a user's own bundle stays as it is."""
    if FIXED in bundle.manifest['files'] or name not in (SHIPPED_NAME, *PRESETS):
        return bundle
    directory = folder / name
    if directory != bundle.directory and (directory / FIXED).is_file():
        return _same(bundle, open_policy(str(directory), folder, []))
    _quantise(bundle, directory, frames)
    return open_policy(str(directory), folder, [])


def _same(bundle: Bundle, made: Bundle) -> Bundle:
    """Refuse what was made of another version of the bundle that ships."""
    changed = [file for file, facts in bundle.manifest['files'].items()
               if made.manifest['files'].get(file) != facts]
    if changed:
        raise SettingError(f'{made.directory} was made of another {bundle.name} '
                           f'({", ".join(changed)})', fix='delete it: it is made anew')
    return made


def _quantise(bundle: Bundle, directory: Path, frames: np.ndarray) -> None:
    """Do what `vla_nav quantize --fixed-scales` does."""
    from ....convert.export.rewrite import folder_beside
    from ....convert.int8 import int8_graph
    with folder_beside(directory.resolve()) as folder:
        facts = int8_graph.with_fixed_scales(bundle, frames, folder / FIXED)
        int8_graph.keep(bundle, directory, folder / FIXED,
                        {**facts, **calibration_facts('gpu-bench', frames)})
