"""Measure by how much the work of one thread delays another one."""

import importlib
import sys
import threading
import time
from typing import Any, Callable, List, Tuple

TICK_S = 0.002


def largest_gap(work: Callable[[], Any]) -> Tuple[float, Any]:
    """Run `work` in a thread; return a ticking thread's largest lateness in ms, and the result."""
    result: List[Any] = []
    worker = threading.Thread(target=lambda: result.append(work()))
    worker.start()
    worst, last = 0.0, time.perf_counter()
    while worker.is_alive():
        time.sleep(TICK_S)
        now = time.perf_counter()
        worst, last = max(worst, now - last - TICK_S), now
    return 1e3 * worst, result[0]


def import_plainly(name: str) -> None:
    """Import a framework by the import system alone."""
    importlib.import_module(name)


def import_while_driving(name: str) -> None:
    """Import a framework as a node that is driving does."""
    from vla_nav_node.backends.background_import import import_in_background
    import_in_background(name)


if __name__ == '__main__':
    import numpy  # noqa: F401
    how = {'plain': import_plainly, 'background': import_while_driving}[sys.argv[1]]
    print(largest_gap(lambda: how(*(sys.argv[2:] or ['torch'])))[0])
