"""The latencies of every cycle: recorded in microseconds, summarised on request."""

from dataclasses import dataclass
from struct import Struct
from threading import Lock
from typing import Dict, NamedTuple, Sequence, Tuple

import numpy as np

# The order is a contract: it is the order of `data` in the topic ~/latency.
# All in ms except `used`, the share of the control period that the cycle took.
FIELDS = ('cycle', 'deserialise', 'decode', 'preprocess', 'infer', 'gate', 'publish', 'age',
          'used')
QUANTILES = (50, 95, 99)


class Percentiles(NamedTuple):
    """The distribution of some values, in their unit."""

    p50: float
    p95: float
    p99: float
    most: float

    @classmethod
    def from_values(cls, values: Sequence[float]) -> 'Percentiles':
        """Return the percentiles of at least one value."""
        return cls(*map(float, np.percentile(values, (*QUANTILES, 100))))


@dataclass(frozen=True)
class Summary:
    """The cycles of the sliding window, and the totals since the start."""

    fields: Dict[str, Percentiles]  # empty without a cycle in the window
    cycles: int  # in the window
    misses: int  # of those, longer than their control period
    rate: float  # cycles per second in the window
    total_cycles: int
    total_misses: int


class LatencyRecorder:
    """The newest cycles, in a ring buffer that is allocated once."""

    def __init__(self, window_s: float = 30.0, capacity: int = 4096) -> None:
        """Summarise the last `window_s` seconds, or the last `capacity` cycles if fewer."""
        self.window_s = window_s
        self.total_cycles = 0
        self.total_misses = 0
        self._rows = np.zeros((capacity, 1 + len(FIELDS)))  # time, then the fields
        self._row = Struct(f'{1 + len(FIELDS)}d')  # faster than through NumPy
        self._memory = self._rows.data.cast('B')
        self._lock = Lock()  # against a summary that reads half a row

    def record(self, now_s: float, values: Sequence[float]) -> None:
        """Record one cycle: `values` in the order of FIELDS, `now_s` of a monotonic clock."""
        with self._lock:
            index = self.total_cycles % len(self._rows)
            self._row.pack_into(self._memory, index * self._row.size, now_s, *values)
            self.total_cycles += 1
            self.total_misses += values[-1] > 1.0

    def rows_since(self, count: int) -> Tuple[int, np.ndarray]:
        """
        Return the number of cycles, and those after the first `count`, oldest first.

        Each row has the time and the values of `record`; the ring may have lost the oldest.
        """
        with self._lock:
            total = self.total_cycles
            first = max(count, total - len(self._rows))
            return total, self._rows.take(range(first, total), axis=0, mode='wrap')

    def summary(self, now_s: float) -> Summary:
        """Return percentiles and misses of the window that ends at `now_s`."""
        with self._lock:
            rows = self._rows[:self.total_cycles].copy()
            totals = (self.total_cycles, int(self.total_misses))
        rows = rows[rows[:, 0] > now_s - self.window_s]
        if not len(rows):
            return Summary({}, 0, 0, 0.0, *totals)
        # All fields at once take a quarter of the time, which holds the interpreter up.
        quantiles = np.percentile(rows[:, 1:], (*QUANTILES, 100), axis=0)
        fields = {name: Percentiles(*column) for name, column in zip(FIELDS, quantiles.T)}
        span_s = now_s - rows[:, 0].min()
        return Summary(fields, len(rows), int((rows[:, -1] > 1.0).sum()),
                       len(rows) / span_s if span_s > 0.0 else 0.0, *totals)
