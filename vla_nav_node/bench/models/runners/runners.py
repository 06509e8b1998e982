"""A contestant that runs: whatever it is, one picture goes in and one action comes out."""

from collections import deque
from typing import Any, Deque, Dict, List, Protocol, Tuple

import numpy as np

from .contestant import Contestant, Recipe, Size
from ....backends import open_backend
from ....bundle.bundle import load_bundle
from ....errors import BackendError
from ....policy.recurrent_policy import Policy


class Runner(Protocol):
    """
    What the worker asks of a contestant.

    `info` says what really runs: library, version, provider, device, precision. `size` is the
    picture it takes; `carries_state` whether a step knows of those before it.
    """

    info: Dict[str, str]
    size: Size
    carries_state: bool

    def prepare(self, image: np.ndarray) -> Any:
        """Turn uint8 [1, H, W, 3] into what `step` takes; not part of its time."""

    def step(self, prepared: Any) -> np.ndarray:
        """Run one step -> float32 [actions]; the device is synchronised before it returns."""

    def reset(self) -> None:
        """Forget what was seen."""


class BundleRunner:
    """A policy bundle on one of our backends, as the node drives it."""

    carries_state = True

    def __init__(self, contestant: Contestant) -> None:
        """Open the backend, on the threads it takes by itself unless told otherwise."""
        bundle = load_bundle(contestant.path)
        self.backend = open_backend(contestant.backend, bundle, contestant.precision,
                                    contestant.device, options=contestant.options)
        if contestant.threads:
            _limit_torch(contestant)
        self._policy = Policy(self.backend, bundle.zero_state())
        self.size = (bundle.input.height, bundle.input.width)
        self.info = {key: str(value) for key, value in vars(self.backend.info).items()
                     if key != 'name'}

    def prepare(self, image: np.ndarray) -> np.ndarray:
        """Take the picture as it is: normalisation is inside the policy."""
        return image

    def step(self, prepared: np.ndarray) -> np.ndarray:
        """Run one step of the policy."""
        return self._policy.act(prepared)

    def reset(self) -> None:
        """Start from the zero state."""
        self._policy.reset()


def _limit_torch(contestant: Contestant) -> None:
    if contestant.backend != 'torch':
        raise BackendError(f'{contestant.name} on {contestant.threads} threads',
                           'threads for torch and model files only: a backend has its own')
    import torch
    torch.set_num_threads(contestant.threads)


def open_runner(contestant: Contestant) -> Runner:
    """Open what a contestant names, in this process; raise VlaNavError when it cannot be."""
    if contestant.kind == 'bundle':
        return BundleRunner(contestant)
    if contestant.kind == 'onnx':
        from .onnx_file import OnnxFileRunner
        return OnnxFileRunner(contestant)
    from .torchscript_file import TorchScriptRunner
    return TorchScriptRunner(contestant)


class ImageInput:
    """
    The picture as a model file takes it.

    Either uint8 [1, H, W, 3] as a step graph has it, or normalised floats [1, 3, H, W], or the
    last T pictures as floats [1, T, 3, H, W]; before there are T, the first one is repeated.
    """

    def __init__(self, shape: Tuple[int, ...], dtype: str, recipe: Recipe, name: str) -> None:
        """Take the input's full shape and its NumPy dtype."""
        self._as_bytes = dtype == 'uint8'
        channels = shape[-1] if self._as_bytes else shape[-3]
        if len(shape) not in ((4,) if self._as_bytes else (4, 5)) or channels != 3:
            raise BackendError(f'{name} takes a picture of {dtype} {list(shape)}',
                               'uint8 [1, H, W, 3], or floats [1, 3, H, W] or [1, T, 3, H, W]')
        self.size = (shape[1], shape[2]) if self._as_bytes else (shape[-2], shape[-1])
        self.window = shape[1] if len(shape) == 5 else 0
        self._dtype = dtype
        self._seen: Deque[np.ndarray] = deque(maxlen=max(1, self.window))
        if not self._as_bytes:
            self._mean, self._std = _normalisation(recipe, name)

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """Turn uint8 [1, H, W, 3] into the model's input, in an array of its own."""
        if self._as_bytes:
            return image
        pixels = (image.transpose(0, 3, 1, 2) - self._mean) / self._std  # [1, 3, H, W]
        self._seen.append(np.ascontiguousarray(pixels, self._dtype))
        if not self.window:
            return self._seen[-1]
        missing = self.window - len(self._seen)
        return np.stack([self._seen[0]] * missing + list(self._seen), axis=1)

    def forget(self) -> None:
        """Drop the pictures of the window."""
        self._seen.clear()


def _normalisation(recipe: Recipe, name: str) -> Tuple[np.ndarray, np.ndarray]:
    if len(recipe.mean) != 3 or len(recipe.std) != 3:
        raise BackendError(f'{name} takes normalised floats and does not say how they are made',
                           'the mean and deviation of each channel, 0..255',
                           'give --mean R G B --std R G B, or a bundle on the other side')
    arrays: List[np.ndarray] = [np.array(values, np.float32).reshape(1, 3, 1, 1)
                                for values in (recipe.mean, recipe.std)]
    return arrays[0], arrays[1]
