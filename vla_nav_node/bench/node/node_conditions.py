"""The conditions under which all nodes are measured, in turns, so that all get the same."""

from contextlib import contextmanager, ExitStack
from dataclasses import dataclass
import gc
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, Sequence

from .node_figures import summarise
from .probe import Block, make_pictures, PERIOD_S, Probe
from .sides import Side
from .startup import first_command
from ..processes import Processes
from ...system.progress import Bar

BLOCK = 100  # images to one side before the next side's turn


@dataclass(frozen=True)
class Condition:
    """The size and pace of the images, and whether another process keeps a core busy."""

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


CONDITIONS = (Condition('vga', 640, 480), Condition('back', 640, 480, period_s=0.0),
              Condition('hd', 1280, 720), Condition('busy', 640, 480, busy=True))


def measure_conditions(sides: Sequence[Side], names: Sequence[str], frames: int, warm_up: int,
                       environment: Dict[str, str], logs: Path, bar: Bar) -> Dict[str, Any]:
    """Start all sides, measure them under the named conditions; return figures by condition."""
    figures: Dict[str, Any] = {}
    with ExitStack() as stack:
        probes = []
        for side in sides:
            probes.append(Probe(side))
            stack.callback(probes[-1].close)
        processes = stack.enter_context(Processes(environment))
        for side in sides:
            side.start(processes, logs)
        for probe in probes:
            first_command(probe, processes, make_pictures(640, 480))
        for condition in CONDITIONS:
            if condition.name not in names:
                continue
            advance = bar(str(condition), frames * len(sides))

            def on_block(count: int, advance: Callable[[int], None] = advance) -> None:
                advance(count)
                processes.check()
            with _load(condition, environment, logs):
                blocks = _measure(condition, probes, frames, warm_up, on_block)
            figures[condition.name] = {side.name: summarise(side, blocks[side.name])
                                       for side in sides}
    return figures


def _measure(condition: Condition, probes: Sequence[Probe], frames: int, warm_up: int,
             on_block: Callable[[int], None]) -> Dict[str, Block]:
    """
    Send `frames` images to each side, in blocks that take turns; return the results by side.

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
                total[probe.side.name].add(probe.measure(
                    pictures, count, warm_up, condition.period_s))
            on_block(count)
        order = order[1:] + order[:1]  # no side always follows the same one
    return total


@contextmanager
def _load(condition: Condition, environment: Dict[str, str], logs: Path) -> Iterator[None]:
    """Keep a core busy if the condition wants it."""
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
