"""The closed loop on paired seeds: what a conversion costs in episodes, and in metres."""

import math
from typing import Any, Dict, List, Sequence, Tuple

import numpy as np

from .success_rate import wilson_interval
from .trials import Result, run_trials, Trial
from ...bundle.bundle import Bundle
from ...bundle.verdicts import REFERENCE


def drive_pairs(bundle: Bundle, rows: Sequence[Tuple[str, str, str]], seeds: Sequence[int],
                workers: int) -> List[Dict[str, Any]]:
    """Drive the reference and each (backend, precision, device) on `seeds`; compare each."""
    name, precision = REFERENCE
    reference = Trial(f'{name} {precision}', 'policy', name, precision=precision)
    trials = [Trial(f'{backend} {precision}', 'policy', backend, precision=precision,
                    device=device) for backend, precision, device in rows]
    results = run_trials(bundle, [reference, *trials], seeds, None, workers)
    return [compare_pairs(results[reference], results[trial]) for trial in trials]


def compare_pairs(reference: Sequence[Result], converted: Sequence[Result]) -> Dict[str, Any]:
    """Compare two drivers episode by episode; both lists are in the same order of seeds."""
    pairs = [(first.outcome == 'reached', second.outcome == 'reached')
             for first, second in zip(reference, converted)]
    both, only_reference, only_converted, neither = (
        pairs.count(pair) for pair in ((True, True), (True, False), (False, True),
                                       (False, False)))
    count = len(pairs)
    low, high = paired_interval(both, only_reference, only_converted, neither)
    mean, largest = np.transpose([path_deviation(first.path, second.path)
                                  for first, second in zip(reference, converted)])
    return {'seeds': [reference[0].seed, reference[-1].seed], 'episodes': count,
            'reference': _rate(both + only_reference, count),
            'success': _rate(both + only_converted, count),
            'lost': round((only_reference - only_converted) / count, 4),
            'lost_interval95': [round(low, 4), round(high, 4)],
            'only_reference': only_reference, 'only_this': only_converted,
            'mcnemar_p': round(mcnemar_p(only_reference, only_converted), 4),
            'path_deviation_m': {'mean': round(float(mean.mean()), 4),
                                 'max': round(float(largest.max()), 4)}}


def path_deviation(path: Sequence[Tuple[float, float]],
                   other: Sequence[Tuple[float, float]]) -> Tuple[float, float]:
    """Return the mean and the largest distance of two paths at equal times, in m."""
    steps = min(len(path), len(other))
    apart = np.linalg.norm(np.asarray(path[:steps]) - np.asarray(other[:steps]), axis=1)
    return float(apart.mean()), float(apart.max())


def paired_interval(both: int, first: int, second: int, neither: int) -> Tuple[float, float]:
    """
    Return the 95 % interval of (first - second) / n, the difference of two paired shares.

    Newcombe 1998, "Improved confidence intervals for the difference between binomial proportions
    based on paired data", method 10: Wilson's intervals, with their correlation.
    """
    count = both + first + second + neither
    share, other = (both + first) / count, (both + second) / count
    low, high = wilson_interval(both + first, count)
    other_low, other_high = wilson_interval(both + second, count)
    phi = _correlation(both, first, second, neither)
    down, up = share - low, high - share
    other_down, other_up = other - other_low, other_high - other
    below = math.sqrt(max(0.0, down ** 2 - 2 * phi * down * other_up + other_up ** 2))
    above = math.sqrt(max(0.0, up ** 2 - 2 * phi * up * other_down + other_down ** 2))
    return share - other - below, share - other + above


def _correlation(both: int, first: int, second: int, neither: int) -> float:
    margins = (both + first) * (second + neither) * (both + second) * (first + neither)
    if not margins:
        return 0.0
    product = float(both * neither - first * second)
    if product > 0:  # Newcombe's correction for continuity
        product = max(product - (both + first + second + neither) / 2, 0.0)
    return product / math.sqrt(margins)


def mcnemar_p(first: int, second: int) -> float:
    """Return the two-sided p of McNemar's exact test, given both counts of discordant pairs."""
    from scipy.stats import binomtest  # as in wilson_interval
    return float(binomtest(first, first + second).pvalue) if first + second else 1.0


def _rate(reached: int, count: int) -> Dict[str, Any]:
    low, high = wilson_interval(reached, count)
    return {'reached': round(reached / count, 4), 'interval95': [round(low, 4), round(high, 4)]}
