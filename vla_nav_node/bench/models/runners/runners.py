"""An open candidate: one image in, one action out, whatever runs it."""

from collections import deque
from typing import Any, Deque, Dict, List, Protocol, Tuple

import numpy as np

from ..candidate import Candidate, Recipe, Size
from ....backends import open_backend
from ....bundle.bundle import load_bundle
from ....errors import BackendError
from ....policy.recurrent_policy import Policy


class Runner(Protocol):
    """
    An open candidate in its worker process.

    `info` is what really runs: library, version, provider, device, precision. `size` is that of
    the image; `carries_state` tells whether a step depends on those before it.
    """

    info: Dict[str, str]
    size: Size
    carries_state: bool
    lead_s: float  # how long before a step it is rehearsed; 0: never

    def prepare(self, image: np.ndarray) -> Any:
        """Turn uint8 [1, H, W, 3] into what `step` takes; not part of its time."""

    def step(self, prepared: Any) -> np.ndarray:
        """Run one step -> float32 [actions]; the device is synchronised before it returns."""

    def rehearse(self, prepared: Any) -> None:
        """Run a step for nothing, as the node does before a picture is due."""

    def reset(self) -> None:
        """Start from the zero state."""


class BundleRunner:
    """A policy bundle on one of our backends, as in the node."""

    carries_state = True

    def __init__(self, candidate: Candidate) -> None:
        """Open the backend, on its own number of threads if `candidate` has none."""
        bundle = load_bundle(candidate.path)
        self.backend = open_backend(candidate.backend, bundle, candidate.precision,
                                    candidate.device, options=candidate.options)
        if candidate.threads:
            _limit_torch(candidate)
        self._policy = Policy(self.backend, bundle.zero_state())
        self.lead_s = candidate.rehearsal_ms / 1e3 if self.backend.fits_cache else 0.0
        self.size = (bundle.input.height, bundle.input.width)
        self.info = {key: str(value) for key, value in vars(self.backend.info).items()
                     if key != 'name'}

    def prepare(self, image: np.ndarray) -> np.ndarray:
        """Return the image unchanged: normalisation is inside the policy."""
        return image

    def step(self, prepared: np.ndarray) -> np.ndarray:
        """Run one step of the policy."""
        return self._policy.act(prepared)

    def rehearse(self, prepared: np.ndarray) -> None:
        """Run a step of the policy, and drop what it returns."""
        self._policy.rehearse(prepared)

    def reset(self) -> None:
        """Start from the zero state."""
        self._policy.reset()


def _limit_torch(candidate: Candidate) -> None:
    if candidate.backend != 'torch':
        raise BackendError(f'{candidate.name} on {candidate.threads} threads',
                           'threads for torch and model files only')
    import torch
    torch.set_num_threads(candidate.threads)


def open_runner(candidate: Candidate) -> Runner:
    """Open a candidate in this process, or raise VlaNavError."""
    if candidate.kind == 'bundle':
        return BundleRunner(candidate)
    if candidate.kind == 'onnx':
        from .onnx_file import OnnxFileRunner
        return OnnxFileRunner(candidate)
    from .torchscript_file import TorchScriptRunner
    return TorchScriptRunner(candidate)


class ImageInput:
    """
    The image input of a model file.

    Either uint8 [1, H, W, 3] as in a step graph, or normalised floats [1, 3, H, W], or the last T
    images as floats [1, T, 3, H, W]; before there are T, the first one is repeated.
    """

    def __init__(self, shape: Tuple[int, ...], dtype: str, recipe: Recipe, name: str) -> None:
        """Take the input's full shape and NumPy dtype; raise BackendError if it is no image."""
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
        """Return uint8 [1, H, W, 3] as the model's input."""
        if self._as_bytes:
            return image
        pixels = (image.transpose(0, 3, 1, 2) - self._mean) / self._std  # [1, 3, H, W]
        self._seen.append(np.ascontiguousarray(pixels, self._dtype))
        if not self.window:
            return self._seen[-1]
        missing = self.window - len(self._seen)
        return np.stack([self._seen[0]] * missing + list(self._seen), axis=1)

    def reset(self) -> None:
        """Drop the images of the window."""
        self._seen.clear()


def _normalisation(recipe: Recipe, name: str) -> Tuple[np.ndarray, np.ndarray]:
    if len(recipe.mean) != 3 or len(recipe.std) != 3:
        raise BackendError(f'{name} takes normalised floats and does not say how they are made',
                           'the mean and deviation of each channel, 0..255',
                           'give --mean R G B --std R G B, or a bundle on the other side')
    arrays: List[np.ndarray] = [np.array(values, np.float32).reshape(1, 3, 1, 1)
                                for values in (recipe.mean, recipe.std)]
    return arrays[0], arrays[1]
