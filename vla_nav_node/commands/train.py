"""
`vla_nav train`: train the encoder, then the policy (cloning, then DAgger), and write a bundle.

A policy trained by cloning alone drifts to places that the expert never visits. So in each further
round it drives itself, and is trained on the expert's actions there (Ross et al., 2011).
"""

import argparse
from collections import Counter
from dataclasses import fields
import json
import os
from pathlib import Path
import tempfile
from typing import Any, Dict, Iterator, List

import numpy as np

from ..errors import SettingError, VlaNavError
from ..sim.training.plan import architecture, INPUT, MEAN, Plan, SEEDS_PER_RUN, STD
from ..sim.training.run_folder import CHECKPOINT, claim, PLAN, read_checkpoint
from ..sim.world import rendering
from ..system.outputs import write_json
from ..system.progress import track

EXAMPLE = 'vla_nav train --out out/train --seed 0'
DISTURBED_FIRST, DISTURBED_LATER = 0.6, 0.35  # shares of the lessons: cloning, DAgger
EPISODES_PER_STEP = 16
PLAN_HELP = {
    'seed': 'of the run', 'scenes': 'to render pictures of for training the encoder',
    'epochs': 'over those pictures', 'rounds': 'of driving and training; the first is cloning',
    'first_episodes': 'in the first round', 'episodes': 'in each later round',
    'first_steps': 'of the optimiser in the first round', 'steps': 'in each round between',
    'last_steps': 'in the last round'}
FRAMES = 250  # for verifying the exported graph, forwards and backwards


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument('--out', type=Path, default=Path('out/train'),
                        help='folder of the run: pictures, lessons, bundle (%(default)s)')
    for field in fields(Plan):
        parser.add_argument('--' + field.name.replace('_', '-'), type=int, default=field.default,
                            help=PLAN_HELP[field.name] + ' (%(default)s)')
    parser.add_argument('--workers', type=int, default=os.cpu_count() or 1)
    parser.add_argument('--device', choices=('auto', 'cpu', 'cuda'), default='auto')
    parser.add_argument('--json', type=Path, help='write the result of each stage to this file')


def run(args: argparse.Namespace) -> int:
    """Train, or resume the training in `--out`; return 0."""
    if args.json and args.json.resolve() == (args.out / PLAN).resolve():
        raise SettingError(f'--json {args.json} is needed to resume the training', 'another file')
    plan = Plan(**{field.name: getattr(args, field.name) for field in fields(Plan)})
    os.environ['MUJOCO_GL'] = rendering.choose()  # a failing worker would be restarted for ever
    training = Training(plan, args.out, args.workers, _device(args.device))
    training.run()
    if args.json:
        write_json(args.json, training.log)
    print(f'trained: {training.bundle}')
    return 0


