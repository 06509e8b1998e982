"""
Python's garbage collection, at moments when it delays nothing.

By default it runs whenever the next object is allocated, which may be in the middle of a cycle,
and stops all threads meanwhile. Here it runs when a command has just been published, and is
short: objects from before `settle` are never examined again.
"""

import gc

WAITING = 700  # young objects before a collection; Python's own default
FULL_EVERY = 20  # collections; the others do not examine old objects
# Python collects by itself from here on: when the driving thread hangs and calls no `tidy`.
BACKSTOP = 50_000


def settle() -> None:
    """
    Exempt all present objects and leave collecting to `tidy`; call once the policy is open.

    Objects that an earlier call exempted, and that are garbage since, are collected.
    """
    gc.unfreeze()
    gc.collect()
    gc.freeze()
    gc.set_threshold(BACKSTOP, 10, 10)


def tidy() -> None:
    """Collect if there is enough garbage; call often, at moments when a delay does no harm."""
    if gc.get_threshold()[0] != BACKSTOP:
        return  # not settled, or a framework is being imported with other thresholds
    young, _, partial = gc.get_count()
    if young >= WAITING:
        gc.collect(2 if partial >= FULL_EVERY else 1)
