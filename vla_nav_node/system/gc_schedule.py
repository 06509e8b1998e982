"""
Python's garbage collection, at moments when it holds nothing up.

Left to itself it strikes wherever the next object happens to be made, which is in the middle of a
cycle, and stops all threads meanwhile. Here it is called when a command has just left, and has
little to look at: what was there at the start is never looked at again.
"""

import gc

WAITING = 700  # young objects that are worth a collection; as many as Python itself waits for
FULL_EVERY = 20  # collections; the others leave what is old alone
# Where Python collects by itself after all: when the driving thread hangs and nobody tidies up.
BACKSTOP = 50_000


def settle() -> None:
    """Set aside all that there is now, and leave collecting to `tidy`; once, after the start."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(BACKSTOP, 10, 10)


def tidy() -> None:
    """Collect what is worth it; to be called often, at harmless moments."""
    if gc.get_threshold()[0] != BACKSTOP:
        return  # never settled, or someone imports a framework and collects in another way
    young, _, partial = gc.get_count()
    if young >= WAITING:
        gc.collect(2 if partial >= FULL_EVERY else 1)
