"""The inputs of an ONNX file that is no bundle: sizes and contents as the user names them."""

from pathlib import Path
from typing import Any, Dict, List, Mapping, NamedTuple, Sequence, Tuple

import numpy as np

from ...models.frame_sets import load_frame_set
from ...models.runners.state_pairs import pairs_by_name
from ....errors import BackendError, first_line, SettingError
from ....vision.preprocess import InputSpec

DTYPES = {'tensor(float)': 'float32', 'tensor(float16)': 'float16', 'tensor(double)': 'float64',
          'tensor(bool)': 'bool', **{f'tensor({kind})': kind for kind in (
              'uint8', 'int8', 'uint16', 'int16', 'uint32', 'int32', 'uint64', 'int64')}}
CONTENTS = ('zeros', 'ones', 'random')
SEED, VARIANTS = 0, 8  # different random inputs, taken in turns
FRAMES = 50


class Named(NamedTuple):
    """What the user says of a file."""

    dims: Mapping[str, int]  # of free dimensions
    contents: Mapping[str, str]  # of inputs
    states: Mapping[str, str]  # input -> output that goes back into it
    frames: str = ''  # a source, for the input that is a picture


Shapes = Dict[str, Tuple[Any, ...]]  # a size that the file leaves open is its name


def write_inputs(path: Path, named: Named, target: Path) -> Tuple[Tuple[str, str], ...]:
    """
    Write the contents of a file's inputs to `target`, .npz -> (input, output) of its states.

    Raise SettingError with all that the user has to name.
    """
    inputs, types, outputs = _read(path)
    _check_names(named, inputs, outputs)
    states = _states(named, inputs, outputs)
    picture = _picture(named, inputs) if named.frames else ''
    _check_complete(path, named, inputs, types, {picture, *states})
    shapes = {name: tuple(_size(size, named) for size in shape)
              for name, shape in inputs.items()}
    arrays = {name: np.zeros(shapes[name], types[name]) if name in states else
              _frames(named, shapes[name], types[name]) if name == picture else
              _contents(name, named.contents[name], shapes[name], types[name])
              for name in shapes}
    np.savez(target, **arrays)  # type: ignore[arg-type]
    return tuple(states.items())


def _read(path: Path) -> Tuple[Shapes, Dict[str, str], Shapes]:
    """Return the shapes and types of the inputs, and the shapes of the outputs."""
    import onnxruntime as ort
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        session = ort.InferenceSession(str(path), options, providers=['CPUExecutionProvider'])
    except Exception as error:  # the runtime's own classes share no base
        raise BackendError(f'ONNX Runtime cannot open {path.name}: {first_line(error)}',
                           'a graph that this version reads') from error
    types = {one.name: DTYPES.get(one.type, one.type) for one in session.get_inputs()}
    unknown = [f'{name} {kind}' for name, kind in types.items() if kind not in DTYPES.values()]
    if unknown:
        raise SettingError(f'{path.name} takes {", ".join(unknown)}', 'inputs of numbers')
    shapes = [{one.name: tuple(_named_size(one.name, axis, size)
                               for axis, size in enumerate(one.shape)) for one in nodes}
              for nodes in (session.get_inputs(), session.get_outputs())]
    return shapes[0], types, shapes[1]


def _named_size(name: str, axis: int, size: Any) -> Any:
    """Return a size, or the name of a free one: the file's, or input:axis."""
    return f'{name}:{axis}' if size in (None, '', '?') else size


def _size(size: Any, named: Named) -> int:
    return size if isinstance(size, int) else named.dims[size]


def _check_names(named: Named, inputs: Shapes, outputs: Shapes) -> None:
    """Raise SettingError for a name that the file does not have."""
    free = {size for shape in inputs.values() for size in shape if isinstance(size, str)}
    for option, given, known in (('--dim', named.dims, free), ('--input', named.contents, inputs),
                                 ('--state', named.states, inputs),
                                 ('--state', named.states.values(), outputs)):
        for name in given:
            if name not in known:
                raise SettingError(f'{option} {name}', 'one of: ' + (', '.join(sorted(known))
                                                                     or 'none'))


