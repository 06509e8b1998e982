"""Under what the nodes are measured, and in which order: in turns, so that all get the same."""

from contextlib import contextmanager
from dataclasses import dataclass
import gc
from pathlib import Path
from typing import Callable, Dict, Iterator, Sequence

from .probe import Block, make_pictures, PERIOD_S, Probe
from ..processes import Processes

BLOCK = 100  # images to one side before it is the next one's turn


@dataclass(frozen=True)
class Condition:
    """A size of images, how they follow, and whether another process burns a core meanwhile."""

    name: str
    width: int
    height: int
    busy: bool = False
    period_s: float = PERIOD_S  # 0: each image follows when the one before is answered

    def __str__(self) -> str:
        """Return one line."""
        pace = '' if self.period_s else ', back to back'
        load = ', another process burning a core' if self.busy else ''
        return f'{self.width}x{self.height} rgb8{pace}{load}'


VGA = Condition('vga', 640, 480)
HD = Condition('hd', 1280, 720)
BACK = Condition('back', 640, 480, period_s=0.0)
BUSY = Condition('busy', 640, 480, busy=True)
CONDITIONS = (VGA, BACK, HD, BUSY)


def measure(condition: Condition, probes: Sequence[Probe], frames: int, warm_up: int,
            on_block: Callable[[int], None]) -> Dict[str, Block]:
    """
    Send `frames` images to each side, in blocks that take turns; give the figures by side.

    Each block begins with `warm_up` images that do not count. `on_block` is called after each
    with the number of images, when nothing is measured.
    """
    pictures = make_pictures(condition.width, condition.height)
    total = {probe.side.name: Block() for probe in probes}
    order = list(probes)
    for begin in range(0, frames, BLOCK):
        count = min(BLOCK, frames - begin)
        for probe in order:
            with _no_collections():
                total[probe.side.name].add(probe.film(
                    pictures, count, warm_up, condition.period_s))
            on_block(count)
        order = order[1:] + order[:1]  # nobody always comes after the same one
    return total


@contextmanager
def load_of(condition: Condition, environment: Dict[str, str], logs: Path) -> Iterator[None]:
    """Have a core burnt if the condition wants it."""
    with Processes(environment) as processes:
        if condition.busy:
            processes.start('vla_nav_node.bench.node.burner', [], logs / 'burner.log')
        yield
        processes.check()


@contextmanager
def _no_collections() -> Iterator[None]:
    """Keep the garbage collector of the measuring process out of the figures."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
