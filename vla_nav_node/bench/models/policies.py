"""The policies to measure: the shipped one, a bundle, or a preset that is written for it."""

from pathlib import Path
from typing import NamedTuple, Sequence

import numpy as np

from .candidate import SHIPPED_NAME
from .frame_sets import FrameSet, load_frame_set, NOISE, source_for
from ...bundle.bundle import Bundle, load_bundle, MANIFEST, SHIPPED
from ...bundle.verdicts import is_trained
from ...convert.frames.calibrated import Calibrated, calibration_facts, SEED
from ...convert.int8.fixed_scales import FILE as FIXED
from ...convert.structure.presets import PRESETS, write_preset
from ...errors import SettingError

CALIBRATED_ON = 1  # seed of the frames for fixed scales; those that rows run on have another


class Policy(NamedTuple):
    """A policy to measure, and the frames that its rows see."""

    bundle: Bundle
    source: str  # of the frames
    frame_set: FrameSet

    @property
    def trained(self) -> bool:
        """Return whether it has learned to drive."""
        return is_trained(self.bundle)


def make_gpu_policy(name: str, folder: Path, precisions: Sequence[str], frames: str, count: int,
                    fixed_scales: bool) -> Policy:
    """Return a policy with its frames and, if asked for, the int8 with fixed scales."""
    bundle = open_gpu_model(name, folder, precisions)
    source = source_for(frames, bundle)
    if fixed_scales:
        calibration = load_frame_set(source, bundle.input, count, CALIBRATED_ON)
        bundle = with_fixed_scales(name, bundle, folder, calibration.frames)
    calibrated = Calibrated((bundle, precision) for precision in precisions)
    return Policy(bundle, source, load_frame_set(source, bundle.input, count, 0, calibrated))


def open_gpu_model(name: str, folder: Path, precisions: Sequence[str]) -> Bundle:
    """Return the bundle that a user names, for a GPU; see open_model."""
    # The int8 for CPUs is searched for layer by layer, which takes long, and is not for GPUs.
    return open_model(name, folder, [each for each in precisions if each != 'int8'], NOISE)


def open_model(name: str, folder: Path, precisions: Sequence[str], frames: str) -> Bundle:
    """
    Return the bundle that a user names; write a preset to `folder` if it is not there.

    A preset gets the precisions it lacks; int8 is calibrated on `frames`. A user's own bundle is
    measured as it is.
    """
    if name == SHIPPED_NAME:
        return load_bundle(SHIPPED)
    if Path(name).is_dir():
        return load_bundle(name)
    if name not in PRESETS:
        raise SettingError(f'no model {name}', 'a bundle directory, '
                           + ' or '.join((SHIPPED_NAME, *PRESETS)))
    return _preset(name, folder / name, precisions, 'sim' if frames == NOISE else frames)


def _preset(name: str, directory: Path, precisions: Sequence[str], frames: str) -> Bundle:
    from ...convert.export.step_file import export_bundle
    there = (directory / MANIFEST).is_file()
    bundle = load_bundle(directory) if there else write_preset(name, directory)
    if 'fp16' in precisions and 'fp16' not in bundle.precisions:
        bundle = export_bundle(bundle, None, ['fp16'])
    if 'int8' in precisions and 'int8' not in bundle.precisions:
        _quantise(directory, frames)
    return load_bundle(directory)


def _quantise(directory: Path, source: str) -> None:
    """Add int8 as `vla_nav quantize` does; where no layer is worth it, there is no such row."""
    from ...convert.export.rewrite import folder_beside
    from ...convert.int8.int8_graph import FRAMES, INT8, keep, quantise
    from ...sim.expert.simulated_frames import load_frames
    bundle = load_bundle(directory)
    with folder_beside(directory.resolve()) as folder:
        frames = load_frames(source, bundle.input, FRAMES, SEED)
        _, facts = quantise(bundle, frames, folder / INT8)
        if (folder / INT8).exists():
            keep(bundle, directory, folder / INT8, {**facts, **calibration_facts(source, frames)})


def with_fixed_scales(name: str, bundle: Bundle, folder: Path, frames: np.ndarray) -> Bundle:
    """
    Return a bundle with TensorRT's int8, calibrated on `frames` as `quantize --fixed-scales` does.

    A user's own bundle is returned unchanged; the shipped one is copied to `folder`. Raise
    SettingError if the copy there was made of another version.
    """
    if FIXED in bundle.manifest['files'] or name not in (SHIPPED_NAME, *PRESETS):
        return bundle
    directory = folder / name
    if directory != bundle.directory and (directory / FIXED).is_file():
        return _same(bundle, load_bundle(directory))
    from ...convert.export.rewrite import folder_beside
    from ...convert.int8 import int8_graph
    with folder_beside(directory.resolve()) as beside:
        facts = int8_graph.with_fixed_scales(bundle, frames, beside / FIXED)
        int8_graph.keep(bundle, directory, beside / FIXED,
                        {**facts, **calibration_facts('gpu-bench', frames)})
    return load_bundle(directory)


def _same(bundle: Bundle, copy: Bundle) -> Bundle:
    changed = [file for file, facts in bundle.manifest['files'].items()
               if copy.manifest['files'].get(file) != facts]
    if changed:
        raise SettingError(f'{copy.directory} was made of another {bundle.name} '
                           f'({", ".join(changed)})', fix='delete it: it is written again')
    return copy
