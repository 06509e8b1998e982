"""What to train, and how long: equal plans give equal pictures and episodes."""

from dataclasses import dataclass
from typing import Any, Dict, List

FIRST_SEED = 1_000_000  # of training; those below are for evaluation
SEEDS_PER_RUN = 1_000_000  # between runs with different --seed
RESERVED = 2  # the run whose seeds convert.frames takes
FIRST_VIEW = 500_000  # of a run's seeds; those from here up are for single pictures
MEAN, STD = [128.0] * 3, [64.0] * 3
INPUT: Dict[str, Any] = {'height': 96, 'width': 128, 'fit': 'crop', 'resize': 'supersample'}


def architecture() -> Dict[str, Any]:
    """Return the shipped network's architecture: 0.84 M weights, 14 M multiply-adds a frame."""
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
    """The schedule of a training; the fields are keys of plan.json and policy.yaml."""

    seed: int = 0
    scenes: int = 16_000  # whose pictures the encoder is pre-trained on
    epochs: int = 10  # of the pre-training
    rounds: int = 12  # the first is behaviour cloning, the others DAgger
    first_episodes: int = 300
    episodes: int = 150  # in each later round
    first_steps: int = 1000  # of the optimiser, in the first round
    steps: int = 500  # in each round between
    last_steps: int = 2000  # in the last round

    @property
    def first_seed(self) -> int:
        """Return the first of this run's SEEDS_PER_RUN seeds."""
        return FIRST_SEED + (self.seed + (self.seed >= RESERVED)) * SEEDS_PER_RUN

    @property
    def views(self) -> range:
        """Return the seeds of the scenes for single pictures."""
        return range(self.first_seed + FIRST_VIEW, self.first_seed + FIRST_VIEW + self.scenes)

    def steps_of(self, number: int) -> int:
        """Return the optimiser's steps in round `number`, counted from 0."""
        if number == self.rounds - 1:
            return self.last_steps
        return self.steps if number else self.first_steps
