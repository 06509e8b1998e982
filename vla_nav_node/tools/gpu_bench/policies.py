"""The policies to measure and what they see, made on the machine itself."""

import argparse
from pathlib import Path
from typing import Sequence

import cv2
import numpy as np

from ..benchmark.models import open_model
from ..side_by_side.contestant import SHIPPED_NAME
from ..side_by_side.pictures import NOISE
from ...bundle import Bundle
from ...convert.fixed_scales import FILE as FIXED
from ...convert.frames import load_frames
from ...convert.presets import PRESETS
from ...errors import SettingError
from ...preprocess import InputSpec

MADE = 'made'
CELLS, CELL = 10, 24  # a wall of coloured cells; so many over the height, so many pixels wide
STRIDE = 3  # pixels that the camera turns by from frame to frame


def frames_of(source: str, spec: InputSpec, count: int, seed: int = 0) -> np.ndarray:
    """
    Give frames uint8 [N, H, W, 3] of a source that convert.frames knows, or 'made'.

    'made' is what a camera sees that turns before a painted wall: neither the simulator nor a
    renderer is needed for it, and a wrong network answers it wrongly.
    """
    if source != MADE:
        return load_frames(source, spec, count, seed)
    wide = spec.width + STRIDE * (count - 1)
    cells = np.random.default_rng(seed).integers(
        0, 256, (CELLS, wide // CELL + 2, 3), np.uint8)
    wall = cv2.resize(cells, (wide, spec.height), interpolation=cv2.INTER_LINEAR)
    return np.stack([wall[:, left:left + spec.width]
                     for left in range(0, STRIDE * count, STRIDE)])


def open_policy(name: str, folder: Path, precisions: Sequence[str]) -> Bundle:
    """Give the bundle of a name: the one that ships, a preset (written to `folder`), or a path."""
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
    _quantise(bundle, directory, folder / 'frames.npy', frames)
    return open_policy(str(directory), folder, [])


def _same(bundle: Bundle, made: Bundle) -> Bundle:
    """Refuse what was made of another version of the bundle that ships."""
    changed = [file for file, facts in bundle.manifest['files'].items()
               if made.manifest['files'].get(file) != facts]
    if changed:
        raise SettingError(f'{made.directory} was made of another {bundle.name} '
                           f'({", ".join(changed)})', fix='delete it: it is made anew')
    return made


def _quantise(bundle: Bundle, directory: Path, file: Path, frames: np.ndarray) -> None:
    """Do what `vla_nav quantize --fixed-scales` does."""
    from ...convert import quantize
    parser = argparse.ArgumentParser()
    quantize.add_arguments(parser)
    file.parent.mkdir(parents=True, exist_ok=True)
    np.save(file, frames)
    try:
        quantize.run(parser.parse_args([str(bundle.directory), '--out', str(directory), '--frames',
                                        str(file), '--fixed-scales']))
    finally:
        file.unlink()
