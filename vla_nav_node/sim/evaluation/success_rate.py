"""The figures of an evaluation, and whether they are good enough."""

from collections import Counter
from typing import Any, Dict, List, Sequence, Tuple

import numpy as np

from .trials import Result, Trial

REQUIRED_SUCCESS = 0.97  # share of episodes that reach the cup
MAX_DIFFERENCE = 0.05  # of the success rate under other conditions from that at 30 Hz


def summarise(trial: Trial, results: Sequence[Result]) -> Dict[str, Any]:
    """Count the outcomes; return them with the success rate and its 95 % interval."""
    outcomes = Counter(result.outcome for result in results)
    reached, count = outcomes['reached'], len(results)
    low, high = wilson_interval(reached, count)
    times = [result.time for result in results if result.outcome == 'reached']
    figures = {'trial': trial.name, 'driver': trial.driver, 'backend': trial.backend,
               'frame_rate': trial.frame_rate, 'frame_loss': trial.frame_loss,
               'episodes': count, 'success': round(reached / count, 4),
               'interval95': [round(low, 4), round(high, 4)],
               'contact': outcomes['contact'], 'timeout': outcomes['timeout'],
               'median_time_s': round(float(np.median(times)), 2) if times else None}
    if trial.driver == 'watcher':
        figures['action_mae'] = round(float(np.mean([result.error for result in results])), 4)
    return figures


def wilson_interval(successes: int, trials: int) -> Tuple[float, float]:
    """Return Wilson's 95 % score interval (Wilson 1927), which holds near 0 and 1 too."""
    from scipy.stats import binomtest  # slow to import, and --help does not need it
    low, high = binomtest(successes, trials).proportion_ci(method='wilson')
    return float(low), float(high)


def shortcomings(figures: Sequence[Dict[str, Any]]) -> List[str]:
    """List what is not good enough; empty when the policy passes."""
    policy = [row for row in figures if row['driver'] == 'policy']
    plain = [row for row in policy if row['frame_rate'] == 30.0 and not row['frame_loss']]
    short = [f'{row["trial"]}: {row["success"]:.1%} is under {REQUIRED_SUCCESS:.0%}'
             for row in plain if row['success'] < REQUIRED_SUCCESS]
    reference = plain[0]['success']
    return short + [
        f'{row["trial"]}: {row["success"]:.1%} is over {MAX_DIFFERENCE:.0%} off {reference:.1%}'
        for row in policy if abs(row['success'] - reference) > MAX_DIFFERENCE]
