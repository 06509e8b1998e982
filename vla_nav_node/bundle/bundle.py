"""The policy bundle on disk: a directory that is accepted whole or refused whole."""

from contextlib import nullcontext
import copy
from dataclasses import dataclass, field
from pathlib import Path
import shutil
import tempfile
from typing import Any, Callable, Container, Dict, Mapping, Tuple, Union

import numpy as np

from .bundle_files import file_problems, sha256_of, Stamp, stamps_of
from .manifest import (
    dump_manifest, is_plain_name, MANIFEST, parse_manifest, read_manifest, RECURRENT_STATES,
    refuse)
from .replaceable_files import replaceable
from ..errors import BundleError
from ..system.atomic_files import flush, locked, put_in_place, remove, write_file
from ..types import State
from ..vision.preprocess import InputSpec

WEIGHTS = 'policy.safetensors'
SHIPPED = Path(__file__).resolve().parents[1] / 'models' / 'cup_seeker'
# The largest difference of two backends in one step, m/s, unless the bundle states another.
DEFAULT_TOLERANCE = {'fp32': 1e-4, 'fp16': 1e-2, 'int8': 5e-2}
Content = Tuple[Mapping[str, Any], Mapping[str, Path]]  # a manifest and its files' present paths


def graph_name(precision: str) -> str:
    """Return the file name of a precision's step graph."""
    return f'policy.{precision}.onnx'


@dataclass(frozen=True)
class Bundle:
    """A policy whose manifest is sound and whose files have the sizes and hashes it lists."""

    directory: Path
    manifest: Dict[str, Any]
    # The stamps of its files, taken before they were read.
    stamps: Mapping[str, Stamp] = field(default_factory=dict, compare=False, repr=False)

    @property
    def name(self) -> str:
        """Return the policy's name."""
        return str(self.manifest['name'])

    @property
    def architecture(self) -> Dict[str, Any]:
        """Return the layers, as network.PolicyNetwork takes them."""
        return dict(self.manifest['architecture'])

    @property
    def input(self) -> InputSpec:  # noqa: A003, RUF100
        """Return the recipe for the policy's input picture."""
        spec = self.manifest['input']
        return InputSpec(spec['height'], spec['width'], spec['fit'], spec['resize'],
                         spec.get('rotation', 0))

    @property
    def mean(self) -> Tuple[float, ...]:
        """Return the mean of each channel, R G B, 0..255."""
        return tuple(float(value) for value in self.manifest['input']['mean'])

    @property
    def std(self) -> Tuple[float, ...]:
        """Return the standard deviation of each channel, R G B, 0..255."""
        return tuple(float(value) for value in self.manifest['input']['std'])

    @property
    def limits(self) -> Dict[str, float]:
        """Return the largest speed of each axis in m/s."""
        return {axis: float(most) for axis, most in self.manifest['action']['limits'].items()}

    @property
    def state_shapes(self) -> Dict[str, Tuple[int, int, int]]:
        """Return the shape of each part of the recurrent state, [layers, 1, hidden], in order."""
        cell = self.manifest['architecture']['recurrent']
        shape = (cell['num_layers'], 1, cell['hidden_size'])
        return dict.fromkeys(RECURRENT_STATES[cell['type']], shape)

    @property
    def precisions(self) -> Tuple[str, ...]:
        """Return the precisions that have a graph (policy.<precision>.onnx)."""
        names = [name.split('.') for name in self.manifest['files']]
        return tuple(parts[1] for parts in names
                     if len(parts) == 3 and parts[0] == 'policy' and parts[2] == 'onnx')

    def zero_state(self) -> State:
        """Return the state before the first frame."""
        return tuple(np.zeros(shape, np.float32) for shape in self.state_shapes.values())

    def file(self, name: str) -> Path:
        """Return the path of a checked file of the bundle; raise BundleError if it has none."""
        if name not in self.manifest['files']:
            has = ', '.join(sorted(self.manifest['files'])) or 'no file'
            raise BundleError(f'bundle {self.directory} has no {name}', f'one of: {has}',
                              'choose another precision or backend, or export the file')
        return self.directory / name

    def tolerance(self, precision: str) -> float:
        """Return the largest allowed difference of two backends in one step, m/s."""
        verified = self.manifest.get('verification', {}).get('tolerance', {})
        return float(verified.get(precision, DEFAULT_TOLERANCE.get(precision, 0.0)))


