"""The policy bundle on disk: a directory that is accepted whole or refused whole."""

from dataclasses import dataclass
import hashlib
from pathlib import Path
import shutil
import tempfile
from typing import Any, Container, Dict, List, Mapping, Tuple, Union

import numpy as np
import yaml

from .atomic import flush, replace_directory
from .errors import BundleError
from .interfaces import State
from .manifest import is_plain_name, problems_of, RECURRENT_STATES
from .preprocess import InputSpec

MANIFEST = 'policy.yaml'
WEIGHTS = 'policy.safetensors'
MOST_BYTES = 1 << 18  # of a manifest, 50 times a usual one; PyYAML reads them in a second
SHIPPED = Path(__file__).resolve().parent / 'models' / 'cup_seeker'
# PyYAML lets more out than its own errors: `!!bool x` is a KeyError, `!!timestamp x` a TypeError.
NOT_YAML = (yaml.YAMLError, ArithmeticError, AttributeError, LookupError, RecursionError,
            TypeError, ValueError)
# How far two backends may differ in one step (m/s) where a bundle says nothing else.
DEFAULT_TOLERANCE = {'fp32': 1e-4, 'fp16': 1e-2, 'int8': 5e-2}


def graph_name(precision: str) -> str:
    """Name the step graph of a precision."""
    return f'policy.{precision}.onnx'


class ManifestLoader(yaml.SafeLoader):
    """Plain data only, and no merge keys: a few lines of them make gigabytes."""

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Refuse `<<`, which nobody needs in a manifest."""
        if any(key.tag == 'tag:yaml.org,2002:merge' for key, _ in node.value):
            raise yaml.YAMLError('it merges mappings (<<)')


@dataclass(frozen=True)
class Bundle:
    """A policy whose manifest is sound and whose files are the ones it was written with."""

    directory: Path
    manifest: Dict[str, Any]

    @property
    def name(self) -> str:
        """Give the policy's name."""
        return str(self.manifest['name'])

    @property
    def architecture(self) -> Dict[str, Any]:
        """Give the layers, as network.PolicyNetwork takes them."""
        return dict(self.manifest['architecture'])

    @property
    def input(self) -> InputSpec:  # noqa: A003, RUF100
        """Give the picture that the policy wants."""
        spec = self.manifest['input']
        return InputSpec(spec['height'], spec['width'], spec['fit'], spec['resize'])

    @property
    def mean(self) -> Tuple[float, ...]:
        """Give the mean of each channel, R G B, 0..255."""
        return tuple(float(value) for value in self.manifest['input']['mean'])

    @property
    def std(self) -> Tuple[float, ...]:
        """Give the standard deviation of each channel, R G B, 0..255."""
        return tuple(float(value) for value in self.manifest['input']['std'])

    @property
    def limits(self) -> Dict[str, float]:
        """Give the largest speed of each axis in m/s."""
        return {axis: float(most) for axis, most in self.manifest['action']['limits'].items()}

    @property
    def state_shapes(self) -> Dict[str, Tuple[int, int, int]]:
        """Give the recurrent state's parts in order, each [layers, 1, hidden]."""
        cell = self.manifest['architecture']['recurrent']
        shape = (cell['num_layers'], 1, cell['hidden_size'])
        return dict.fromkeys(RECURRENT_STATES[cell['type']], shape)

    @property
    def precisions(self) -> Tuple[str, ...]:
        """Give the precisions for which there is a graph (policy.<precision>.onnx)."""
        names = [name.split('.') for name in self.manifest['files']]
        return tuple(parts[1] for parts in names
                     if len(parts) == 3 and parts[0] == 'policy' and parts[2] == 'onnx')

    def zero_state(self) -> State:
        """Give the state before the first frame."""
        return tuple(np.zeros(shape, np.float32) for shape in self.state_shapes.values())

    def file(self, name: str) -> Path:
        """Give the path of a file of the bundle, whose content was checked at loading."""
        if name not in self.manifest['files']:
            has = ', '.join(sorted(self.manifest['files'])) or 'no file'
            raise BundleError(f'bundle {self.directory} has no {name}', f'one of: {has}',
                              'choose another precision or backend, or export the file')
        return self.directory / name

    def tolerance(self, precision: str) -> float:
        """Give how far two backends may differ in one step, in m/s."""
        verified = self.manifest.get('verification', {}).get('tolerance', {})
        return float(verified.get(precision, DEFAULT_TOLERANCE.get(precision, 0.0)))


def load_bundle(directory: Union[str, Path, None] = None) -> Bundle:
    """Load and check a bundle; without a directory, the one that ships with the package."""
    root = Path(directory).expanduser() if directory else SHIPPED
    manifest = parse_manifest(_read_manifest(root), str(root / MANIFEST))
    _refuse(str(root), _file_problems(root, manifest['files']))
    return Bundle(root, manifest)


