"""Whether a picture shows nothing: a covered lens, black, white, noise."""

import cv2
import numpy as np

# is_blank divides a picture into parts, and samples about so many of its rows and columns.
ROWS, COLUMNS = 6, 8
SAMPLED_ROWS, SAMPLED_COLUMNS = 24, 64
# The parts have to differ by this many grey levels in a channel; an eighth of them at either end
# does not count, which leaves room for hot pixels and a clock in a corner. Noise of 0 to 5 levels
# gives at most 1. Of 4,068 pictures of 200 episodes of the simulator each gives 24 or more, and 3
# or more at a tenth of the light.
LEAST_SPREAD = 2
_OUTLIERS = ROWS * COLUMNS // 8


def is_blank(picture: np.ndarray) -> bool:
    """Return whether `picture` (uint8 [H, W, 3]) is one colour but for noise and small marks."""
    height, width = picture.shape[:2]
    sampled = picture[::max(1, height // SAMPLED_ROWS), ::max(1, width // SAMPLED_COLUMNS)]
    parts = cv2.resize(np.ascontiguousarray(sampled), (COLUMNS, ROWS),
                       interpolation=cv2.INTER_AREA)
    levels = np.sort(parts.reshape(-1, 3), axis=0)
    spread = levels[-1 - _OUTLIERS].astype(int) - levels[_OUTLIERS]
    return bool(spread.max() < LEAST_SPREAD)
