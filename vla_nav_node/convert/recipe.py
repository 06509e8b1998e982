"""What a user knows of a checkpoint and the checkpoint does not tell."""

from dataclasses import dataclass
from typing import List, Tuple

from ..preprocess import InputSpec


@dataclass(frozen=True)
class Recipe:
    """How the policy was trained to see, and what it may ask of the robot."""

    name: str
    input: InputSpec  # noqa: A003, RUF100
    channels: str  # rgb or bgr, the order of mean and std too
    pixel_max: float  # what white is before the normalisation: 1 or 255
    mean: List[float]
    std: List[float]
    limits: List[float]  # m/s, x and y

    def normalisation(self) -> Tuple[List[float], List[float]]:
        """Give mean and std as a bundle has them: R, G, B in units of 0..255."""
        order = (0, 1, 2) if self.channels == 'rgb' else (2, 1, 0)
        scale = 255.0 / self.pixel_max
        return ([round(self.mean[channel] * scale, 6) for channel in order],
                [round(self.std[channel] * scale, 6) for channel in order])
