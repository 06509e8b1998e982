"""Both sides opened, run on the same frames, timed in turns."""

from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Dict, List, NamedTuple, Sequence

import numpy as np

from ..runners.contestant import Contestant
from ..side_by_side import figures
from ..side_by_side.agreement import action_mae, agreement
from ..side_by_side.bench_pictures import load_pictures, Pictures
from ..side_by_side.contender import Contender
from ..side_by_side.rounds import take_turns
from ....bundle.bundle import load_bundle
from ....convert.frames.calibrated import Calibrated
from ....system.progress import progress
from ....vision.preprocess import InputSpec


@dataclass(frozen=True)
class Plan:
    """What is measured on what."""

    frames: str
    count: int
    seed: int
    warm_up: int
    runs: int


class Result(NamedTuple):
    """Figures of both sides, and what pictures are drawn from."""

    sides: Dict[str, Any]  # 'A' and 'B'
    quality: Dict[str, Any]
    actions: List[np.ndarray]  # float32 [N, actions] of each side
    labels: Any  # float32 [N, actions] or None
    ms: List[np.ndarray]  # each side's steps


def compare(contestants: Sequence[Contestant], plan: Plan) -> Result:
    """Open each in a process of its own and measure them; raise VlaNavError when one cannot be."""
    with ExitStack() as stack:
        contenders = []
        for contestant in contestants:
            contenders.append(Contender(contestant))
            stack.callback(contenders[-1].close)
        pictures = _pictures(contenders, plan)
        return _measure(contenders, pictures, plan)


def _measure(contenders: Sequence[Contender], pictures: Sequence[Pictures], plan: Plan) -> Result:
    with progress() as bar:
        advance = bar('the same frames', len(contenders))
        actions = []
        for contender, seen in zip(contenders, pictures):
            contender.show(seen.frames)
            actions.append(contender.actions(seen.starts))
            advance(1)
        for contender in contenders:
            contender.run(plan.warm_up, 0)
        spans = take_turns(contenders, plan.runs, 0.0,
                           bar('timing', plan.runs * len(contenders)))
    sides = {key: {**figures.describe(contender), 'latency': figures.latency(span),
                   'action_mae': action_mae(mine, seen.actions)}
             for key, contender, span, mine, seen
             in zip('AB', contenders, spans, actions, pictures)}
    return Result(sides, agreement(*actions), actions, pictures[0].actions,
                  [span.ms for span in spans])


def _pictures(contenders: Sequence[Contender], plan: Plan) -> List[Pictures]:
    """Return each the same frames at its own size; read once where the sizes are the same."""
    specs = [_spec(contender) for contender in contenders]
    calibrated = Calibrated(
        (load_bundle(one.path), one.precision) for one in
        (contender.contestant for contender in contenders) if one.kind == 'bundle')
    loaded = {spec: load_pictures(plan.frames, spec, plan.count, plan.seed, calibrated)
              for spec in dict.fromkeys(specs)}
    return [loaded[spec] for spec in specs]


def _spec(contender: Contender) -> InputSpec:
    """Return how a contender's pictures are made: as its bundle says, else as its recipe."""
    contestant = contender.contestant
    if contestant.kind == 'bundle':
        return load_bundle(contestant.path).input
    height, width = contender.opened.size
    recipe = contestant.recipe
    return InputSpec(height, width, recipe.fit, recipe.resize, recipe.rotation)