class Training:
    """One stage of encoder training, then rounds of driving; each is saved when it is done."""

    def __init__(self, plan: Plan, folder: Path, workers: int, device: str) -> None:
        """Open or resume the run in `folder`; raise SettingError if it has another plan."""
        import torch
        from ..sim.training.learner import Learner
        from ..backends.torch.network import PolicyNetwork
        torch.manual_seed(plan.seed)
        self.plan, self.folder, self.workers, self.device = plan, folder, workers, device
        self.lessons, self.bundle = folder / 'lessons', folder / 'bundle'
        state = read_checkpoint(folder / CHECKPOINT, device)
        claim(folder, plan)
        self.lessons.mkdir(exist_ok=True)
        steps = sum(map(plan.steps_of, range(plan.rounds)))
        self.network = PolicyNetwork(architecture(), MEAN, STD)
        self.learner = Learner(self.network, device, steps)
        self.round, self.seeds, self.log = -1, [], []  # type: int, List[int], List[dict]
        self._loaded: Dict[int, np.ndarray] = {}
        if state:
            self._resume(state)

    def run(self) -> None:
        """Do the remaining stages, then write and verify the bundle."""
        while self.round < self.plan.rounds:
            self.advance()
        write_trained(self.bundle, self.learner.averaged(), self.plan, self.log)
        _verify(self.bundle)

    def advance(self) -> None:
        """Do one stage and save it; the one before round 0 trains the encoder."""
        summary = self._train_encoder() if self.round < 0 else {**self._collect(), **self._learn()}
        self.log.append(summary)
        self.round += 1
        self._save()
        print(json.dumps(summary), flush=True)

    def _train_encoder(self) -> Dict[str, Any]:
        from ..sim.training.encoder_pretraining import EncoderWithHead, pretrain_encoder
        from ..sim.training.views import CHUNK, load_views, render_views
        done = render_views(self.plan.views, self.folder / 'views', INPUT, self.workers)
        count = -(-len(self.plan.views) // CHUNK)
        files = sorted(track(done, 'encoder: rendering', count))
        images, targets = load_views(files)
        model = EncoderWithHead(self.network, targets, self.device)
        epochs = pretrain_encoder(model, images, targets, self.plan.epochs, self.plan.seed)
        for seen in track(epochs, 'encoder: learning', self.plan.epochs):
            print(json.dumps(seen), flush=True)
        return {'stage': 'looking', 'pictures': len(images), 'seen_r2': seen}

    def _collect(self) -> Dict[str, Any]:
        from ..sim.training.episode_collection import collect, draw_setups
        first = self.round == 0
        count = self.plan.first_episodes if first else self.plan.episodes
        start = self.plan.first_seed + len(self.seeds)
        setups = draw_setups(range(start, start + count), first,
                             DISTURBED_FIRST if first else DISTURBED_LATER)
        outcomes: Counter = Counter()
        build = {'weights': self._weights(), 'architecture': architecture(), 'mean': MEAN,
                 'std': STD, 'input': INPUT}
        done = collect(setups, self.lessons, build, self.workers)
        for setup, episode, helped in track(done, f'round {self.round}: driving', count):
            if not setup.disturbed:
                outcomes['helped' if helped else episode.outcome] += 1
        self.seeds += [setup.seed for setup in setups]
        return {'round': self.round, 'driver': 'expert' if first else 'policy',
                'episodes': count, 'hard': sum(bool(setup.scenario) for setup in setups),
                'outcomes': dict(outcomes)}

    def _learn(self) -> Dict[str, float]:
        from ..sim.training.learner import make_batch
        from ..sim.training.episode_collection import load_episode
        for seed in self.seeds:
            if seed not in self._loaded:
                self._loaded[seed] = load_episode(self.lessons, seed)
        steps = self.plan.steps_of(self.round)
        order = _shuffled(self.seeds, np.random.default_rng([self.plan.seed, self.round]))
        errors = []
        for _ in track(range(steps), f'round {self.round}: learning', steps):
            episodes = [self._loaded[next(order)] for _ in range(EPISODES_PER_STEP)]
            errors.append(self.learner.train_step(make_batch(episodes, self.learner.device)))
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
        os.replace(self.folder / 'checkpoint.tmp', self.folder / CHECKPOINT)

    def _resume(self, state: Dict[str, Any]) -> None:
        self.round, self.seeds = state['round'], state['seeds']
        self.log = json.loads(state['log'])
        self.learner.restore(state['learner'])
        print(f'resumed: {len(self.log)} of {self.plan.rounds + 1} stages are done')


def write_trained(directory: Path, weights: Dict[str, Any], plan: Plan, log: List[dict]) -> None:
    """Write weights and step graph to a bundle."""
    from safetensors.torch import save_file
    from ..sim.expert.rollout import LIMITS
    from ..bundle.bundle import graph_name, WEIGHTS, write_bundle
    from ..convert.export.step_graph import export_onnx
    from ..backends.torch.network import load_network
    from ..vision.preprocess import InputSpec
    with tempfile.TemporaryDirectory() as folder:
        safetensors, graph = Path(folder, WEIGHTS), Path(folder, graph_name('fp32'))
        save_file(weights, safetensors)
        network = load_network(safetensors, architecture(), MEAN, STD)
        export_onnx(network, graph, InputSpec(**INPUT))
        manifest = {
            'format': 1, 'name': 'cup_seeker', 'architecture': architecture(),
            'input': {**INPUT, 'mean': MEAN, 'std': STD},
            'action': {'names': list(LIMITS), 'unit': 'm/s', 'limits': LIMITS},
            'training': {'trained': True, 'plan': vars(plan), 'stages': log,
                         'seeds': {'first': plan.first_seed,
                                   'last': plan.first_seed + SEEDS_PER_RUN - 1}},
            'verification': {'tolerance': {'fp32': 1e-4}}}
        write_bundle(directory, manifest, {path.name: path for path in (safetensors, graph)})


def _verify(directory: Path) -> None:
    """Verify the graph and write the verdict, without which the node would refuse it."""
    from ..backends import is_installed
    from ..bundle.bundle import load_bundle
    from ..convert.frames.calibrated import SIMULATOR
    from ..sim.expert.simulated_frames import load_frames
    from ..convert.verify.verdict import describe_frames, verify_open_loop, write_verdicts
    if not is_installed('onnx'):
        print(f"not verified, onnxruntime is not installed: run 'vla_nav verify {directory}'")
        return
    bundle = load_bundle(directory)
    frames = load_frames(SIMULATOR, bundle.input, FRAMES)
    rows = verify_open_loop(bundle, frames, [('onnx', 'fp32')])
    for row in rows:
        print(f'verified {row.name}: ' + ('; '.join(row.problems) or 'passed'))
    write_verdicts(bundle, rows, describe_frames(SIMULATOR, frames))


def _shuffled(seeds: List[int], rng: np.random.Generator) -> Iterator[int]:
    while True:
        yield from (seeds[i] for i in rng.permutation(len(seeds)))


def _device(name: str) -> str:
    import torch
    if name == 'cuda' and not torch.cuda.is_available():
        raise VlaNavError('no CUDA device for training', 'a GPU that torch can use',
                          '--device cpu')
    return 'cuda' if name != 'cpu' and torch.cuda.is_available() else 'cpu'
