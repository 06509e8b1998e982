"""The nodes that are measured side by side, each in a process and a namespace of its own."""

from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Tuple

from ..demo_processes import Process, Processes
from ...latency import FIELDS

ROOT = '/vla_nav_latency'  # the namespace of all


@dataclass(frozen=True)
class Side:
    """One node, and how its answers are to be read."""

    name: str
    module: str
    node: str  # its ROS name
    fields: Tuple[str, ...] = ()  # of its ~/latency, in ms; empty if it has none
    repeats: bool = False  # whether it publishes the last command again, without a new image

    @property
    def namespace(self) -> str:
        """Give where its topics are."""
        return f'{ROOT}/{self.name}'

    def start(self, processes: Processes, parameters: Dict[str, object], logs: Path) -> Process:
        """Start it with ROS parameters."""
        arguments = ['--ros-args', '-r', f'__ns:={self.namespace}']
        for name, value in parameters.items():
            arguments += ['-p', f'{name}:={value}']
        return processes.start(self.module, arguments, logs / f'{self.name}.log')


def ours(name: str = 'ours') -> Side:
    """Give the node of this package, by its real entry point."""
    return Side(name, 'vla_nav_node.node', 'vla_nav_node', FIELDS, repeats=True)


OURS = ours()
IDIOMATIC = Side('idiomatic', 'vla_nav_node.tools.node_bench.idiomatic_node', 'idiomatic_node',
                 ('cycle', 'infer', 'deserialise'))
ECHO = Side('echo', 'vla_nav_node.tools.node_bench.echo_node', 'echo_node')
SIDES: List[Side] = [OURS, IDIOMATIC, ECHO]
