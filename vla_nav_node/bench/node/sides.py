"""The nodes that are measured side by side, each in a process and a namespace of its own."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Dict, List, Sequence, Tuple

from ..processes import Process, Processes
from ...driving.latency_recorder import FIELDS

ROOT = '/vla_nav_latency'  # the namespace of all


@dataclass(frozen=True)
class Side:
    """One node, and how to read its answers."""

    name: str
    module: str
    node: str  # its ROS name
    fields: Tuple[str, ...] = ()  # of its ~/latency, in ms; empty if it has none
    repeats: bool = False  # whether it publishes the last command again, without a new image
    parameters: Dict[str, object] = field(default_factory=dict)  # of ROS

    @property
    def namespace(self) -> str:
        """Return the namespace of its topics."""
        return f'{ROOT}/{self.name}'

    def start(self, processes: Processes, logs: Path) -> Process:
        """Start its process."""
        arguments = ['--ros-args', '-r', f'__ns:={self.namespace}']
        for name, value in self.parameters.items():
            arguments += ['-p', f'{name}:={value}']
        return processes.start(self.module, arguments, logs / f'{self.name}.log')


OURS, OURS_TORCH, IDIOMATIC = 'ours', 'ours_torch', 'idiomatic_'  # the last one: and its threads
ECHO = Side('echo', 'vla_nav_node.bench.node.echo_node', 'echo_node')


def ours(name: str, parameters: Dict[str, object]) -> Side:
    """Return the node of this package, by its real entry point."""
    unstamped = {'enable_stamped_cmd_vel': 'false'}  # as the other nodes send it
    return Side(name, 'vla_nav_node.node.main', 'vla_nav_node', FIELDS, True,
                {**parameters, **unstamped})


def idiomatic(threads: int, parameters: Dict[str, object]) -> Side:
    """Return the idiomatic node with a number of threads for torch."""
    return Side(f'{IDIOMATIC}{threads}', 'vla_nav_node.bench.node.idiomatic_node',
                'idiomatic_node', ('cycle', 'infer', 'deserialise'),
                parameters={**parameters, 'threads': threads})


def sides(parameters: Dict[str, object], model: Dict[str, object],
          threads: Sequence[int]) -> List[Side]:
    """
    Return all sides: our node, the same with torch, the idiomatic ones and the echo.

    There is an idiomatic node for each number of `threads`: the best number differs from machine
    to machine, and the best one counts.
    """
    return [ours(OURS, parameters), ours(OURS_TORCH, {**parameters, 'backend': 'torch'}),
            *(idiomatic(count, model) for count in threads), ECHO]
