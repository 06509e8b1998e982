"""An ONNX file as it is: a step graph, or a one-shot export without a state."""

from typing import Any, Dict, List, Tuple

import numpy as np

from .runners import ImageInput
from .state_pairs import action_of, pair_states
from ..candidate import Candidate, Recipe
from ....backends.onnx.onnx_session import CPU, CUDA
from ....errors import BackendError, first_line

DTYPES = {'tensor(uint8)': 'uint8', 'tensor(float)': 'float32', 'tensor(float16)': 'float16'}


class OnnxFileRunner:
    """
    ONNX Runtime with its own defaults, as the author of the file would run it.

    The options of our onnx backend are for bundles.
    """

    lead_s = 0.0

    def __init__(self, candidate: Candidate) -> None:
        """Open the file and identify its inputs and outputs, or raise BackendError."""
        self._session, version = _open(candidate)
        described = _describe(self._session.get_inputs(), candidate.recipe)
        image, states = _split(described, candidate.name)
        self._image_name, self._state_names = image, list(states)
        self._image = ImageInput(*described[image], candidate.recipe, candidate.name)
        self._outputs = _outputs(self._session.get_outputs(), states, candidate.name)
        self._zeros = [np.zeros(shape, dtype) for shape, dtype in states.values()]
        self._state = self._zeros
        self.size, self.carries_state = self._image.size, bool(states)
        provider = self._session.get_providers()[0]
        self.info = {'library': 'onnxruntime', 'version': version, 'provider': provider,
                     'device': 'cuda' if provider == CUDA else 'cpu', 'precision': 'as the file'}

    def prepare(self, image: np.ndarray) -> np.ndarray:
        """Make the image input."""
        return self._image(image)

    def step(self, prepared: np.ndarray) -> np.ndarray:
        """Run the graph, with its state if it has one."""
        action, *self._state = self._session.run(
            self._outputs, {self._image_name: prepared,
                            **dict(zip(self._state_names, self._state))})
        return last_action(action)

    def rehearse(self, prepared: np.ndarray) -> None:
        """Do nothing: nobody does it for a plain file."""

    def reset(self) -> None:
        """Start from the zero state."""
        self._state = self._zeros
        self._image.reset()


def last_action(action: np.ndarray) -> np.ndarray:
    """Return [actions] of [1, actions], or of the last time step of [1, T, actions]."""
    return np.asarray(action, np.float32).reshape(-1, action.shape[-1])[-1]


def _open(candidate: Candidate) -> Tuple[Any, str]:
    import onnxruntime as ort
    options = ort.SessionOptions()
    options.log_severity_level = 3  # errors
    if candidate.threads:
        options.intra_op_num_threads = candidate.threads
    provider = _provider(ort, candidate.device)
    try:
        session = ort.InferenceSession(str(candidate.path), options, providers=[provider])
    except Exception as error:  # the runtime's own classes share no base
        raise BackendError(f'ONNX Runtime cannot open {candidate.name}: {first_line(error)}',
                           'a graph that this version reads') from error
    session.disable_fallback()
    if session.get_providers()[0] != provider:
        raise BackendError(f'{candidate.name} would run on {session.get_providers()[0]}',
                           provider, 'repair CUDA (see the log), or use --device cpu')
    return session, ort.__version__


def _provider(ort: Any, device: str) -> str:
    if device != 'cuda':  # the file has no verdict for a GPU
        return CPU
    if CUDA not in ort.get_available_providers():
        raise BackendError('this onnxruntime is built without CUDA', CUDA,
                           'install onnxruntime-gpu, or use --device cpu')
    if hasattr(ort, 'preload_dlls'):
        ort.preload_dlls()
    return CUDA


Described = Dict[str, Tuple[Tuple[int, ...], str]]  # name -> shape, NumPy dtype


def _describe(nodes: List[Any], recipe: Recipe) -> Described:
    return {node.name: (_shape(node, recipe), DTYPES.get(node.type, node.type))
            for node in nodes}


def _shape(node: Any, recipe: Recipe) -> Tuple[int, ...]:
    """Return the full shape: open batch and time sizes are 1, the image is as the recipe."""
    sizes = list(node.shape)
    as_bytes = node.type == 'tensor(uint8)'
    if len(sizes) >= 4 and recipe.size:
        for axis, size in zip((1, 2) if as_bytes else (-2, -1), recipe.size):
            sizes[axis] = sizes[axis] if isinstance(sizes[axis], int) else size
    if len(sizes) >= 4 and not all(isinstance(size, int) for size in sizes[-3:]):
        raise BackendError(f'input {node.name} of {list(node.shape)} leaves its size open',
                           'a height and a width', 'give --size WxH')
    return tuple(size if isinstance(size, int) and size > 0 else 1 for size in sizes)


def _split(inputs: Described, name: str) -> Tuple[str, Described]:
    """Return the image input's name and the state inputs; raise BackendError for any other."""
    images = [key for key, (shape, _) in inputs.items() if len(shape) >= 4]
    states = {key: value for key, value in inputs.items() if len(value[0]) == 3}
    others = set(inputs) - {*images, *states}
    types = {dtype for _, dtype in inputs.values()} - set(DTYPES.values())
    if len(images) != 1 or others or types:
        found = ', '.join(f'{key} {dtype} {list(shape)}'
                          for key, (shape, dtype) in inputs.items())
        raise BackendError(f'{name} has the inputs {found}',
                           'one picture, and recurrent states [layers, 1, hidden] or none',
                           'export it with these inputs only')
    return images[0], states


def _outputs(nodes: List[Any], states: Described, name: str) -> List[str]:
    """Return the names of the action and of the new states, in the order of `states`."""
    shapes = {node.name: tuple(node.shape) for node in nodes}
    pairs = pair_states({key: shape for key, (shape, _) in states.items()}, shapes, name)
    others = {key: shape for key, shape in shapes.items() if key not in pairs.values()}
    return [action_of(others, name), *pairs.values()]
