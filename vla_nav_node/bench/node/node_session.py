"""All nodes at once, each measured in its turn under each condition."""

from pathlib import Path
from typing import Any, Callable, Dict, Sequence

from .node_conditions import CONDITIONS, load_of, measure
from .node_figures import summarise
from .probe import make_pictures, Probe
from .sides import Side
from .startup import first_command
from ..processes import Processes
from ...system.progress import Bar


def side_by_side(sides: Sequence[Side], names: Sequence[str], frames: int, warm_up: int,
                 environment: Dict[str, str], logs: Path, bar: Bar) -> Dict[str, Any]:
    """
    Start all sides, and measure them under the conditions of these names.

    `bar` makes a progress bar. Return figures by condition and side.
    """
    found: Dict[str, Any] = {}
    probes = [Probe(side) for side in sides]
    try:
        with Processes(environment) as processes:
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
                with load_of(condition, environment, logs):
                    blocks = measure(condition, probes, frames, warm_up, on_block)
                found[condition.name] = {side.name: summarise(side, blocks[side.name])
                                         for side in sides}
    finally:
        for probe in probes:
            probe.close()
    return found
