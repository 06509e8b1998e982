"""Contenders take turns, so that whatever the machine does hits all alike."""

from typing import Callable, List, Sequence

import numpy as np

from .contender import Contender
from .worker import Span

BLOCK = 20  # steps of one contender before it is the next one's turn
SETTLE = 5  # steps at the start of a turn that do not count: the others have used the caches


def take_turns(contenders: Sequence[Contender], runs: int, period_s: float,
               advance: Callable[[int], None]) -> List[Span]:
    """
    Time `runs` steps of each, in turns; give the spans in the contenders' order.

    With a `period_s` a step begins every so often, as a camera makes it; with 0 back to back.
    `advance` is called after each turn with the number of steps, when nothing is measured.
    """
    spans: List[List[Span]] = [[] for _ in contenders]
    order = list(range(len(contenders)))
    for begin in range(0, runs, BLOCK):
        count = min(BLOCK, runs - begin)
        for number in order:
            spans[number].append(contenders[number].run(count, SETTLE, period_s))
            advance(count)
        order = order[1:] + order[:1]  # nobody always comes after the same one
    return [Span(np.concatenate([span.ms for span in mine]), sum(span.cpu_ms for span in mine))
            for mine in spans]