def _states(named: Named, inputs: Shapes, outputs: Shapes) -> Dict[str, str]:
    """Return the output that is the new value of each state; named ones, or by their names."""
    left = {name: shape for name, shape in inputs.items()
            if name not in named.contents and name not in named.states}
    free = {name: shape for name, shape in outputs.items() if name not in named.states.values()}
    found = {before: after for before, after in pairs_by_name(left, free).items()
             if len(left[before]) == len(free[after]) > 1}
    return {**named.states, **found}


def _picture(named: Named, inputs: Shapes) -> str:
    """Return the input that is a picture, or raise SettingError."""
    found = [name for name, shape in inputs.items()
             if len(shape) == 4 and 3 in (shape[1], shape[3]) and name not in named.contents]
    if len(found) != 1:
        raise SettingError(f'--frames, and {len(found)} inputs are pictures',
                           'one of [1, 3, H, W] or [1, H, W, 3]', 'give --input NAME=...')
    return found[0]


def _check_complete(path: Path, named: Named, inputs: Shapes, types: Mapping[str, str],
                    known: Sequence[str] | set[str]) -> None:
    open_sizes = dict.fromkeys(size for shape in inputs.values() for size in shape
                               if isinstance(size, str) and size not in named.dims)
    open_inputs = [name for name in inputs if name not in known and name not in named.contents]
    if not open_sizes and not open_inputs:
        return
    shown = ', '.join(f'{name} {types[name]} {_listed(shape)}' for name, shape in inputs.items())
    flags = [f'--dim {size}=N' for size in open_sizes] + [
        f'--input {name}=random' for name in open_inputs]
    raise SettingError(f'{path.name} has the inputs {shown}',
                       'the size of every free dimension, and what every input contains ('
                       + ', '.join(CONTENTS) + ', a number, or FILE.npy)',
                       'give ' + ' '.join(flags))


def _listed(shape: Tuple[Any, ...]) -> str:
    return '[' + ', '.join(map(str, shape)) + ']'


def _contents(name: str, text: str, shape: Tuple[int, ...], dtype: str) -> np.ndarray:
    """Return [variants, *shape]."""
    if text == 'random':
        values = np.random.default_rng(SEED).random((VARIANTS, *shape))
        return (values * (1 if dtype.startswith('float') else 2)).astype(dtype)
    if text in CONTENTS:
        return np.full((1, *shape), CONTENTS.index(text), dtype)
    if text.endswith('.npy'):
        return _from_file(name, Path(text), shape, dtype)
    try:
        return np.full((1, *shape), float(text), dtype)
    except ValueError:
        raise SettingError(f'--input {name}={text}', ', '.join(CONTENTS)
                           + ', a number, or FILE.npy') from None


def _from_file(name: str, path: Path, shape: Tuple[int, ...], dtype: str) -> np.ndarray:
    try:
        values: np.ndarray = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise SettingError(f'--input {name}={path}: {first_line(error)}', 'an .npy file') \
            from None
    if values.dtype != dtype or shape not in (values.shape, values.shape[1:]):
        raise SettingError(f'{path} has {values.dtype} {list(values.shape)}',
                           f'{dtype} {list(shape)}, or many of them')
    return values.reshape(-1, *shape)


def _frames(named: Named, shape: Tuple[int, ...], dtype: str) -> np.ndarray:
    """Return pictures as the input takes them: bytes, or floats from 0 to 1."""
    last = shape[3] == 3
    height, width = shape[1:3] if last else shape[2:]
    pictures = load_frame_set(named.frames, InputSpec(height, width), FRAMES).frames[:, None]
    ordered: List[Any] = [pictures if last else pictures.transpose(0, 1, 4, 2, 3)]
    values = ordered[0] if dtype == 'uint8' else (ordered[0] / 255.0).astype(dtype)
    return np.ascontiguousarray(np.repeat(values, shape[0], axis=1))
