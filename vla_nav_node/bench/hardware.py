"""What the hardware can do: the read bandwidth of its memory, and what NVIDIA's tools report."""

from concurrent.futures import ThreadPoolExecutor
import os
import shutil
import subprocess
import time
from typing import List, Sequence

import numpy as np

BYTES = 1 << 29  # more than the caches of any machine that drives a robot
REPEATS = 20
# Servers have the first of these, a Jetson the last two.
GPU_COMMANDS = (
    ('nvidia-smi', '--query-gpu=name,driver_version,memory.total,power.limit,clocks.max.sm,'
     'clocks.max.mem,persistence_mode,compute_mode', '--format=csv'),
    ('nvpmodel', '-q'),
    ('jetson_clocks', '--show'))
PATIENCE_S = 10.0


def read_bandwidths(size: int = BYTES, repeats: int = REPEATS) -> List[float]:
    """
    Return the read bandwidths of `repeats` readings of `size` bytes on all our cores, GB/s.

    Return all of them, because the bandwidth of a shared machine changes from one moment to the
    next: compare the p50 of steps with the p50 of readings. The bitwise or that reads the bytes
    is much faster than the memory, and releases the interpreter's lock meanwhile.
    """
    threads = len(os.sched_getaffinity(0))
    # Written, so that every page is really allocated.
    parts = np.array_split(np.full(size // 8, 1, np.uint64), threads)
    seconds: List[float] = []
    with ThreadPoolExecutor(threads) as pool:
        for _ in range(repeats + 1):  # the first one starts the threads
            begin_s = time.perf_counter()
            list(pool.map(np.bitwise_or.reduce, parts))
            seconds.append(time.perf_counter() - begin_s)
    return [sum(part.nbytes for part in parts) / duration / 1e9 for duration in seconds[1:]]


def gpu_report() -> List[str]:
    """Return the output lines of NVIDIA's tools on the GPU and its clocks."""
    lines = [f'{command[0]}: {line}' for command in GPU_COMMANDS if shutil.which(command[0])
             for line in _output(command)]
    return lines or ['No GPU: neither nvidia-smi nor nvpmodel is here.']


def _output(command: Sequence[str]) -> List[str]:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S,
                              check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return [str(error)]
    return [line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip()]
