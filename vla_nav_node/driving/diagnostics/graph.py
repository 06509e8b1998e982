"""What is wrong in the ROS graph around the command topic, in words."""

from dataclasses import dataclass
from typing import Dict, List, NamedTuple, Sequence, Tuple

RELIABLE, BEST_EFFORT = 'reliable', 'best effort'
TWIST, TWIST_STAMPED = 'geometry_msgs/msg/Twist', 'geometry_msgs/msg/TwistStamped'
STAMPED_PARAMETER = {TWIST: 'false', TWIST_STAMPED: 'true'}  # enable_stamped_cmd_vel
MAX_NAMES = 3  # in one sentence; a graph may have hundreds
LINGERS = 'a killed process stays listed for about 20 s'


class Endpoint(NamedTuple):
    """A publisher of a topic, or a subscription to it."""

    node: str  # full name
    kind: str  # message type, as `ros2 topic info` prints it
    reliability: str = RELIABLE
    conflict: str = ''  # why its QoS is incompatible with this node's


class Topic(NamedTuple):
    """A topic and its message type."""

    name: str
    kind: str


@dataclass(frozen=True)
class GraphReport:
    """The graph around the command topic; the defaults describe a graph without problems."""

    node: str = '/vla_nav_node'  # full name
    topic: str = '/cmd_vel'
    kind: str = TWIST
    connected: int = 1  # subscriptions that the middleware has connected to this node's publisher
    subscribers: Tuple[Endpoint, ...] = ()  # all subscriptions to the topic
    other_publishers: Tuple[Endpoint, ...] = ()
    namesakes: int = 0  # other nodes of the same name
    elsewhere: Tuple[Topic, ...] = ()  # other topics that a base subscribes to; only if none here
    clock: str = ''  # what is wrong with simulated time


def listed(names: Sequence[str]) -> str:
    """Return the first MAX_NAMES distinct names, and how many more there are."""
    unique = list(dict.fromkeys(names))
    more = len(unique) - MAX_NAMES
    return ', '.join(unique[:MAX_NAMES]) + (f' and {more} more' if more > 0 else '')


def problems(graph: GraphReport) -> List[str]:
    """Return one sentence for each problem, the most dangerous first."""
    mismatched = mismatches(graph)
    sentences = [_other_publishers(graph), _namesakes(graph), *mismatched, graph.clock]
    if not mismatched:
        sentences.append(no_receiver(graph))
    return [sentence for sentence in sentences if sentence]


def no_receiver(graph: GraphReport) -> str:
    """Return why no node receives the commands; '' if one does."""
    if graph.connected:
        return ''
    return 'no node receives cmd_vel: ' + ('; '.join(mismatches(graph)) or _no_subscriber(graph))


def mismatches(graph: GraphReport) -> List[str]:
    """Return a sentence for each type or QoS by which a node cannot receive the commands."""
    receiving = {reader.node for reader in graph.subscribers
                 if reader.kind == graph.kind and not reader.conflict}
    by_reason: Dict[Tuple[str, str], List[str]] = {}
    for reader in graph.subscribers:
        if reader.node not in receiving:
            conflict = reader.conflict if reader.kind == graph.kind else ''
            by_reason.setdefault((reader.kind, conflict), []).append(reader.node)
    return [_qos_mismatch(graph, conflict, nodes) if conflict else
            _type_mismatch(graph, kind, nodes) for (kind, conflict), nodes in by_reason.items()]


def _type_mismatch(graph: GraphReport, kind: str, nodes: Sequence[str]) -> str:
    fix = _fix_type(kind) or 'remap cmd_vel or the other topic'
    return (f'this node publishes {graph.kind} on {graph.topic}; expected {kind} (subscribed by '
            f'{listed(nodes)}); fix: {fix}')


def _qos_mismatch(graph: GraphReport, conflict: str, nodes: Sequence[str]) -> str:
    return (f'the QoS requested by {listed(nodes)} on {graph.topic} is incompatible ({conflict}); '
            'fix: request there what this node offers: volatile durability, no deadline, '
            'automatic liveliness')


def _fix_type(kind: str) -> str:
    if kind not in STAMPED_PARAMETER:
        return ''
    return f'start this node with enable_stamped_cmd_vel:={STAMPED_PARAMETER[kind]}'


def _no_subscriber(graph: GraphReport) -> str:
    if graph.subscribers:
        return (f'{listed([reader.node for reader in graph.subscribers])} is listed, but not '
                f'connected: it has just started, or has died ({LINGERS})')
    topics = [f'{topic.name} has a subscriber of {topic.kind}: remap cmd_vel to it'
              + ('' if topic.kind == graph.kind else f' and {_fix_type(topic.kind)}')
              for topic in graph.elsewhere[:MAX_NAMES]]
    return '; '.join(['start the base, or remap cmd_vel to its topic', *topics])


def _other_publishers(graph: GraphReport) -> str:
    if not graph.other_publishers:
        return ''
    names = [other.node + ('' if other.kind == graph.kind else f' ({other.kind})')
             for other in graph.other_publishers]
    return (f'another publisher on {graph.topic}: {listed(names)}; the base obeys the newest '
            'message; fix: stop all publishers but one, or put a multiplexer such as twist_mux in '
            f'between ({LINGERS})')


def _namesakes(graph: GraphReport) -> str:
    if not graph.namesakes:
        return ''
    return (f'{graph.namesakes + 1} nodes are named {graph.node}: a service or parameter call '
            'reaches any one of them; fix: stop one, or rename it (-r __node:=, -r __ns:=) '
            f'({LINGERS})')
