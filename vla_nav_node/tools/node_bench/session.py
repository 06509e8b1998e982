"""All nodes at once, each measured in its turn under each condition."""

from pathlib import Path
from typing import Any, Callable, Dict, Sequence

from .conditions import CONDITIONS, load_of, measure
from .figures import summarise
from .probe import make_pictures, Probe
from .sides import SIDES
from .startup import first_command
from ..demo_processes import Processes

Bar = Callable[[str, int], Callable[[int], None]]


def side_by_side(names: Sequence[str], frames: int, warm_up: int,
                 parameters: Dict[str, Dict[str, object]], environment: Dict[str, str],
                 logs: Path, bar: Bar) -> Dict[str, Any]:
    """
    Start all sides, and measure them under the conditions of these names.

    `parameters` are ROS parameters by side; `bar` makes a progress bar. Give figures by condition
    and side.
    """
    found: Dict[str, Any] = {}
    probes = [Probe(side) for side in SIDES]
    try:
        with Processes(environment) as processes:
            started = [side.start(processes, parameters[side.name], logs) for side in SIDES]
            for probe, process in zip(probes, started):
                first_command(probe, process, make_pictures(640, 480))
            for condition in CONDITIONS:
                if condition.name not in names:
                    continue
                advance = bar(str(condition), frames * len(SIDES))
                with load_of(condition, environment, logs):
                    blocks = measure(condition, probes, frames, warm_up, advance)
                processes.check()
                found[condition.name] = {side.name: summarise(side, blocks[side.name])
                                         for side in SIDES}
    finally:
        for probe in probes:
            probe.close()
    return found
