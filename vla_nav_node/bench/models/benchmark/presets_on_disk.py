"""The policies to measure: the one that ships, a bundle, or a preset that is made for it."""

from pathlib import Path
from typing import Sequence

from ..runners.contestant import SHIPPED_NAME
from ..side_by_side.bench_pictures import NOISE
from ....bundle.bundle import Bundle, load_bundle, MANIFEST, SHIPPED
from ....convert.structure.presets import PRESETS, write_preset
from ....errors import SettingError


def open_model(name: str, folder: Path, precisions: Sequence[str], frames: str) -> Bundle:
    """
    Give the bundle that a user names; a preset is written to `folder` unless it is there.

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
    from ....convert.export.step_file import export_bundle
    there = (directory / MANIFEST).is_file()
    bundle = load_bundle(directory) if there else write_preset(name, directory)
    if 'fp16' in precisions and 'fp16' not in bundle.precisions:
        bundle = export_bundle(bundle, None, ['fp16'])
    if 'int8' in precisions and 'int8' not in bundle.precisions:
        _quantise(directory, frames)
    return load_bundle(directory)


def _quantise(directory: Path, source: str) -> None:
    """Do what `vla_nav quantize` does; where it finds no layer worth it, there is no such row."""
    from ....convert.export.rewrite import folder_beside
    from ....convert.frames.calibrated import calibration_facts, SEED
    from ....convert.int8.int8_graph import FRAMES, INT8, keep, quantise
    from ....sim.expert.simulated_frames import load_frames
    bundle = load_bundle(directory)
    with folder_beside(directory.resolve()) as folder:
        frames = load_frames(source, bundle.input, FRAMES, SEED)
        _, facts = quantise(bundle, frames, folder / INT8)
        if (folder / INT8).exists():
            keep(bundle, directory, folder / INT8, {**facts, **calibration_facts(source, frames)})
