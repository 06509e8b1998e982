"""
`vla_nav train`: behaviour cloning, then DAgger, to a bundle that drives.

Cloning alone drifts: the policy meets places that the expert never visits. So in each further
round it drives itself, and the expert says what it would have done there (Ross et al., 2011).
"""

import argparse
from collections import Counter
from dataclasses import dataclass
import json
import os
from pathlib import Path
from typing import Any, Dict, List

import numpy as np

from ..errors import SettingError, VlaNavError

EXAMPLE = 'vla_nav train --out out/train --seed 0'
FIRST_SEED = 1_000_000  # training draws from here up; below is for evaluation
SEEDS_PER_RUN = 1_000_000  # how far apart runs with different --seed are
PUSHED_FIRST, PUSHED_LATER = 0.6, 0.35  # shares of disturbed lessons: cloning, DAgger
EPISODES_PER_STEP = 6
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
    """A training from its start to its end; two runs with equal plans see equal lessons."""

    seed: int = 0
    rounds: int = 12  # the first is cloning
    first_episodes: int = 240
    episodes: int = 120  # in each later round
    first_steps: int = 350  # of the optimiser, in the first round
    steps: int = 250  # in each round between
    last_steps: int = 700  # in the last round

    def steps_of(self, number: int) -> int:
        """Give the optimiser's steps of a round, which count from 0."""
        if number == self.rounds - 1:
            return self.last_steps
        return self.steps if number else self.first_steps


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    default = Plan()
    parser.add_argument('--out', type=Path, default=Path('out/train'),
                        help='folder of the run: lessons, checkpoint, bundle (%(default)s)')
    parser.add_argument('--seed', type=int, default=default.seed)
    parser.add_argument('--rounds', type=int, default=default.rounds)
    parser.add_argument('--first-episodes', type=int, default=default.first_episodes)
    parser.add_argument('--episodes', type=int, default=default.episodes,
                        help='in each round after the first (%(default)s)')
    parser.add_argument('--first-steps', type=int, default=default.first_steps,
                        help='of the optimiser, in the first round (%(default)s)')
    parser.add_argument('--steps', type=int, default=default.steps)
    parser.add_argument('--last-steps', type=int, default=default.last_steps)
    parser.add_argument('--workers', type=int, default=os.cpu_count() or 1)
    parser.add_argument('--device', choices=('auto', 'cpu', 'cuda'), default='auto')
    parser.add_argument('--json', type=Path, help='write what each round came to there')


def run(args: argparse.Namespace) -> int:
    """Train, or go on with the training that is in `--out`."""
    plan = Plan(args.seed, args.rounds, args.first_episodes, args.episodes,
                args.first_steps, args.steps, args.last_steps)
    training = Training(plan, args.out, args.workers, _device(args.device))
    training.run()
    if args.json:
        args.json.write_text(json.dumps(training.log, indent=1))
    print(f'trained: {training.bundle}')
    return 0


