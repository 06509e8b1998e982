"""What every backend asks of its arrays, checked in one place."""

from typing import Tuple

import numpy as np

from ..bundle.bundle import Bundle
from ..errors import BackendError
from ..types import State


class StepShapes:
    """The arrays that one step of a bundle's policy takes."""

    def __init__(self, bundle: Bundle) -> None:
        """Read the shapes from the manifest."""
        self.image = bundle.input.shape
        self.state: Tuple[Tuple[int, ...], ...] = tuple(bundle.state_shapes.values())

    def check(self, image: np.ndarray, state: State) -> None:
        """Raise BackendError unless `image` and `state` are what the policy takes."""
        _check_array('image', image, self.image, np.uint8)
        if len(state) != len(self.state):
            raise BackendError(f'a state of {len(state)} arrays', f'{len(self.state)} arrays')
        for part, shape in zip(state, self.state):
            _check_array('state', part, shape, np.float32)


def _check_array(what: str, array: np.ndarray, shape: Tuple[int, ...], dtype: type) -> None:
    if array.shape != shape or array.dtype != dtype:
        raise BackendError(f'{what} is {array.dtype} {list(array.shape)}',
                           f'{np.dtype(dtype)} {list(shape)}')
