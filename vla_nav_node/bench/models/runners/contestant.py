"""What can be set beside something else, as the user names it."""

from dataclasses import dataclass, replace
from os.path import isfile
from pathlib import Path, PurePath
import re
from typing import List, Optional, Sequence, Tuple

from ....backends import check_request
from ....backends.options import BackendOptions, DEFAULTS
from ....bundle.bundle import Bundle, graph_name, load_bundle, SHIPPED, WEIGHTS
from ....bundle.onnx_external import external_files, NotOnnx
from ....convert.int8.fixed_scales import FILE as FIXED
from ....errors import SettingError

HELP = ('a bundle as DIRECTORY[:PRECISION[@BACKEND]] (shipped: the one that comes with the '
        'package), an .onnx file (step graph or one-shot export), or a TorchScript file')
SHIPPED_NAME = 'shipped'
SUFFIX = re.compile(r'(?P<path>.+):(?P<precision>[a-z0-9]+)(@(?P<backend>[a-z]+))?')
FILES = {'.onnx': 'onnx', '.pt': 'torchscript', '.pth': 'torchscript', '.ts': 'torchscript',
         '.torchscript': 'torchscript'}
Size = Tuple[int, int]  # height, width


@dataclass(frozen=True)
class Recipe:
    """What a model file does not say of its input; None or empty where nobody has said it."""

    size: Optional[Size] = None
    fit: str = 'stretch'
    resize: str = 'linear'
    mean: Tuple[float, ...] = ()  # of each channel, R G B, 0..255
    std: Tuple[float, ...] = ()
    states: Tuple[Tuple[int, ...], ...] = ()  # shape of each part of the recurrent state
    rotation: int = 0  # degrees clockwise, before all that


@dataclass(frozen=True)
class Contestant:
    """One model on one runtime; nothing is opened yet."""

    name: str
    kind: str  # bundle, onnx, torchscript
    path: Path
    precision: str = ''  # of a bundle
    backend: str = ''  # of a bundle
    device: str = 'auto'
    threads: int = 0  # 0: as the backend or the runtime has it
    recipe: Recipe = Recipe()
    options: BackendOptions = DEFAULTS  # of a bundle's backend

    @property
    def model_file(self) -> Path:
        """Return the file that holds the weights which run."""
        if self.kind != 'bundle':
            return self.path
        fixed = self.path / FIXED
        if self.backend == 'tensorrt' and self.precision == 'int8' and fixed.is_file():
            return fixed  # see verification.reads
        return self.path / (WEIGHTS if self.backend == 'torch'
                            else graph_name(self.precision))

    @property
    def bytes(self) -> int:  # noqa: A003, RUF100
        """Return the size of that file, and of those that it reads weights from."""
        return sum(path.stat().st_size for path in (self.model_file, *weights_of(self.model_file)))


def parse(text: str, device: str = 'auto') -> Contestant:
    """Turn what the user typed into a contestant, or raise SettingError; opens no model."""
    path = _path(text)
    if path.is_file():
        if path.suffix not in FILES:
            raise SettingError(f'{text} is a file', 'a file that ends in ' + ', '.join(FILES),
                               'give a bundle, or import the checkpoint into one')
        weights_of(path)  # refuses what is not there, or lies elsewhere
        return Contestant(text, FILES[path.suffix], path, device=device)
    precision, backend = 'fp32', 'onnx'
    found = SUFFIX.fullmatch(text)
    if found and not path.is_dir():
        path, precision = _path(found['path']), found['precision']
        backend = found['backend'] or backend
    check_request(backend, precision, device)
    if not path.is_dir():
        raise SettingError(f'{text} is not there', HELP)
    contestant = Contestant(text, 'bundle', path, precision, backend, device)
    load_bundle(path).file(contestant.model_file.name)  # refuses what the bundle does not have
    return contestant


def weights_of(path: Path) -> List[Path]:
    """Return the files beside an ONNX file that it reads weights from, or raise SettingError."""
    if path.suffix != '.onnx':
        return []
    try:
        names = external_files(path)
    except (NotOnnx, OSError):
        return []  # no runtime opens it either, and whoever tries says why
    found = [path.parent / name for name in names]
    for name, file in zip(names, found):
        if PurePath(name).is_absolute() or '..' in PurePath(name).parts or not isfile(file):
            raise SettingError(f'{path} reads weights from {name[:100]!r}',
                               'a file beside it, which is there', 'copy all of the model')
    return list(dict.fromkeys(map(Path.resolve, found)))


def _path(text: str) -> Path:
    """Return the path that a text names; one that no file system could have is the user's slip."""
    try:
        path = SHIPPED if text == SHIPPED_NAME else Path(text).expanduser()
        path.is_file()
    except (OSError, RuntimeError, ValueError) as error:  # too long, no such user, a null byte
        raise SettingError(f'no path: {text[:100]!r} ({error})', HELP) from None
    return path


def recipe_of(bundle: Bundle) -> Recipe:
    """Return how a bundle's pictures are made."""
    spec = bundle.input
    return Recipe((spec.height, spec.width), spec.fit, spec.resize, bundle.mean, bundle.std,
                  tuple(bundle.state_shapes.values()), spec.rotation)


def complete(contestants: Sequence[Contestant], given: Recipe) -> List[Contestant]:
    """
    Tell the files among contestants what they do not say: as given, else as the first bundle.

    A one-shot export takes normalised floats; beside the bundle it was made of, that bundle knows
    how they are made.
    """
    bundles = [one for one in contestants if one.kind == 'bundle']
    known = recipe_of(load_bundle(bundles[0].path)) if bundles else Recipe()
    recipe = replace(known, size=given.size or known.size, mean=given.mean or known.mean,
                     std=given.std or known.std)
    return [one if one.kind == 'bundle' else replace(one, recipe=recipe) for one in contestants]
