"""Closed loops on paired seeds: what a conversion costs in episodes, and in metres."""

import math
from typing import Any, Dict, List, Sequence, Tuple

import numpy as np

from .success_rate import wilson
from .trials import Result, run_trials, Trial
from ...bundle.bundle import Bundle
from ...bundle.verdicts import REFERENCE


def drive_pairs(bundle: Bundle, rows: Sequence[Tuple[str, str, str]], seeds: Sequence[int],
                workers: int) -> List[Dict[str, Any]]:
    """Drive the reference and each (backend, precision, device) on `seeds`; figures of each."""
    name, precision = REFERENCE
    reference = Trial(f'{name} {precision}', 'policy', name, precision=precision)
    trials = [Trial(f'{backend} {precision}', 'policy', backend, precision=precision,
                    device=device) for backend, precision, device in rows]
    results = run_trials(bundle, [reference, *trials], seeds, None, workers)
    return [pair_up(results[reference], results[trial]) for trial in trials]


def pair_up(reference: Sequence[Result], converted: Sequence[Result]) -> Dict[str, Any]:
    """Compare two drivers episode by episode; both lists are in the same order of seeds."""
    pairs = [(one.outcome == 'reached', other.outcome == 'reached')
             for one, other in zip(reference, converted)]
    both, only_reference, only_converted, neither = (
        pairs.count(pair) for pair in ((True, True), (True, False), (False, True),
                                       (False, False)))
    count = len(pairs)
    low, high = paired_interval(both, only_reference, only_converted, neither)
    off = np.array([deviation(one.path, other.path)
                    for one, other in zip(reference, converted)])
    return {'seeds': [reference[0].seed, reference[-1].seed], 'episodes': count,
            'reference': _rate(both + only_reference, count),
            'success': _rate(both + only_converted, count),
            'lost': round((only_reference - only_converted) / count, 4),
            'lost_interval95': [round(low, 4), round(high, 4)],
            'only_reference': only_reference, 'only_this': only_converted,
            'mcnemar_p': round(mcnemar(only_reference, only_converted), 4),
            'path_deviation_m': {'mean': round(float(off[:, 0].mean()), 4),
                                 'max': round(float(off[:, 1].max()), 4)}}


def deviation(path: Sequence[Tuple[float, float]],
              other: Sequence[Tuple[float, float]]) -> Tuple[float, float]:
    """Return the mean and the largest distance of two paths at equal times, in m."""
    steps = min(len(path), len(other))
    apart = np.linalg.norm(np.asarray(path[:steps]) - np.asarray(other[:steps]), axis=1)
    return float(apart.mean()), float(apart.max())


def paired_interval(both: int, first: int, second: int, neither: int) -> Tuple[float, float]:
    """
    Give the 95 % interval of (first - second) / n, the difference of two paired shares.

    Newcombe 1998, "Improved confidence intervals for the difference between binomial proportions
    based on paired data", method 10: Wilson's intervals, with their correlation.
    """
    count = both + first + second + neither
    one, other = (both + first) / count, (both + second) / count
    (low, high), (other_low, other_high) = wilson(both + first, count), wilson(both + second,
                                                                               count)
    phi = _correlation(both, first, second, neither)
    down, up = one - low, high - one
    other_down, other_up = other - other_low, other_high - other
    below = math.sqrt(max(0.0, down ** 2 - 2 * phi * down * other_up + other_up ** 2))
    above = math.sqrt(max(0.0, up ** 2 - 2 * phi * up * other_down + other_down ** 2))
    return one - other - below, one - other + above


def mcnemar(first: int, second: int) -> float:
    """Return the exact two-sided p that the discordant pairs fall so unevenly by chance."""
    count = first + second
    tail = sum(math.comb(count, k) for k in range(min(first, second) + 1)) / 2 ** count
    return min(1.0, 2 * tail)


def _correlation(both: int, first: int, second: int, neither: int) -> float:
    margins = (both + first) * (second + neither) * (both + second) * (first + neither)
    if not margins:
        return 0.0
    count = both + first + second + neither
    product = float(both * neither - first * second)
    if product > 0:
        product = max(product - count / 2, 0.0)  # Newcombe's correction for continuity
    return product / math.sqrt(margins)


def _rate(reached: int, count: int) -> Dict[str, Any]:
    low, high = wilson(reached, count)
    return {'reached': round(reached / count, 4), 'interval95': [round(low, 4), round(high, 4)]}