def load_bundle(directory: Union[str, Path, None] = None) -> Bundle:
    """Load and check a bundle; by default the one that ships. Raise BundleError if refused."""
    root = Path(directory).expanduser() if directory else SHIPPED
    stamps = stamps_of(root, [MANIFEST])  # before anything is read: see BundleChanges
    manifest = parse_manifest(read_manifest(root), str(root / MANIFEST))
    stamps.update(stamps_of(root, manifest['files']))
    refuse(str(root), file_problems(root, manifest['files']))
    return Bundle(root, manifest, stamps)


def amend(bundle: Bundle, change: Callable[[Dict[str, Any]], None]) -> Bundle:
    """
    Apply `change` to the manifest on disk in one step, and return the bundle; its files stay.

    The manifest is read again under a lock, so entries that others have added are kept. Raise
    BundleError if the files on disk are no longer those of `bundle`.
    """
    path = bundle.directory / MANIFEST
    try:
        with locked(bundle.directory):
            current = load_bundle(bundle.directory)
            if current.manifest['files'] != bundle.manifest['files']:
                raise BundleError(f'the files of {bundle.directory} were replaced meanwhile',
                                  'the files that were measured', 'run the command again')
            manifest = copy.deepcopy(current.manifest)
            change(manifest)
            text = dump_manifest(manifest)
            parse_manifest(text, str(path))
            write_file(path, text.encode())
            return load_bundle(bundle.directory)
    except OSError as error:
        raise BundleError(f'{path} cannot be written: {error.strerror}',
                          'a directory of your own, with free space',
                          'copy the bundle first') from None


def write_bundle(directory: Union[str, Path], manifest: Mapping[str, Any],
                 source_files: Mapping[str, Path]) -> Bundle:
    """
    Write a bundle in one step, and return it: readers see the old one or the new one.

    `manifest` has no `files`: they are listed here from `source_files` (name -> present path). An
    existing bundle is replaced; a directory with any other file raises BundleError.
    """
    return replace_bundle(directory, lambda: (manifest, source_files))


def replace_bundle(directory: Union[str, Path], compose: Callable[[], Content]) -> Bundle:
    """
    Do as write_bundle with the result of `compose`, which is called under the directory's lock.

    So `compose` may read the bundle that is replaced and keep parts of it.
    """
    target = Path(directory).expanduser().resolve()
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with locked(target) if target.is_dir() else nullcontext():
            _replace(target, *compose())
    except OSError as error:
        raise BundleError(f'{target} cannot be written: {error.strerror}',
                          'a directory of your own, with free space',
                          'name another one') from None
    return load_bundle(target)


def _replace(target: Path, manifest: Mapping[str, Any], source_files: Mapping[str, Path]) -> None:
    bundle_files = {MANIFEST, *source_files, *replaceable(target)}
    staging = Path(tempfile.mkdtemp(prefix=f'.{target.name}.', dir=target.parent))
    try:
        _fill(staging, dict(manifest), source_files)
        load_bundle(staging)
        replaceable(target)  # again: filling took a while
        put_in_place(staging, target)
    finally:
        _remove(staging, bundle_files)


def _remove(staging: Path, bundle_files: Container[str]) -> None:
    """Delete the replaced or failed bundle, but no file that somebody added meanwhile."""
    try:
        remove(staging, bundle_files)
    except OSError as error:
        raise BundleError(f'{staging} is left over: {error.strerror}',
                          'nothing in it but files of a bundle',
                          'move your own files out, and delete the rest') from None


def _fill(staging: Path, manifest: Dict[str, Any], source_files: Mapping[str, Path]) -> None:
    manifest['files'] = {name: _copy(source, staging, name)
                         for name, source in source_files.items()}
    (staging / MANIFEST).write_text(dump_manifest(manifest), encoding='utf-8')
    staging.chmod(0o755)  # mkdtemp creates it for this user alone
    for path in (*staging.iterdir(), staging):
        flush(path)


def _copy(source: Path, staging: Path, name: str) -> Dict[str, Any]:
    if not is_plain_name(name):
        raise BundleError(f'file name {name!r}', 'a plain name without a directory')
    try:
        shutil.copyfile(source, staging / name)
    except OSError as error:
        raise BundleError(f'{source} cannot be copied: {error.strerror}', 'a readable file') \
            from None
    return {'sha256': sha256_of(staging / name), 'bytes': (staging / name).stat().st_size}
