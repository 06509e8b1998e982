"""What is on the command topic and on the image topics, and when the base stops by itself."""

from itertools import product
import re
import time
from typing import Any, Dict, List, Sequence

from rcl_interfaces.srv import GetParameters, ListParameters
import rclpy
from rclpy.node import Node

from ..ros_graph import conflict, endpoints
from ...doctor.checks.ros.command_topic import deaf
from ...driving.diagnostics.graph import TWIST, TWIST_STAMPED

IMAGES = ('sensor_msgs/msg/Image', 'sensor_msgs/msg/CompressedImage')
OWN = re.compile(r'/_vla_nav_doctor_\d+$')
# Parameters by which known drivers stop the base: cmd_vel_timeout (ros2_controllers, ours),
# command_timeout, cmd_timeout, watchdog_timeout, velocity_timeout.
TIMEOUT = re.compile(r'(?:cmd|command|watchdog|velocity|reference)\w*timeout', re.IGNORECASE)
CALL_S, READY_S = 1.0, 0.3
MOST_ASKED = 8
SETTLE_S = 4.0


def command_facts(node: Node, topic: str) -> Dict[str, Any]:
    """Return who publishes on and who listens to the command topic, and other such topics."""
    publishers = without_doctor(endpoints(node.get_publishers_info_by_topic(topic)))
    readers = without_doctor(endpoints(node.get_subscriptions_info_by_topic(topic)))
    elsewhere = [name for name, kinds in node.get_topic_names_and_types()
                 if name != topic and {TWIST, TWIST_STAMPED} & set(kinds)
                 and node.count_publishers(name) + node.count_subscribers(name)]
    return {'topic': topic, 'publishers': [list(entry) for entry in publishers],
            'subscribers': [list(entry) for entry in readers], 'elsewhere': elsewhere}


def settled_commands(node: Node, topic: str) -> Dict[str, Any]:
    """Return command_facts; a base that is starting may not have its second subscription yet."""
    deadline = time.monotonic() + SETTLE_S
    while True:
        found = command_facts(node, topic)
        if not deaf(found['publishers'], found['subscribers']) or time.monotonic() > deadline:
            return found
        time.sleep(0.2)


def without_doctor(found: Sequence[Any]) -> List[Any]:
    """Return endpoints without those of this probe or of another doctor."""
    return [entry for entry in found if not OWN.search(entry.node)]


def image_facts(node: Node) -> List[Dict[str, Any]]:
    """Return publishers, subscriptions and QoS conflicts of each image topic."""
    return [_image_topic(node, name, kind) for name, kinds in node.get_topic_names_and_types()
            for kind in kinds if kind in IMAGES and node.count_publishers(name)]


def _image_topic(node: Node, name: str, kind: str) -> Dict[str, Any]:
    publishers = node.get_publishers_info_by_topic(name)
    readers = node.get_subscriptions_info_by_topic(name)
    pairs = [(sender, reader, conflict(sender.qos_profile, reader.qos_profile))
             for sender, reader in product(publishers, readers)]
    return {'topic': name, 'kind': kind,
            'publishers': [list(entry) for entry in endpoints(publishers)],
            'subscribers': [list(entry) for entry in endpoints(readers)],
            'conflicts': [[endpoints([sender])[0].node, endpoints([reader])[0].node, reason]
                          for sender, reader, reason in pairs if reason]}


def base_timeouts(node: Node, commands: Dict[str, Any]) -> Dict[str, Dict[str, float]]:
    """Return for each node that listens its timeouts in s; {} where it tells none."""
    names = dict.fromkeys(entry[0] for entry in commands['subscribers'])
    found = {name: timeouts_of(node, name) for name in names if name.startswith('/')}
    if any(found.values()):
        return found
    # A base may listen by a hidden node, as the simulated one does.
    senders = {entry[0] for entry in commands['publishers']}
    visible = [f'{space.rstrip("/")}/{name}' for name, space
               in node.get_node_names_and_namespaces() if not name.startswith('_')]
    others = [name for name in dict.fromkeys(visible) if name not in {*senders, *names}]
    return {**found, **{name: timeouts_of(node, name) for name in others[:MOST_ASKED]}}


def timeouts_of(node: Node, name: str) -> Dict[str, float]:
    """Ask one node for its parameters of a timeout."""
    listed = call(node, ListParameters, f'{name}/list_parameters', ListParameters.Request())
    wanted = [key for key in listed.result.names if TIMEOUT.search(key)] if listed else []
    if not wanted:
        return {}
    values = call(node, GetParameters, f'{name}/get_parameters',
                  GetParameters.Request(names=wanted))
    return {key: value.double_value or float(value.integer_value)
            for key, value in zip(wanted, values.values if values else [])}


def call(node: Node, kind: Any, name: str, request: Any) -> Any:
    """Call a service; return None if it does not answer soon."""
    client = node.create_client(kind, name)
    deadline = time.monotonic() + READY_S
    while not client.service_is_ready():
        if time.monotonic() > deadline:
            return None
        time.sleep(0.02)
    future = client.call_async(request)
    rclpy.spin_until_future_complete(node, future, timeout_sec=CALL_S)
    return future.result() if future.done() else None
