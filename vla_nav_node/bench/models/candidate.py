"""One model on one runtime, as the user names it; nothing is opened yet."""

from dataclasses import dataclass, replace
from os.path import isfile
from pathlib import Path, PurePath
import re
from typing import List, Optional, Sequence, Tuple

from ...backends import check_request
from ...backends.options import BackendOptions, DEFAULTS
from ...bundle.bundle import Bundle, graph_name, load_bundle, SHIPPED, WEIGHTS
from ...bundle.onnx_external import external_files, NotOnnx
from ...convert.int8.fixed_scales import FILE as FIXED
from ...driving.parameters import REHEARSAL_MS
from ...errors import SettingError

HELP = ('a bundle as DIRECTORY[:PRECISION[@BACKEND]] (shipped: the one that comes with the '
        'package), an .onnx file (step graph or one-shot export), or a TorchScript file')
SHIPPED_NAME = 'shipped'
SUFFIX = re.compile(r'(?P<path>.+):(?P<precision>[a-z0-9]+)(@(?P<backend>[a-z]+))?')
FILES = {'.onnx': 'onnx', '.pt': 'torchscript', '.pth': 'torchscript', '.ts': 'torchscript',
         '.torchscript': 'torchscript'}
Size = Tuple[int, int]  # height, width


@dataclass(frozen=True)
class Recipe:
    """The input recipe that a model file does not contain; None or empty where unknown."""

    size: Optional[Size] = None
    fit: str = 'stretch'
    resize: str = 'linear'
    mean: Tuple[float, ...] = ()  # of each channel, R G B, 0..255
    std: Tuple[float, ...] = ()
    states: Tuple[Tuple[int, ...], ...] = ()  # shape of each part of the recurrent state
    rotation: int = 0  # degrees clockwise, before everything else


@dataclass(frozen=True)
class Candidate:
    """A row of the matrix before it is opened: a model, backend, precision, device, threads."""

    name: str
    kind: str  # bundle, onnx, torchscript
    path: Path
    precision: str = ''  # of a bundle
    backend: str = ''  # of a bundle
    device: str = 'auto'
    threads: int = 0  # 0: the default of the backend or the runtime
    recipe: Recipe = Recipe()
    options: BackendOptions = DEFAULTS  # of a bundle's backend
    rehearsal_ms: float = REHEARSAL_MS  # of a bundle, as the node's parameter

    @property
    def model_file(self) -> Path:
        """Return the file with the weights that run."""
        if self.kind != 'bundle':
            return self.path
        fixed = self.path / FIXED
        if self.backend == 'tensorrt' and self.precision == 'int8' and fixed.is_file():
            return fixed  # as bundle.verdicts.files_read, without reading the bundle again
        return self.path / (WEIGHTS if self.backend == 'torch' else graph_name(self.precision))

    @property
    def size_bytes(self) -> int:
        """Return the size of that file and of those that it reads weights from."""
        model_file = self.model_file
        return sum(path.stat().st_size for path in (model_file, *weights_of(model_file)))


def parse(text: str, device: str = 'auto') -> Candidate:
    """Return the candidate that a user names, or raise SettingError; open no model."""
    path = _path(text)
    if path.is_file():
        if path.suffix not in FILES:
            raise SettingError(f'{text} is a file', 'a file that ends in ' + ', '.join(FILES),
                               'give a bundle, or import the checkpoint into one')
        weights_of(path)  # raises if they are missing or elsewhere
        return Candidate(text, FILES[path.suffix], path, device=device)
    precision, backend = 'fp32', 'onnx'
    match = SUFFIX.fullmatch(text)
    if match and not path.is_dir():
        path, precision = _path(match['path']), match['precision']
        backend = match['backend'] or backend
    check_request(backend, precision, device)
    if not path.is_dir():
        raise SettingError(f'{text} is not there', HELP)
    candidate = Candidate(text, 'bundle', path, precision, backend, device)
    load_bundle(path).file(candidate.model_file.name)  # raises if the bundle lacks it
    return candidate


def weights_of(path: Path) -> List[Path]:
    """Return the files beside an ONNX file that it reads weights from, or raise SettingError."""
    if path.suffix != '.onnx':
        return []
    try:
        names = external_files(path)
    except (NotOnnx, OSError):
        return []  # no runtime opens it either, and the one that tries says why
    files = [path.parent / name for name in names]
    for name, file in zip(names, files):
        if PurePath(name).is_absolute() or '..' in PurePath(name).parts or not isfile(file):
            raise SettingError(f'{path} reads weights from {name[:100]!r}',
                               'an existing file beside it', 'copy all files of the model')
    return list(dict.fromkeys(map(Path.resolve, files)))


def _path(text: str) -> Path:
    """Return the path that a text names; raise SettingError if no file system could have it."""
    try:
        path = SHIPPED if text == SHIPPED_NAME else Path(text).expanduser()
        path.is_file()
    except (OSError, RuntimeError, ValueError) as error:  # too long, no such user, a null byte
        raise SettingError(f'no path: {text[:100]!r} ({error})', HELP) from None
    return path


def recipe_of(bundle: Bundle) -> Recipe:
    """Return the input recipe of a bundle."""
    spec = bundle.input
    return Recipe((spec.height, spec.width), spec.fit, spec.resize, bundle.mean, bundle.std,
                  tuple(bundle.state_shapes.values()), spec.rotation)


def complete(candidates: Sequence[Candidate], given: Recipe) -> List[Candidate]:
    """
    Add the input recipes: a bundle's own; for model files as given, else that of the first bundle.

    A one-shot export takes normalised floats; the bundle that it was exported from has the
    normalisation.
    """
    recipes = {each: recipe_of(load_bundle(each.path)) for each in candidates
               if each.kind == 'bundle'}
    known = next(iter(recipes.values()), Recipe())
    recipe = replace(known, size=given.size or known.size, mean=given.mean or known.mean,
                     std=given.std or known.std)
    return [replace(each, recipe=recipes.get(each, recipe)) for each in candidates]
