"""The trials of an evaluation, driven in parallel processes."""

from dataclasses import dataclass, field, replace
from functools import lru_cache
import math
import multiprocessing
from typing import Any, Dict, Iterator, List, Optional, Sequence, Tuple

import numpy as np

from ...bundle.bundle import Bundle, load_bundle
from ...errors import SettingError
from ...system.progress import track


@dataclass(frozen=True)
class Trial:
    """A row of the report: one driver under one set of conditions, on all seeds."""

    name: str
    # policy; cleared: a policy whose state is zeroed at every frame; expert; watcher: ShadowDriver
    driver: str
    backend: str
    frame_rate: float = 30.0
    frame_loss: float = 0.0
    precision: str = 'fp32'
    device: str = 'cpu'


def plan_trials(backends: Sequence[str], quick: bool) -> List[Trial]:
    """Return the trials: each backend at 30 Hz; unless quick, other conditions and baselines."""
    rows = [Trial(f'{backend}, 30 Hz', 'policy', backend) for backend in backends]
    if quick:
        return rows
    first = backends[0]
    return rows + [
        Trial(f'{first}, 15 Hz', 'policy', first, frame_rate=15.0),
        Trial(f'{first}, 50 Hz', 'policy', first, frame_rate=50.0),
        Trial(f'{first}, 30 Hz, one frame in five lost', 'policy', first, frame_loss=0.2),
        Trial('state cleared every frame', 'cleared', first),
        Trial('expert (sees the map)', 'expert', ''),
        Trial('expert drives, policy watches', 'watcher', first)]


@dataclass(frozen=True)
class Result:
    """How one episode of a trial ended."""

    seed: int
    scenario: str
    outcome: str
    time: float  # s
    distance: float  # m
    error: float  # mean absolute difference to the expert's action, m/s; nan but for a watcher
    path: Tuple[Tuple[float, float], ...] = field(default=(), repr=False)  # m, at each frame


def refuse_trained(bundle: Bundle, seeds: Sequence[int]) -> None:
    """Raise SettingError if training may have used one of the seeds, which are in order."""
    trained = bundle.manifest.get('training', {}).get('seeds')
    if trained and seeds[0] <= trained['last'] and seeds[-1] >= trained['first']:
        raise SettingError(
            f'seeds {seeds[0]} to {seeds[-1]} may have been trained on',
            f'none from {trained["first"]} to {trained["last"]}', 'choose another --seed')


def run_trials(bundle: Bundle, trials: Sequence[Trial], seeds: Sequence[int],
               scenario: Optional[str], workers: int) -> Dict[Trial, List[Result]]:
    """Drive every trial on every seed in parallel processes; return results in seed order."""
    tasks = [(trial, seed, scenario) for trial in trials for seed in seeds]
    results: Dict[Trial, List[Result]] = {trial: [] for trial in trials}
    context = multiprocessing.get_context('spawn')
    with context.Pool(workers, _start_worker, (str(bundle.directory),)) as pool:
        done: Iterator[Tuple[Trial, Result]] = pool.imap(_run_task, tasks)
        for trial, result in track(done, 'driving', len(tasks)):
            results[trial].append(result)
    return results


class ShadowDriver:
    """Drives by the expert; the policy runs in its shadow, and its actions are compared."""

    def __init__(self, expert: Any, policy: Any) -> None:
        """Take the two drivers."""
        self._expert, self._policy = expert, policy
        self.errors: List[float] = []

    def reset(self, layout: Any) -> None:
        """Begin an episode."""
        self._expert.reset(layout)
        self._policy.reset(layout)
        self.errors = []

    def __call__(self, world: Any) -> Sequence[float]:
        """Return the expert's velocity; record the policy's mean absolute error, m/s."""
        action = self._expert(world)
        self.errors.append(float(np.abs(self._policy(world) - np.asarray(action)).mean()))
        return action


_worker: Dict[str, Any] = {}  # what each worker process builds once


def _start_worker(directory: str) -> None:
    from ..world.world import World
    _worker.update(world=World(), bundle=load_bundle(directory))


def _run_task(task: Tuple[Trial, int, Optional[str]]) -> Tuple[Trial, Result]:
    from ..expert.rollout import Conditions, drive
    trial, seed, scenario = task
    driver = _driver(trial)
    conditions = Conditions(trial.frame_rate, trial.frame_loss)
    limits = _worker['bundle'].limits
    episode = drive(_worker['world'], driver, seed, scenario, conditions, limits)
    error = float(np.mean(driver.errors)) if trial.driver == 'watcher' else math.nan
    return trial, Result(episode.seed, episode.scenario, episode.outcome, episode.time,
                         episode.distance, error, episode.path)


def _driver(trial: Trial) -> Any:
    from ..expert.rollout import ExpertDriver, PolicyDriver
    from ...policy.recurrent_policy import Policy
    from ...vision.preprocess import Preprocess
    if trial.driver == 'expert':
        return ExpertDriver()
    bundle = _worker['bundle']
    backend = _open_backend(trial.backend, trial.precision, trial.device)
    upright = replace(bundle.input, rotation=0)  # as the simulator's camera is mounted
    policy = PolicyDriver(Policy(backend, bundle.zero_state()), Preprocess(upright),
                          clear_state=trial.driver == 'cleared')
    return ShadowDriver(ExpertDriver(), policy) if trial.driver == 'watcher' else policy


@lru_cache(maxsize=None)
def _open_backend(name: str, precision: str, device: str) -> Any:
    from ...backends import open_backend
    return open_backend(name, _worker['bundle'], precision, device)
