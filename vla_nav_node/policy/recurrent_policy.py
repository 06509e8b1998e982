"""A backend together with the recurrent state that it carries from step to step."""

import numpy as np

from ..types import Backend, State


class Policy:
    """
    A backend and its recurrent state.

    `backend` may be replaced between two steps; the state carries over.
    """

    def __init__(self, backend: Backend, zero_state: State) -> None:
        """Start from `zero_state`, and return to it at every reset."""
        self.backend = backend
        self.zero_state = zero_state
        self.state_before = zero_state  # of the newest step
        self.state = zero_state

    def act(self, image: np.ndarray) -> np.ndarray:
        """
        Run one step: image uint8 [1, H, W, 3] -> action float32 [2], vx and vy in m/s.

        If the backend raises, the state is unchanged.
        """
        self.state_before = self.state
        action, self.state = self.backend.infer(image, self.state_before)
        return action[0]

    def rehearse(self, image: np.ndarray) -> None:
        """Run a step and drop what it returns: the state is as before."""
        self.backend.infer(image, self.state)

    def reset(self) -> None:
        """Start the next step from the zero state."""
        self.state = self.zero_state
