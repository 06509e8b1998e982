"""
Read the ROS graph: publishers and subscriptions with their types and QoS.

Reading what surrounds the commands took 0.1 ms in a graph of 300 topics, and 0.7 ms without a
subscriber, since then all topics are read; for images it took 0.03 ms, and 1.8 ms without a camera
while 200 other topics had images. The driving thread does none of it.
"""

import logging
import os
import time
from typing import Callable, List, Sequence, Set, Tuple

from rclpy.clock import ROSClock
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import qos_check_compatible, QoSCompatibility, QoSProfile, ReliabilityPolicy
from rclpy.topic_endpoint_info import TopicEndpointInfo
from rclpy.utilities import get_rmw_implementation_identifier

from ..driving.diagnostics.graph import (
    BEST_EFFORT, Endpoint, GraphReport, listed, problems, RELIABLE, Topic, TWIST, TWIST_STAMPED)

RANGES = ('ROS_AUTOMATIC_DISCOVERY_RANGE', 'ROS_LOCALHOST_ONLY')
REFRESH_S = 0.5  # the graph is read no more often; reports are due once a second
STOPPED_S = 2.0  # simulators publish /clock at 10 Hz or more
UNKNOWN = '_UNKNOWN_'  # in rmw_fastrtps's name of an endpoint that has no ROS node, or not yet

LOG = logging.getLogger(__name__)


def endpoints(infos: Sequence[TopicEndpointInfo]) -> Tuple[Endpoint, ...]:
    """Return publishers or subscriptions as the diagnostics need them."""
    return tuple(Endpoint(
        _full_name(info), info.topic_type,
        RELIABLE if info.qos_profile.reliability == ReliabilityPolicy.RELIABLE else BEST_EFFORT)
        for info in infos)


def topics(node: Node, types: Sequence[str], count: Callable[[str], int]) -> Tuple[Topic, ...]:
    """Return the topics of these types for which `count(name)` is not zero."""
    return tuple(Topic(name, kind) for name, kinds in node.get_topic_names_and_types()
                 for kind in kinds if kind in types and count(name))


def domain(node: Node) -> str:
    """Return the ROS domain and the discovery range of this process."""
    limits = [f'{name}={os.environ[name]}' for name in RANGES if os.environ.get(name)]
    return ', '.join([f'ROS_DOMAIN_ID {node.context.get_domain_id()}', *limits])


def is_fast_dds() -> bool:
    """Return whether the middleware is Fast DDS, which needs a profile for large images."""
    return get_rmw_implementation_identifier().startswith('rmw_fastrtps')


def _full_name(info: TopicEndpointInfo) -> str:
    if UNKNOWN in info.node_name:
        return 'a node of unknown name'
    return f'{info.node_namespace.rstrip("/")}/{info.node_name}'


class GraphMonitor:
    """Read what surrounds the commands and the clock, in a thread that may be late."""

    def __init__(self, node: Node, commands: Publisher, kind: str, timed: Node) -> None:
        """Take the publisher of the commands, its type, and the node whose clock stamps use."""
        self._node = node
        self._commands = commands
        self._kind = kind
        self._clock = ClockMonitor(timed)
        self._next_s = 0.0
        self._problems = ProblemLog()
        self._report = GraphReport(node.get_fully_qualified_name(), commands.topic_name, kind)

    def report(self) -> GraphReport:
        """Return the newest report, and read the graph if that is older than REFRESH_S."""
        now_s = time.monotonic()
        if now_s >= self._next_s and self._node.context.ok():
            self._next_s = now_s + REFRESH_S
            self._report = self._read(now_s)
            self._problems.update(problems(self._report))
        return self._report

    def _read(self, now_s: float) -> GraphReport:
        node, name, topic = self._node, self._report.node, self._report.topic
        publishers = node.get_publishers_info_by_topic(topic)
        subscriptions = node.get_subscriptions_info_by_topic(topic)
        connected = self._commands.get_subscription_count()
        others = without_own(endpoints(publishers), name, self._kind)
        return GraphReport(
            name, topic, self._kind, connected, self._subscribers(publishers, subscriptions),
            tuple(sorted(others)), max(self._count_named(name) - 1, 0),
            () if connected else self._bases(topic), self._clock.check(now_s))

    def _subscribers(self, publishers: Sequence[TopicEndpointInfo],
                     subscriptions: Sequence[TopicEndpointInfo]) -> Tuple[Endpoint, ...]:
        """Return the subscriptions, their QoS compared with that of this node's publisher."""
        own = next((info.qos_profile for info in publishers
                    if _full_name(info) == self._report.node), None)
        return tuple(sorted(
            endpoint._replace(conflict=conflict(own, info.qos_profile) if own else '')
            for endpoint, info in zip(endpoints(subscriptions), subscriptions)))

    def _count_named(self, name: str) -> int:
        return sum(f'{namespace.rstrip("/")}/{short}' == name
                   for short, namespace in self._node.get_node_names_and_namespaces())

    def _bases(self, topic: str) -> Tuple[Topic, ...]:
        found = topics(self._node, (TWIST, TWIST_STAMPED), self._node.count_subscribers)
        return tuple(other for other in found if other.name != topic)


def without_own(found: Sequence[Endpoint], node: str, kind: str) -> Tuple[Endpoint, ...]:
    """Return `found` without one endpoint of this node and type; a second is a namesake's."""
    own = next((number for number, endpoint in enumerate(found)
                if (endpoint.node, endpoint.kind) == (node, kind)), len(found))
    return (*found[:own], *found[own + 1:])


def conflict(offered: QoSProfile, requested: QoSProfile) -> str:
    """Return why the middleware does not connect the two; '' if it does."""
    compatibility, reason = qos_check_compatible(offered, requested)
    if compatibility != QoSCompatibility.ERROR:
        return ''
    errors = [part.strip().replace('ERROR: ', '') for part in reason.split(';') if 'ERROR' in part]
    return ', '.join(error[0].lower() + error[1:] for error in errors)


class ClockMonitor:
    """Check that simulated time advances."""

    def __init__(self, node: Node) -> None:
        """Take the node whose clock it is."""
        self._node = node
        self._last_ns = -1
        self._since_s = 0.0

    def check(self, now_s: float) -> str:
        """Return what is wrong; '' if the time advances or is the system's."""
        clock = self._node.get_clock()
        if not isinstance(clock, ROSClock) or not clock.ros_time_is_active:
            return ''
        time_ns = clock.now().nanoseconds
        if time_ns != self._last_ns:
            self._last_ns, self._since_s = time_ns, now_s
        if time_ns and now_s - self._since_s < STOPPED_S:
            return ''
        publishers = endpoints(self._node.get_publishers_info_by_topic('/clock'))
        if not publishers:
            return ('use_sim_time is set, but /clock has no publisher; fix: start the simulator, '
                    'play the bag with --clock, or set use_sim_time to false')
        return (f'use_sim_time is set, but the time has stopped at {time_ns / 1e9:.9g} s although '
                f'{listed([endpoint.node for endpoint in publishers])} publishes /clock; fix: '
                'resume it if it is paused, restart it if it has ended')


class ProblemLog:
    """Log each problem once, when two reports in a row have it: nodes start one by one."""

    def __init__(self) -> None:
        """Start without problems."""
        self._before: Set[str] = set()
        self._logged: Set[str] = set()

    def update(self, found: List[str]) -> None:
        """Take the present problems."""
        for problem in found:
            if problem in self._before and problem not in self._logged:
                LOG.warning(problem)
        self._logged = (self._logged | self._before) & set(found)
        self._before = set(found)
