"""How fast this machine reads memory: what a policy larger than the caches is held against."""

from concurrent.futures import ThreadPoolExecutor
import os
import time
from typing import List

import numpy as np

BYTES = 1 << 29  # more than the caches of any machine that drives a robot
REPEATS = 20


def read_bandwidths(size: int = BYTES, repeats: int = REPEATS) -> List[float]:
    """
    Read `size` bytes some times, by all cores that we may use, and give each reading's GB/s.

    All of them, because a machine that shares its memory with others does not give the same from
    one moment to the next: the p50 of steps belongs beside the p50 of readings.

    What is done with the bytes (a bitwise or) is quicker than the memory, by far, and gives the
    interpreter's lock up meanwhile.
    """
    threads = len(os.sched_getaffinity(0))
    # Written, so that every page is really there.
    parts = np.array_split(np.full(size // 8, 1, np.uint64), threads)
    seconds: List[float] = []
    with ThreadPoolExecutor(threads) as pool:
        for _ in range(repeats + 1):  # the first one starts the threads
            begin_s = time.perf_counter()
            list(pool.map(np.bitwise_or.reduce, parts))
            seconds.append(time.perf_counter() - begin_s)
    return [sum(part.nbytes for part in parts) / one / 1e9 for one in seconds[1:]]
