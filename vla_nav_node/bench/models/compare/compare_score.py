"""One number for each side, by a formula that is printed, and a verdict that does not hide."""

from dataclasses import dataclass
import math
from typing import Any, Dict, List, Mapping, Optional

from ..side_by_side.figures import device_of

WEIGHTS = {'quality': 0.5, 'speed': 0.25, 'memory': 0.15, 'size': 0.10}
HALF = 0.05  # m/s: what the shipped policy itself is off its teacher; such a difference is half
FORMULA = (
    'score = ' + ' x '.join(f'{name}^{weight:g}' for name, weight in WEIGHTS.items()) + ', each '
    'from 0 to 1, so that no speed makes up for lost quality. speed, memory, size: the less of '
    'the two sides / own (p95 of a step, own memory, model file). quality with labels: the less '
    f'MAE / own MAE; without: 1 for A, and for B 1 / (1 + mean difference / {HALF:g} m/s)')
LEAST_MAE = 1e-6  # m/s, so that a perfect side divides


@dataclass(frozen=True)
class Verdict:
    """May B take A's place? `problems` say why not; `notes` what to know of the figures."""

    good: bool
    text: str
    problems: List[str]
    notes: List[str]


def scores(sides: Mapping[str, Dict[str, Any]], quality: Dict[str, Any]
           ) -> Optional[Dict[str, Dict[str, float]]]:
    """Return each side's parts and score; None where their times cannot be compared."""
    if not same_device(sides):
        return None
    parts = _quality(sides, quality)
    for name, cost in (('speed', lambda side: side['latency']['p95']),
                       ('memory', lambda side: side['memory']['own']),
                       ('size', lambda side: side['file_mb'])):
        costs = {key: max(cost(side), 1e-9) for key, side in sides.items()}
        for key in sides:
            parts[key][name] = min(costs.values()) / costs[key]
    for found in parts.values():
        found['score'] = math.prod(found[name] ** weight for name, weight in WEIGHTS.items())
    return parts


def _quality(sides: Mapping[str, Dict[str, Any]], quality: Dict[str, Any]
             ) -> Dict[str, Dict[str, float]]:
    errors = {key: side['action_mae'] for key, side in sides.items()}
    if None not in errors.values():
        errors = {key: max(error, LEAST_MAE) for key, error in errors.items()}
        return {key: {'quality': min(errors.values()) / error} for key, error in errors.items()}
    mean = quality['mean'] if quality['finite'] else math.inf
    return {'A': {'quality': 1.0}, 'B': {'quality': 1.0 / (1.0 + mean / HALF)}}


def same_device(sides: Mapping[str, Dict[str, Any]]) -> bool:
    """Tell whether both sides ran on the same device: only then do their times compare."""
    return len({device_of(side) for side in sides.values()}) == 1


def judge(sides: Mapping[str, Dict[str, Any]], quality: Dict[str, Any],
          tolerance: float) -> Verdict:
    """Say whether B may take A's place: it must not lose quality; the rest is told as it is."""
    problems = _lost(sides, quality, tolerance)
    notes = _notes(sides, quality)
    text = 'B must not take the place of A: ' + '; '.join(problems) if problems else \
        f'B keeps the quality of A within {tolerance:g} m/s'
    if not problems and same_device(sides):
        text += f': {_costs(sides)}'
    return Verdict(not problems, text, problems, notes)


def _lost(sides: Mapping[str, Dict[str, Any]], quality: Dict[str, Any],
          tolerance: float) -> List[str]:
    if not quality['finite']:
        return ['one of them gives numbers that are not finite']
    before, after = sides['A']['action_mae'], sides['B']['action_mae']
    if before is not None:
        return [f'its action MAE is {after:.4f} m/s against {before:.4f}, more than '
                f'{tolerance:g} worse'] if after > before + tolerance else []
    return [f'its actions differ by {quality["mean"]:.4f} m/s in the mean (at most '
            f'{quality["max"]:.4f}), and {tolerance:g} are allowed'] \
        if quality['mean'] > tolerance else []


def _costs(sides: Mapping[str, Dict[str, Any]]) -> str:
    a, b = sides['A'], sides['B']
    ratios = {'time (p50)': b['latency']['p50'] / a['latency']['p50'],
              'time (p95)': b['latency']['p95'] / a['latency']['p95'],
              'memory': b['memory']['own'] / max(a['memory']['own'], 1e-9),
              'file': b['file_mb'] / a['file_mb']}
    text = ', '.join(f'{ratio:.2f} of its {name}' for name, ratio in ratios.items())
    gained = min(ratios.values()) < 0.95
    return f'it takes {text}' + ('' if gained else '. Nothing is gained by it')


def _notes(sides: Mapping[str, Dict[str, Any]], quality: Dict[str, Any]) -> List[str]:
    notes = []
    if not same_device(sides):
        notes.append('A ran on {A} and B on {B}: their times say nothing about each other, and '
                     'there is no score'.format(**{key: side['device']
                                                   for key, side in sides.items()}))
    notes += [f'{key} carries no state: each of its steps starts from zero, as if the robot had '
              'seen nothing before' for key, side in sides.items() if not side['carries_state']]
    if not quality['alive']:
        notes.append("A's actions hardly change over these frames: that B agrees proves nothing")
    return notes