def parse_manifest(text: Union[str, bytes], where: str = MANIFEST) -> Dict[str, Any]:
    """Turn a manifest's text into a checked mapping, or raise BundleError."""
    if len(text) > MOST_BYTES:
        raise BundleError(f'{where} is too large', f'at most {MOST_BYTES} bytes',
                          'export the bundle again')
    try:
        document = yaml.load(text, ManifestLoader)
    except NOT_YAML as error:
        reason = ' '.join(str(error).split())[:200]
        raise BundleError(f'{where} is not YAML: {reason}', 'a manifest of a policy bundle',
                          'export the bundle again') from None
    _refuse(where, problems_of(document))
    return dict(document)


def write_bundle(directory: Union[str, Path], manifest: Mapping[str, Any],
                 source_files: Mapping[str, Path]) -> Bundle:
    """
    Write a bundle all at once: readers see the old one or the new one, never a mixture.

    `manifest` comes without `files`; they are listed here from `source_files` (name -> where its
    content is now). An existing bundle is replaced; a directory with anything else in it is not.
    """
    target = Path(directory).expanduser().resolve()
    refuse_strangers(target, source_files)
    target.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=f'.{target.name}.', dir=target.parent))
    try:
        _fill(staging, dict(manifest), source_files)
        load_bundle(staging)
        replace_directory(staging, target)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return load_bundle(target)


def refuse_strangers(target: Path, source_files: Container[str]) -> None:
    """Raise BundleError where a bundle of these files would take the place of something else."""
    if target.exists() and not target.is_dir():
        raise BundleError(f'{target} is a file', 'a directory for the bundle', 'name another one')
    there = sorted(path.name for path in target.iterdir()) if target.is_dir() else []
    strangers = [name for name in there
                 if name not in source_files and not name.startswith('policy.')]
    if strangers:
        raise BundleError(f'{target} has other files, such as {strangers[0]}',
                          'a new directory, or a bundle to replace', 'name another one')


def _read_manifest(root: Path) -> bytes:
    if not root.is_dir():
        raise BundleError(f'no bundle at {root}', 'a directory with a policy.yaml',
                          'give the path of a bundle, or leave it empty for the one that ships')
    if not (root / MANIFEST).is_file():  # nor is a pipe or a device one
        raise BundleError(f'{root} has no {MANIFEST}', 'a policy bundle',
                          "make one with 'vla_nav export'")
    try:
        with open(root / MANIFEST, 'rb') as file:
            return file.read(MOST_BYTES + 1)
    except OSError as error:
        raise BundleError(f'{root / MANIFEST} cannot be read: {error.strerror}',
                          'a readable file', 'check its permissions') from None


def _refuse(where: str, problems: List[str]) -> None:
    if problems:
        raise BundleError(f'{where} is refused: ' + '; '.join(problems),
                          'a bundle as it was exported', 'copy or export the bundle again')


def _file_problems(root: Path, files: Mapping[str, Mapping[str, Any]]) -> List[str]:
    found = (_file_problem(root / name, wanted) for name, wanted in files.items())
    return [problem for problem in found if problem]


def _file_problem(path: Path, wanted: Mapping[str, Any]) -> str:
    if not path.is_file():
        return f'{path.name} is missing'
    try:
        size = path.stat().st_size
        if size != wanted['bytes']:
            return f'{path.name} has {size} bytes instead of {wanted["bytes"]}'
        if sha256_of(path) != wanted['sha256']:
            return f'{path.name} is altered (its SHA-256 differs)'
    except OSError as error:
        return f'{path.name} cannot be read ({error.strerror})'
    return ''


def sha256_of(path: Path) -> str:
    """Give the SHA-256 of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with open(path, 'rb') as file:
        for block in iter(lambda: file.read(1 << 20), b''):
            digest.update(block)
    return digest.hexdigest()


def _fill(staging: Path, manifest: Dict[str, Any], source_files: Mapping[str, Path]) -> None:
    manifest['files'] = {}
    for name, source in source_files.items():
        manifest['files'][name] = _copy(source, staging, name)
    (staging / MANIFEST).write_text(dump_manifest(manifest), encoding='utf-8')
    staging.chmod(0o755)  # mkdtemp makes it for us alone
    for path in (*staging.iterdir(), staging):
        flush(path)


def dump_manifest(manifest: Mapping[str, Any]) -> str:
    """Give a manifest as text."""
    try:
        return yaml.safe_dump(manifest, sort_keys=False, default_flow_style=None, width=99)
    except yaml.YAMLError as error:
        raise BundleError(f'the manifest cannot be written: {error}',
                          'texts, numbers, lists and mappings only') from None


def _copy(source: Path, staging: Path, name: str) -> Dict[str, Any]:
    if not is_plain_name(name):
        raise BundleError(f'file name {name!r}', 'a plain name without a directory')
    try:
        shutil.copyfile(source, staging / name)
    except OSError as error:
        raise BundleError(f'{source} cannot be copied: {error.strerror}', 'a readable file') \
            from None
    return {'sha256': sha256_of(staging / name), 'bytes': (staging / name).stat().st_size}
