"""An ONNX file as it is: a step graph, or a one-shot export without a state."""

from typing import Any, Dict, List, Tuple

import numpy as np

from .contestant import Contestant, Recipe
from .pairing import action_of, pair_states
from .runners import ImageInput
from ....backends.onnx.onnx_session import CPU, CUDA
from ....errors import BackendError, first_line

DTYPES = {'tensor(uint8)': 'uint8', 'tensor(float)': 'float32', 'tensor(float16)': 'float16'}


class OnnxFileRunner:
    """
    ONNX Runtime with its own defaults, as whoever made the file would run it.

    The bundle's backend has other options; they are for bundles, and the others' best is theirs.
    """

    def __init__(self, contestant: Contestant) -> None:
        """Open the file and find out which of its inputs is what."""
        self._session, version = _open(contestant)
        described = _describe(self._session.get_inputs(), contestant.recipe)
        image, states = _split(described, contestant.name)
        self._image_name, self._state_names = image, list(states)
        self._image = ImageInput(*described[image], contestant.recipe, contestant.name)
        self._outputs = _outputs(self._session.get_outputs(), states, contestant.name)
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
        """Run the graph; its state goes on where it has one."""
        action, *self._state = self._session.run(
            self._outputs, {self._image_name: prepared,
                            **dict(zip(self._state_names, self._state))})
        return last_action(action)

    def reset(self) -> None:
        """Start from the zero state."""
        self._state = self._zeros
        self._image.forget()


def last_action(action: np.ndarray) -> np.ndarray:
    """Return [actions] of [1, actions], or of the last time step of [1, T, actions]."""
    return np.asarray(action, np.float32).reshape(-1, action.shape[-1])[-1]


def _open(contestant: Contestant) -> Tuple[Any, str]:
    import onnxruntime as ort
    options = ort.SessionOptions()
    options.log_severity_level = 3  # errors
    if contestant.threads:
        options.intra_op_num_threads = contestant.threads
    provider = _provider(ort, contestant.device)
    try:
        session = ort.InferenceSession(str(contestant.path), options, providers=[provider])
    except Exception as error:  # the runtime's own classes share no base
        raise BackendError(f'ONNX Runtime cannot open {contestant.name}: {first_line(error)}',
                           'a graph that this version reads') from error
    session.disable_fallback()
    if session.get_providers()[0] != provider:
        raise BackendError(f'{contestant.name} would run on {session.get_providers()[0]}',
                           provider, 'mend CUDA (the log says what is missing), or --device cpu')
    return session, ort.__version__


def _provider(ort: Any, device: str) -> str:
    if device != 'cuda':  # nobody has verified the file on a GPU
        return CPU
    if CUDA not in ort.get_available_providers():
        raise BackendError('this onnxruntime is built without CUDA', CUDA,
                           'install onnxruntime-gpu, or --device cpu')
    if hasattr(ort, 'preload_dlls'):
        ort.preload_dlls()
    return CUDA


Described = Dict[str, Tuple[Tuple[int, ...], str]]  # name -> shape, NumPy dtype


def _describe(nodes: List[Any], recipe: Recipe) -> Described:
    return {node.name: (_shape(node, recipe), DTYPES.get(node.type, node.type))
            for node in nodes}


def _shape(node: Any, recipe: Recipe) -> Tuple[int, ...]:
    """Fill in what a file leaves open: batch and time are one, the picture is as the recipe."""
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
    """Return the image input's name, and the state inputs; refuse what nobody can fill."""
    images = [one for one, (shape, _) in inputs.items() if len(shape) >= 4]
    states = {one: found for one, found in inputs.items() if len(found[0]) == 3}
    others = [f'{one} {found[1]} {list(found[0])}' for one, found in inputs.items()
              if one not in images and one not in states]
    types = {dtype for _, dtype in inputs.values()} - set(DTYPES.values())
    if len(images) != 1 or others or types:
        found = ', '.join(f'{one} {dtype} {list(shape)}'
                          for one, (shape, dtype) in inputs.items())
        raise BackendError(f'{name} has the inputs {found}',
                           'one picture, and recurrent states [layers, 1, hidden] or none',
                           'export it with these inputs only')
    return images[0], states


def _outputs(nodes: List[Any], states: Described, name: str) -> List[str]:
    """Return the outputs to ask for: the action, and the new states in the order of `states`."""
    shapes = {node.name: tuple(node.shape) for node in nodes}
    pairs = pair_states({one: shape for one, (shape, _) in states.items()}, shapes, name)
    others = {one: shape for one, shape in shapes.items() if one not in pairs.values()}
    return [action_of(others, name), *pairs.values()]
