"""A policy that is driving: a backend, and the recurrent state between its steps."""

import numpy as np

from ..types import Backend, State


class Policy:
    """
    Carry the recurrent state from one step to the next.

    `backend` may be assigned between two steps: the state goes on with the new one.
    """

    def __init__(self, backend: Backend, zero_state: State) -> None:
        """Start from `zero_state`, which is kept for every reset."""
        self.backend = backend
        self.zero_state = zero_state
        self.before = zero_state  # what the newest step began from
        self.state = zero_state

    def act(self, image: np.ndarray) -> np.ndarray:
        """
        Run one step: image uint8 [1, H, W, 3] -> action float32 [2], vx and vy in m/s.

        When the backend raises, the state stays what it was before.
        """
        self.before = self.state
        action, self.state = self.backend.infer(image, self.before)
        return action[0]

    def reset(self) -> None:
        """Forget what was seen: the next step starts from the zero state."""
        self.state = self.zero_state