class Training:
    """Rounds of collecting and learning; after each, what it has is safe on disk."""

    def __init__(self, plan: Plan, folder: Path, workers: int, device: str) -> None:
        """Open or resume the run in `folder`; refuse one that was made by another plan."""
        import torch
        from .learn import Learner
        from ..network import PolicyNetwork
        torch.manual_seed(plan.seed)
        self.plan, self.folder, self.workers = plan, folder, workers
        self.lessons, self.bundle = folder / 'lessons', folder / 'bundle'
        self.lessons.mkdir(parents=True, exist_ok=True)
        _keep_plan(folder / 'plan.json', plan)
        steps = sum(map(plan.steps_of, range(plan.rounds)))
        network = PolicyNetwork(architecture(), MEAN, STD)
        self.learner = Learner(network, device, steps)
        self.round, self.seeds, self.log = 0, [], []  # type: int, List[int], List[dict]
        self._resume()

    def run(self) -> None:
        """Go through the rounds that are left, then leave the bundle."""
        while self.round < self.plan.rounds:
            self.advance()
        write_trained(self.bundle, self.learner.averaged(), self.plan, self.log)

    def advance(self) -> None:
        """Go through one round and save it."""
        summary = self._collect()
        summary.update(self._learn())
        self.log.append(summary)
        self.round += 1
        self._save()
        print(json.dumps(summary), flush=True)

    def _collect(self) -> Dict[str, Any]:
        from .teach import collect, draw_lessons
        first = self.round == 0
        count = self.plan.first_episodes if first else self.plan.episodes
        start = FIRST_SEED + self.plan.seed * SEEDS_PER_RUN + len(self.seeds)
        lessons = draw_lessons(range(start, start + count), None if first else self._weights(),
                               PUSHED_FIRST if first else PUSHED_LATER)
        outcomes: Counter = Counter()
        build = {'architecture': architecture(), 'mean': MEAN, 'std': STD, 'input': INPUT}
        done = collect(lessons, self.lessons, build, self.workers)
        for lesson, episode in _progress(done, count, f'round {self.round}: driving'):
            if not lesson.disturbed:
                outcomes[episode.outcome] += 1
        self.seeds += [lesson.seed for lesson in lessons]
        share = outcomes['reached'] / max(sum(outcomes.values()), 1)
        return {'round': self.round, 'driver': 'expert' if first else 'policy',
                'reached': round(share, 3), 'of': sum(outcomes.values())}

    def _learn(self) -> Dict[str, float]:
        from .learn import load_batch
        steps = self.plan.steps_of(self.round)
        rng = np.random.default_rng([self.plan.seed, self.round])
        order = _shuffled(self.seeds, rng)
        errors = []
        for _ in _progress(range(steps), steps, f'round {self.round}: learning'):
            seeds = [next(order) for _ in range(EPISODES_PER_STEP)]
            errors.append(self.learner.learn(
                load_batch(self.lessons, seeds, rng, self.learner.device)))
        action, hint = np.mean(errors[-100:], axis=0)
        return {'steps': steps, 'action_mae': round(float(action), 4),
                'hint_mae': round(float(hint), 4)}

    def _weights(self) -> str:
        from safetensors.torch import save_file
        path = self.folder / f'round{self.round}.safetensors'
        save_file(self.learner.averaged(), path)
        return str(path)

    def _save(self) -> None:
        import torch
        state = {'round': self.round, 'seeds': self.seeds, 'log': json.dumps(self.log),
                 'learner': self.learner.snapshot()}
        torch.save(state, self.folder / 'checkpoint.tmp')
        os.replace(self.folder / 'checkpoint.tmp', self.folder / 'checkpoint.pt')

    def _resume(self) -> None:
        import torch
        checkpoint = self.folder / 'checkpoint.pt'
        if not checkpoint.exists():
            return
        state = torch.load(checkpoint, map_location=self.learner.device, weights_only=True)
        self.round, self.seeds = state['round'], state['seeds']
        self.log = json.loads(state['log'])
        self.learner.restore(state['learner'])
        print(f'resumed after round {self.round - 1}')


def write_trained(directory: Path, weights: Dict[str, Any], plan: Plan, log: List[dict]) -> None:
    """Write weights and step graph as a bundle."""
    import tempfile
    from safetensors.torch import save_file
    from .rollout import LIMITS
    from ..bundle import write_bundle
    from ..convert.export import export_onnx
    from ..network import load_network
    from ..preprocess import InputSpec
    with tempfile.TemporaryDirectory() as folder:
        safetensors, graph = Path(folder, 'policy.safetensors'), Path(folder, 'policy.fp32.onnx')
        save_file(weights, safetensors)
        network = load_network(safetensors, architecture(), MEAN, STD)
        export_onnx(network, graph, InputSpec(**INPUT))
        first = FIRST_SEED + plan.seed * SEEDS_PER_RUN
        manifest = {
            'format': 1, 'name': 'cup_seeker', 'architecture': architecture(),
            'input': {**INPUT, 'mean': MEAN, 'std': STD},
            'action': {'names': list(LIMITS), 'unit': 'm/s', 'limits': LIMITS},
            'training': {'trained': True, 'plan': vars(plan), 'rounds': log,
                         'seeds': {'first': first, 'last': first + SEEDS_PER_RUN - 1}},
            'verification': {'tolerance': {'fp32': 1e-4}}}
        write_bundle(directory, manifest, {path.name: path for path in (safetensors, graph)})


def _keep_plan(path: Path, plan: Plan) -> None:
    if path.exists() and json.loads(path.read_text()) != vars(plan):
        raise SettingError(f'{path.parent} holds a training with {path.read_text()}',
                           f'one with {json.dumps(vars(plan))}', 'another --out, or its arguments')
    path.write_text(json.dumps(vars(plan)))


def _shuffled(seeds: List[int], rng: np.random.Generator):
    while True:
        yield from (seeds[i] for i in rng.permutation(len(seeds)))


def _progress(items, total: int, title: str):
    from rich.progress import track
    return track(items, total=total, description=title)


def _device(name: str) -> str:
    import torch
    if name == 'cuda' and not torch.cuda.is_available():
        raise VlaNavError('no CUDA device for training', 'a GPU that torch can use',
                          '--device cpu')
    return 'cuda' if name != 'cpu' and torch.cuda.is_available() else 'cpu'
