"""When to run the policy on the last picture, so that the next one finds it at hand."""

from collections import deque
import time
from typing import Deque

RECENT = 4  # arrivals
REGULAR = 1.5  # longest of their intervals, as a multiple of the shortest
# Shorter intervals leave the processor no time to forget; after longer ones nobody knows when.
LEADS, LONGEST_NS = 2.5, 500_000_000


def rehearses(interval_ns: float, lead_ns: float) -> bool:
    """Return whether a rehearsal so long before a picture, which comes after an interval, pays."""
    return lead_ns > 0 and LEADS * lead_ns <= interval_ns <= LONGEST_NS


class Rehearsal:
    """
    Foretells the next picture.

    After 20 ms of waiting, the caches and the branch predictor of a processor hold other things:
    the first step then takes two to three times as long as the next one. A rehearsal is that first
    step: see docs/tune.md.
    """

    def __init__(self) -> None:
        """Know no picture yet."""
        self.count = 0  # of rehearsals
        self._arrivals: Deque[int] = deque(maxlen=RECENT)
        self._due_ns = 0  # time.perf_counter_ns; 0: not before the next picture

    def note(self, received_ns: int, lead_ms: float) -> None:
        """Note when a picture arrived; be due `lead_ms` before the next one, with 0 never."""
        self._arrivals.append(received_ns)
        times, lead_ns = self._arrivals, int(lead_ms * 1e6)
        intervals = sorted(later - earlier for earlier, later in zip(times, list(times)[1:]))
        self._due_ns = 0
        if len(intervals) < RECENT - 1:
            return
        usual_ns = intervals[len(intervals) // 2]
        if intervals[-1] <= REGULAR * intervals[0] and rehearses(usual_ns, lead_ns):
            self._due_ns = received_ns + usual_ns - lead_ns

    def wait_s(self, most_s: float) -> float:
        """Return how long to wait for a picture before `due` may be true, at most `most_s`."""
        if not self._due_ns:
            return most_s
        return min(most_s, max((self._due_ns - time.perf_counter_ns()) / 1e9, 0.0))

    def due(self) -> bool:
        """Return whether to rehearse now, once before each picture."""
        if not self._due_ns or time.perf_counter_ns() < self._due_ns:
            return False
        self._due_ns = 0
        self.count += 1
        return True
