"""Join the ROS graph, and tell the settings in force, the cameras, the commands and the base."""

from importlib import metadata
import os
from pathlib import Path
import re
import sys
import time
from typing import Any, Dict, List

from ..start.distribution import RCLPY
from ..start.fastdds_profile import check_profiles, profile_path, VARIABLES
from ..start.rcl_errors import check_domain, explain
from ...doctor.probes.telling import answer, parts, Tell
from ...errors import VlaNavError

DISCOVERY_S = 1.5  # without a new endpoint; usual discovery takes 0.2 to 1 s
MOST_DISCOVERY_S = 4.0
SEGMENT = re.compile(r'^([0-9a-f]+)-([0-9a-f]+) .*/(?:fastrtps|fastdds)_[0-9a-f]+$', re.M)


def look(tell: Tell, cmd_vel: str, live_s: str) -> None:
    """Tell everything that can be told before something fails."""
    tell(settings={name: os.environ.get(name, '') for name in (
        'ROS_DISTRO', 'RMW_IMPLEMENTATION', 'ROS_DOMAIN_ID', 'ROS_LOCALHOST_ONLY',
        'ROS_AUTOMATIC_DISCOVERY_RANGE', 'ROS_STATIC_PEERS', *VARIABLES)},
        rclpy=rclpy_version(), profile=str(profile_path()))
    for name, check in (('domain_error', check_domain), ('profile_error', check_profiles)):
        try:
            check(os.environ)
        except VlaNavError as error:
            tell(**{name: parts(error)})
    tell(step='import rclpy')
    import rclpy
    tell(step='starting a node')
    try:
        rclpy.init()
        node = rclpy.create_node(f'_vla_nav_doctor_{os.getpid()}', use_global_arguments=False,
                                 enable_rosout=False, start_parameter_services=False)
    except Exception as error:  # noqa: BLE001  # rclpy's errors have no common base
        tell(error=parts(explain(str(error))))
        return
    tell(rmw=rclpy.get_rmw_implementation_identifier(), segment=segment_bytes())
    from .graph_facts import base_timeouts, image_facts, settled_commands
    from .listening import listen
    tell(step='reading the graph')
    wait_for_discovery(node)
    images = image_facts(node)
    tell(images=images, simulated=node.count_publishers('/clock') > 0,
         step='listening to the camera')
    tell(heard=listen(node, images, float(live_s)))
    commands = settled_commands(node, cmd_vel)
    tell(nodes=len(node.get_node_names()), commands=commands)
    tell(step='reading parameters', timeouts=base_timeouts(node, commands))


def rclpy_version() -> str:
    """Return rclpy's version, '' if it tells none."""
    for package in RCLPY:
        try:
            return metadata.version(package)
        except metadata.PackageNotFoundError:
            pass
    return ''


def segment_bytes() -> int:
    """Return the size of the largest mapped segment of Fast DDS: the one of this process."""
    maps = Path('/proc/self/maps').read_text()
    return max((int(end, 16) - int(start, 16) for start, end in SEGMENT.findall(maps)), default=0)


def wait_for_discovery(node: Any) -> None:
    """Wait until no new endpoint appears."""
    start_s = seen_s = time.monotonic()
    before: List[Any] = []
    while (now_s := time.monotonic()) < min(start_s + MOST_DISCOVERY_S, seen_s + DISCOVERY_S):
        found = snapshot(node)
        if found != before:
            before, seen_s = found, now_s
        time.sleep(0.1)


def snapshot(node: Any) -> List[Any]:
    """Return what of the graph has to stay the same."""
    topics: Dict[str, List[str]] = dict(node.get_topic_names_and_types())
    return [(name, node.count_publishers(name), node.count_subscribers(name))
            for name in sorted(topics)]


if __name__ == '__main__':
    answer(look, sys.argv[1:])
