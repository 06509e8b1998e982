"""How far two models agree on the same frames, and how far each is from what was right."""

from typing import Any, Dict, Optional

import numpy as np

from ....bundle.manifest import AXES
from ....errors import SettingError

ALIVE = 1e-3  # m/s: actions that vary by less hardly depend on the picture
STILL = 1e-9  # m/s: the deviation of what does not change but for rounding


def axis_names(actions: np.ndarray) -> list:
    """Name the columns of actions [N, actions]."""
    count = actions.shape[1]
    return list(AXES) if count == len(AXES) else [f'action {number}' for number in range(count)]


def agreement(ours: np.ndarray, theirs: np.ndarray) -> Dict[str, Any]:
    """
    Compare actions [N, actions] of two models on the same frames, m/s.

    `mean` and `max` are of the worse axis, since a robot drives on both; None where an action is
    not finite.
    """
    if ours.shape != theirs.shape:
        raise SettingError(f'A gives {ours.shape[1]} numbers and B {theirs.shape[1]}',
                           'models with the same actions')
    axes = {name: _axis(ours[:, number], theirs[:, number])
            for number, name in enumerate(axis_names(ours))}
    return {'axes': axes, 'frames': len(ours),
            'mean': _worst(axes, 'mean'), 'max': _worst(axes, 'max'),
            'finite': bool(np.isfinite(ours).all() and np.isfinite(theirs).all()),
            'alive': bool(np.ptp(ours, axis=0).max() >= ALIVE)}


def _axis(ours: np.ndarray, theirs: np.ndarray) -> Dict[str, Any]:
    ours, theirs = ours.astype(float), theirs.astype(float)
    difference = np.abs(ours - theirs)
    if not np.isfinite(difference).all():
        return {'mean': None, 'max': None, 'correlation': None}
    return {'mean': float(difference.mean()), 'max': float(difference.max()),
            'correlation': _correlation(ours, theirs)}


def _worst(axes: Dict[str, Dict[str, Any]], figure: str) -> Optional[float]:
    """Return the largest of a figure; None when an axis has none."""
    values = [axis[figure] for axis in axes.values()]
    return None if None in values else max(values)


def _correlation(ours: np.ndarray, theirs: np.ndarray) -> Optional[float]:
    """Return Pearson's correlation; None where one of them never changes."""
    if not min(ours.std(), theirs.std()) > STILL:
        return None
    return float(np.corrcoef(ours, theirs)[0, 1])


def action_mae(actions: np.ndarray, labels: Optional[np.ndarray]) -> Optional[float]:
    """Return the mean absolute error to the labels, m/s; None without labels or finite actions."""
    if labels is None:
        return None
    if labels.shape != actions.shape:
        raise SettingError(f'labels of {labels.shape[1]} numbers',
                           f'{actions.shape[1]}, as the models give')
    error = float(np.abs(actions - labels).mean())
    return error if np.isfinite(error) else None
