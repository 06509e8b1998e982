"""Two sides of a comparison: a score by a printed formula, and a verdict on B in A's place."""

from dataclasses import dataclass
import math
from typing import Any, Dict, List, Mapping, NamedTuple, Optional

import numpy as np

from .matrix import device_of

Side = Dict[str, Any]
WEIGHTS = {'quality': 0.5, 'speed': 0.25, 'memory': 0.15, 'size': 0.10}
HALF = 0.05  # m/s: the error of the shipped policy against its teacher; such a difference is half
FORMULA = (
    'score = ' + ' x '.join(f'{name}^{weight:g}' for name, weight in WEIGHTS.items()) + ', each '
    'from 0 to 1, so that no speed makes up for lost quality. speed, memory, size: the less of '
    'the two sides / own (p95 of a step, own memory, model file). quality with labels: the less '
    f'MAE / own MAE; without: 1 for A, and for B 1 / (1 + mean difference / {HALF:g} m/s)')
LEAST_MAE = 1e-6  # m/s, so that the MAE of a perfect side can be divided by


class Comparison(NamedTuple):
    """The figures of both sides, and the arrays that the plot shows."""

    sides: Dict[str, Side]  # 'A' and 'B'
    quality: Dict[str, Any]
    actions: List[np.ndarray]  # float32 [N, actions] of each side
    labels: Optional[np.ndarray]  # float32 [N, actions]
    ms: List[np.ndarray]  # the steps of each side


@dataclass(frozen=True)
class Verdict:
    """Whether B may take A's place: `problems` say why not; `notes` explain the figures."""

    good: bool
    text: str
    problems: List[str]
    notes: List[str]


def same_device(sides: Mapping[str, Side]) -> bool:
    """Return whether both sides ran on the same device, so that their times compare."""
    return len({device_of(side) for side in sides.values()}) == 1


def scores(sides: Mapping[str, Side], quality: Dict[str, Any]
           ) -> Optional[Dict[str, Dict[str, float]]]:
    """Return the parts and the score of each side; None if their times do not compare."""
    if not same_device(sides):
        return None
    parts = _quality(sides, quality)
    for name, cost in (('speed', lambda side: side['latency']['p95']),
                       ('memory', lambda side: side['memory']['own']),
                       ('size', lambda side: side['file_mb'])):
        costs = {key: max(cost(side), 1e-9) for key, side in sides.items()}
        for key in sides:
            parts[key][name] = min(costs.values()) / costs[key]
    for part in parts.values():
        part['score'] = math.prod(part[name] ** weight for name, weight in WEIGHTS.items())
    return parts


def _quality(sides: Mapping[str, Side], quality: Dict[str, Any]) -> Dict[str, Dict[str, float]]:
    errors = {key: side['action_mae'] for key, side in sides.items()}
    if None not in errors.values():
        errors = {key: max(error, LEAST_MAE) for key, error in errors.items()}
        return {key: {'quality': min(errors.values()) / error} for key, error in errors.items()}
    mean = quality['mean'] if quality['finite'] else math.inf
    return {'A': {'quality': 1.0}, 'B': {'quality': 1.0 / (1.0 + mean / HALF)}}


def judge(sides: Mapping[str, Side], quality: Dict[str, Any], tolerance: float) -> Verdict:
    """Return the verdict: B must not lose more than `tolerance`, m/s; its text has the costs."""
    problems = _losses(sides, quality, tolerance)
    if problems:
        text = 'B must not take the place of A: ' + '; '.join(problems)
    else:
        text = f'B keeps the quality of A within {tolerance:g} m/s'
        text += f': {_costs(sides["A"], sides["B"])}' if same_device(sides) else ''
    return Verdict(not problems, text, problems, _notes(sides, quality))


def _losses(sides: Mapping[str, Side], quality: Dict[str, Any], tolerance: float) -> List[str]:
    if not quality['finite']:
        return ['the actions of one of them are not finite']
    before, after = sides['A']['action_mae'], sides['B']['action_mae']
    if before is not None:
        return [f'its action MAE is {after:.4f} m/s against {before:.4f}, more than '
                f'{tolerance:g} worse'] if after > before + tolerance else []
    return [f'its actions differ by {quality["mean"]:.4f} m/s in the mean (at most '
            f'{quality["max"]:.4f}), and {tolerance:g} are allowed'] \
        if quality['mean'] > tolerance else []


def _costs(a: Side, b: Side) -> str:
    ratios = {'time (p50)': b['latency']['p50'] / a['latency']['p50'],
              'time (p95)': b['latency']['p95'] / a['latency']['p95'],
              'memory': b['memory']['own'] / max(a['memory']['own'], 1e-9),
              'file': b['file_mb'] / a['file_mb']}
    text = ', '.join(f'{ratio:.2f} of its {name}' for name, ratio in ratios.items())
    gained = min(ratios.values()) < 0.95
    return f'it takes {text}' + ('' if gained else '. Nothing is gained by it')


def _notes(sides: Mapping[str, Side], quality: Dict[str, Any]) -> List[str]:
    notes = []
    if not same_device(sides):
        notes.append(f'A ran on {sides["A"]["device"]} and B on {sides["B"]["device"]}: their '
                     'times do not compare, and there is no score')
    notes += [f'{key} carries no state: each of its steps starts from zero, as if the robot had '
              'seen nothing before' for key, side in sides.items() if not side['carries_state']]
    if not quality['alive']:
        notes.append("A's actions hardly change over these frames: that B agrees proves nothing")
    return notes
