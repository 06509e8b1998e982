"""What is trained, and how long: two trainings of equal plans see equal pictures and lessons."""

from dataclasses import dataclass
from typing import Any, Dict, List

FIRST_SEED = 1_000_000  # training draws from here up; below is for evaluation
SEEDS_PER_RUN = 1_000_000  # how far apart runs with different --seed are
KEPT_FREE = 2  # of these millions: convert.frames takes its seeds from there
FIRST_VIEW = 500_000  # of a run's seeds, from here up are for single pictures
MEAN, STD = [128.0] * 3, [64.0] * 3
INPUT: Dict[str, Any] = {'height': 96, 'width': 128, 'fit': 'crop', 'resize': 'supersample'}


def architecture() -> Dict[str, Any]:
    """Describe the shipped network: 0.84 M weights, 14 M multiply-adds a frame."""
    encoder: List[Dict[str, Any]] = []
    channels = (3, 16, 32, 64, 128)
    for before, after in zip(channels, channels[1:]):
        kernel = 5 if before == 3 else 3
        encoder += [{'type': 'Conv2d', 'in_channels': before, 'out_channels': after,
                     'kernel_size': kernel, 'stride': 2, 'padding': kernel // 2},
                    {'type': 'ReLU'}]
    encoder += [{'type': 'Conv2d', 'in_channels': 128, 'out_channels': 32, 'kernel_size': 1},
                {'type': 'ReLU'}, {'type': 'Flatten'},
                {'type': 'Linear', 'in_features': 32 * 6 * 8, 'out_features': 256},
                {'type': 'ReLU'}]
    return {'encoder': encoder, 'head': [64],
            'recurrent': {'type': 'LSTM', 'input_size': 256, 'hidden_size': 192,
                          'num_layers': 1}}


@dataclass(frozen=True)
class Plan:
    """A training from its start to its end."""

    seed: int = 0
    scenes: int = 16_000  # whose pictures the encoder learns to see from
    epochs: int = 10  # through those pictures
    rounds: int = 12  # the first is cloning
    first_episodes: int = 300
    episodes: int = 150  # in each later round
    first_steps: int = 1000  # of the optimiser, in the first round
    steps: int = 500  # in each round between
    last_steps: int = 2000  # in the last round

    @property
    def first_seed(self) -> int:
        """Return the first of this run's SEEDS_PER_RUN seeds."""
        return FIRST_SEED + (self.seed + (self.seed >= KEPT_FREE)) * SEEDS_PER_RUN

    @property
    def views(self) -> range:
        """Return the seeds of the scenes for single pictures."""
        return range(self.first_seed + FIRST_VIEW, self.first_seed + FIRST_VIEW + self.scenes)

    def steps_of(self, number: int) -> int:
        """Return the optimiser's steps of a round, which count from 0."""
        if number == self.rounds - 1:
            return self.last_steps
        return self.steps if number else self.first_steps
