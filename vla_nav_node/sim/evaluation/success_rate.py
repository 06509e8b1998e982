"""What the episodes of an evaluation amount to, and whether that is good enough."""

from collections import Counter
import math
from typing import Any, Dict, List, Sequence, Tuple

import numpy as np

from .trials import Result, Trial

WANTED = 0.97  # share of episodes that reach the cup
NEAR = 0.05  # how far the other conditions may be off the rate at 30 Hz


def summarise(trial: Trial, results: Sequence[Result]) -> Dict[str, Any]:
    """Count outcomes; the success rate with its 95 % confidence interval."""
    outcomes = Counter(result.outcome for result in results)
    reached, count = outcomes['reached'], len(results)
    low, high = wilson(reached, count)
    times = [result.time for result in results if result.outcome == 'reached']
    figures = {'trial': trial.name, 'driver': trial.driver, 'backend': trial.backend,
               'frame_rate': trial.frame_rate, 'frame_loss': trial.frame_loss,
               'episodes': count, 'success': round(reached / count, 4),
               'interval95': [round(low, 4), round(high, 4)],
               'contact': outcomes['contact'], 'timeout': outcomes['timeout'],
               'median_time_s': round(float(np.median(times)), 2) if times else None}
    if trial.driver == 'watcher':
        figures['action_mae'] = round(float(np.mean([one.error for one in results])), 4)
    return figures


def wilson(successes: int, trials: int, z: float = 1.96) -> Tuple[float, float]:
    """Return Wilson's score interval (Wilson 1927), which holds near 0 and 1 too."""
    share = successes / trials
    centre = share + z * z / (2 * trials)
    spread = z * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials))
    scale = 1 + z * z / trials
    return max(0.0, (centre - spread) / scale), min(1.0, (centre + spread) / scale)


def verdict(figures: Sequence[Dict[str, Any]]) -> List[str]:
    """List what is not good enough; empty when the policy passes."""
    policy = [row for row in figures if row['driver'] == 'policy']
    plain = [row for row in policy if row['frame_rate'] == 30.0 and not row['frame_loss']]
    short = [f'{row["trial"]}: {row["success"]:.1%} is under {WANTED:.0%}'
             for row in plain if row['success'] < WANTED]
    reference = plain[0]['success']
    return short + [
        f'{row["trial"]}: {row["success"]:.1%} is over {NEAR:.0%} off {reference:.1%}'
        for row in policy if abs(row['success'] - reference) > NEAR]
