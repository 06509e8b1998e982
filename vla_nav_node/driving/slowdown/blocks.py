"""The watched times, in blocks of about a second."""

from statistics import median
from typing import Dict, List, NamedTuple, Optional

from ..latency_recorder import FIELDS, LatencyRecorder

LEAST_CYCLES = 10  # of a block
MOST_S = 5.0  # of a block; with fewer pictures than that the node is not watched
INFER, PREPARE = 'infer', 'prepare'
# As sums of fields: the model, and what comes before it, which grows with the pictures.
WATCHED = {INFER: ('infer',), PREPARE: ('deserialise', 'decode', 'preprocess')}
COLUMNS = {name: tuple(1 + FIELDS.index(field) for field in fields)
           for name, fields in WATCHED.items()}
INFER_COLUMN = COLUMNS[INFER][0]


class Block(NamedTuple):
    """The medians of about a second of cycles."""

    at_s: float  # its end
    seconds: float  # of driving
    medians: Dict[str, float]  # of each watched time, ms


class Blocks:
    """Makes blocks of what a LatencyRecorder records."""

    def __init__(self, latency: LatencyRecorder) -> None:
        """Begin with the next cycle."""
        self._latency = latency
        self._seen = latency.total_cycles
        self._rows: List[List[float]] = []  # lists: for so few, NumPy takes longer

    def take(self, now_s: float) -> Optional[Block]:
        """Return the block of the cycles since the last one; None while they are too few."""
        self._seen, new = self._latency.rows_since(self._seen)
        # A cycle that failed before infer has no time of it.
        rows = [row for row in self._rows + new.tolist()
                if row[0] > now_s - MOST_S and row[INFER_COLUMN] > 0.0]
        if len(rows) < LEAST_CYCLES:
            self._rows = rows
            return None
        self._rows = []
        seconds = (rows[-1][0] - rows[0][0]) * len(rows) / (len(rows) - 1)
        return Block(now_s, seconds, {
            name: median(sum(row[column] for column in columns) for row in rows)
            for name, columns in COLUMNS.items()})
