"""The input recipe that a checkpoint does not hold: the user states it."""

from dataclasses import dataclass
import math
from typing import Iterator, List, Sequence, Tuple

from ...errors import SettingError
from ...vision.preprocess import InputSpec

CHANNEL_COUNTS = {'rgb': 3, 'bgr': 3, 'gray': 1, 'gray-mean': 1}  # by --channels
# How far apart black and white may be for a network: at most 256, the raw pixels in any unit, plus
# some for rounding.
NEAREST, FURTHEST = 0.5, 260.0
IMAGENET = (0.485, 0.456, 0.406)  # R, G, B, of pixels from 0 to 1
SAME_MEAN = 0.004  # of a pixel from 0 to 1: a grey level
OTHER_MAX = {1.0: 255, 255.0: 1}


@dataclass(frozen=True)
class InputRecipe:
    """How the policy's pictures were made in training, and its action limits."""

    name: str
    input: InputSpec  # noqa: A003, RUF100
    channels: str  # rgb, bgr (the order of mean and std too), gray or gray-mean
    pixel_max: float  # white before the normalisation: 1 or 255
    mean: List[float]
    std: List[float]
    limits: List[float]  # m/s, x and y

    def __post_init__(self) -> None:
        """Raise SettingError if no policy can have been trained with this normalisation."""
        options = '--mean {} --std {}'.format(*(
            ' '.join(f'{number:g}' for number in numbers) for numbers in (self.mean, self.std)))
        if {len(self.mean), len(self.std)} != {self.depth}:
            raise SettingError(f'{options} with --channels {self.channels}',
                               f'{self.depth} each: one for each channel')
        problem = normalisation_problem(self.mean, self.std, self.pixel_max)
        if problem:
            other = OTHER_MAX[self.pixel_max]
            raise SettingError(
                f'{options} with --pixel-max {self.pixel_max:g}: {problem}',
                'mean and deviation of pixels in one unit',
                f'--pixel-max {other} if they are of pixels from 0 to {other}; else look them up '
                'where it was trained')

    @property
    def depth(self) -> int:
        """Return the number of channels of the training pictures."""
        return CHANNEL_COUNTS[self.channels]

    def normalisation(self) -> Tuple[List[float], List[float]]:
        """Return mean and std as in a bundle: R, G, B in units of 0..255."""
        order = {'rgb': (0, 1, 2), 'bgr': (2, 1, 0)}.get(self.channels, (0, 0, 0))
        scale = 255.0 / self.pixel_max
        return ([round(self.mean[channel] * scale, 6) for channel in order],
                [round(self.std[channel] * scale, 6) for channel in order])

    def notes(self) -> Iterator[str]:
        """Yield what the network sees, and what is unlikely though possible."""
        black, white = (' '.join(f'{(pixel - mean) / std:.3g}'
                                 for mean, std in zip(self.mean, self.std))
                        for pixel in (0, self.pixel_max))
        yield f'the network sees black as {black} and white as {white} ({self.channels})'
        scaled = [mean / self.pixel_max for mean in self.mean]
        is_bgr = self.channels == 'bgr'
        reversed_means = IMAGENET if is_bgr else IMAGENET[::-1]
        if len(scaled) == 3 and all(abs(mean - other) < SAME_MEAN
                                    for mean, other in zip(scaled, reversed_means)):
            yield (f"--mean is ImageNet's in the order {'R G B' if is_bgr else 'B G R'}, beside "
                   f'--channels {self.channels}: right only if it was trained so')
        if all(0 < mean < std for mean, std in zip(self.mean, self.std)):
            yield '--std is above --mean: right only if they are not swapped'


def normalisation_problem(mean: Sequence[float], std: Sequence[float], pixel_max: float) -> str:
    """Return why no training can have used this mean or std; '' if it can."""
    if not all(map(math.isfinite, (*mean, *std))) or any(one <= 0 for one in std):
        return 'they are not finite numbers with --std above 0'
    if any(not 0 <= one <= pixel_max for one in mean):
        return f'no pixel is from {min(mean):g} to {max(mean):g}'
    if pixel_max == 255 and any(0 < one <= 1 for one in mean):
        return 'pictures would be black but for one grey level'
    spans = [pixel_max / one for one in std]
    if not all(NEAREST <= span <= FURTHEST for span in spans):
        return (f'black and white would be {min(spans):.2g} to {max(spans):.4g} apart for the '
                f'network, and {NEAREST:g} to {FURTHEST:g} are possible')
    return ''
