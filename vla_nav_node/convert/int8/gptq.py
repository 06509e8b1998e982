"""Round weights one row after another, each compensating the errors of those before it (GPTQ)."""

from typing import Tuple

import numpy as np

# Share of the inputs' mean power added to each input's own, as in the paper: inputs that hardly
# vary in the frames must not carry the errors of all others.
DAMPING = 0.01


def compensated(weight: np.ndarray, inputs: np.ndarray, most: int, block: int
                ) -> Tuple[np.ndarray, np.ndarray]:
    """
    Round float32 [K, N] so that its product with `inputs` (float32 [..., K]) changes little.

    This is GPTQ (Frantar et al., 2023, arXiv:2210.17323): rows are rounded in order, and the error
    of each is subtracted from those to come, as far as their inputs correlate. Those of a
    recurrent policy do: a handful of directions holds nearly all that it meets on a drive, and
    4 bits then cost about as little as 8.

    Return whole numbers from -most to most, float32 [K, N], and the scale of each `block` of rows,
    float32 [K / block, N].
    """
    rest = weight.astype(np.float32)
    factor = _error_factor(inputs.reshape(-1, len(rest)))
    rounded, scales = np.empty_like(rest), []
    for start in range(0, len(rest), block):
        part = slice(start, min(start + block, len(rest)))
        scales.append(scale_of(rest[part], most))
        rounded[part], errors = _round_block(rest[part], factor[part, part], scales[-1], most)
        rest[part.stop:] -= factor[part, part.stop:].T @ errors
    return rounded, np.array(scales)


def _error_factor(inputs: np.ndarray) -> np.ndarray:
    """Return the upper Cholesky factor of (X'X + damping)^-1, [K, K]: how errors are passed on."""
    power = inputs.T.astype(float) @ inputs
    mean = np.trace(power) / len(power)
    power[np.diag_indices_from(power)] += DAMPING * mean if mean > 0 else 1.0
    return np.linalg.cholesky(np.linalg.inv(power)).T.astype(np.float32)


def scale_of(rows: np.ndarray, most: int) -> np.ndarray:
    """Return the scale by which each column of [..., K, N] is at most `most`: [..., N]."""
    scale = np.abs(rows).max(axis=-2) / most
    return np.where(scale > 0, scale, 1).astype(np.float32)


def _round_block(rows: np.ndarray, factor: np.ndarray, scale: np.ndarray, most: int
                 ) -> Tuple[np.ndarray, np.ndarray]:
    """Round the rows of one block; return them and the errors for the rows behind the block."""
    rest, rounded, errors = rows.copy(), np.empty_like(rows), np.empty_like(rows)
    for index, row in enumerate(rest):
        rounded[index] = np.clip(np.rint(row / scale), -most, most)
        errors[index] = (row - rounded[index] * scale) / factor[index, index]
        rest[index + 1:] -= np.outer(factor[index, index + 1:], errors[index])
    return rounded, errors
