"""What the ROS graph shows around the commands, and what is wrong with it, in words."""

from dataclasses import dataclass
from typing import Dict, List, NamedTuple, Sequence, Tuple

RELIABLE, BEST_EFFORT = 'reliable', 'best effort'
TWIST, TWIST_STAMPED = 'geometry_msgs/msg/Twist', 'geometry_msgs/msg/TwistStamped'
MOST_NAMES = 3  # in one sentence; a graph may have hundreds
LINGERS = 'a process that was killed stays listed for some 20 s'


class Endpoint(NamedTuple):
    """A publisher of a topic, or a subscription to it."""

    node: str  # full name
    kind: str  # as `ros2 topic info` has it
    reliability: str = RELIABLE
    conflict: str = ''  # what of its quality of service does not fit ours


class Topic(NamedTuple):
    """A topic that somebody uses."""

    name: str
    kind: str


@dataclass(frozen=True)
class GraphReport:
    """What surrounds the node; as it stands, nothing is wrong."""

    node: str = '/vla_nav_node'  # full name
    topic: str = '/cmd_vel'
    kind: str = TWIST
    listeners: int = 1  # subscriptions that the middleware has connected to ours
    readers: Tuple[Endpoint, ...] = ()  # all subscriptions to the topic
    rivals: Tuple[Endpoint, ...] = ()  # who else publishes on it
    namesakes: int = 0  # other nodes of this name
    elsewhere: Tuple[Topic, ...] = ()  # where bases listen, while nobody listens here
    clock: str = ''  # what is wrong with the simulated time


def listed(names: Sequence[str]) -> str:
    """Return the first few of the names, each once, and how many more there are."""
    unique = list(dict.fromkeys(names))
    more = len(unique) - MOST_NAMES
    return ', '.join(unique[:MOST_NAMES]) + (f' and {more} more' if more > 0 else '')


def problems(graph: GraphReport) -> List[str]:
    """Say what is wrong, one sentence each, the most dangerous first."""
    found = [_rivals(graph), _namesakes(graph), *deaf(graph), graph.clock]
    if not graph.listeners and not deaf(graph):
        found.append(unheard(graph))
    return [sentence for sentence in found if sentence]


def unheard(graph: GraphReport) -> str:
    """Say why nobody gets the commands; '' where somebody does."""
    if graph.listeners:
        return ''
    return 'nobody listens to cmd_vel: ' + ('; '.join(deaf(graph)) or _absent(graph))


def deaf(graph: GraphReport) -> List[str]:
    """Say who reads the topic, but can get nothing of what is published there."""
    hearing = {reader.node for reader in graph.readers
               if reader.kind == graph.kind and not reader.conflict}
    lost = [reader for reader in graph.readers if reader.node not in hearing]
    by_reason: Dict[Tuple[str, str], List[str]] = {}
    for reader in lost:
        conflict = reader.conflict if reader.kind == graph.kind else ''
        by_reason.setdefault((reader.kind, conflict), []).append(reader.node)
    return [_other_quality(graph, conflict, nodes) if conflict else
            _other_type(graph, kind, nodes) for (kind, conflict), nodes in by_reason.items()]


def _other_type(graph: GraphReport, kind: str, nodes: Sequence[str]) -> str:
    return (f'{kind} is expected on {graph.topic} by {listed(nodes)}, and this node publishes '
            f'{graph.kind}; ' + (_stamped(kind) or 'remap cmd_vel or that topic'))


def _other_quality(graph: GraphReport, conflict: str, nodes: Sequence[str]) -> str:
    return (f'the quality of service that {listed(nodes)} asks for on {graph.topic} does not fit '
            f'({conflict}); ask there for no more than this node offers: volatile, no deadline, '
            'automatic liveliness')


def _stamped(kind: str) -> str:
    """Return the parameter by which the node publishes another type of command."""
    values = {TWIST: 'false', TWIST_STAMPED: 'true'}
    return f'start it with enable_stamped_cmd_vel:={values[kind]}' if kind in values else ''


def _absent(graph: GraphReport) -> str:
    """Say what to do where nobody reads the topic who could hear."""
    if graph.readers:
        return (f'{listed([reader.node for reader in graph.readers])} is listed, but not '
                f'connected: it has just come, or has died ({LINGERS})')
    places = [f'{topic.name} has a subscriber of {topic.kind}: remap cmd_vel to it'
              + ('' if topic.kind == graph.kind else f' and {_stamped(topic.kind)}')
              for topic in graph.elsewhere[:MOST_NAMES]]
    return '; '.join(['start the base, or remap cmd_vel to its topic', *places])


def _rivals(graph: GraphReport) -> str:
    if not graph.rivals:
        return ''
    names = [rival.node + ('' if rival.kind == graph.kind else f' ({rival.kind})')
             for rival in graph.rivals]
    return (f'somebody else publishes on {graph.topic}: {listed(names)}; the base obeys whoever '
            'spoke last: stop all but one, or put a multiplexer such as twist_mux between '
            f'({LINGERS})')


def _namesakes(graph: GraphReport) -> str:
    if not graph.namesakes:
        return ''
    return (f'{graph.namesakes + 1} nodes are named {graph.node}: services and parameters reach '
            'one of them by chance; stop one, or give it a name of its own (-r __node:=, -r '
            f'__ns:=) ({LINGERS})')
