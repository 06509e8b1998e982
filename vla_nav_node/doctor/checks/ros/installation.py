"""Whether ROS 2 is installed and sourced, and starts with its middleware."""

from importlib import util
import sys
from typing import Iterator

from ..check import Check, failed, Finding, ok, skipped, told
from ..place import Place

SOURCE = '. /opt/ros/{}/setup.bash'


def why_none(place: Place) -> str:
    """Return why no graph can be read: ROS is not there, or does not start; '' if it does."""
    if not util.find_spec('rclpy'):
        return 'ROS 2 is not installed or not sourced'
    facts = place.graph().facts
    return '' if 'rmw' in facts else 'ROS 2 does not start: see the check ros'


def run(place: Place) -> Iterator[Finding]:
    """Start a node in a child."""
    if not util.find_spec('rclpy'):
        yield from absent(place)
        return
    answer = place.graph()
    facts = answer.facts
    if 'rmw' in facts:
        name = facts['settings']['ROS_DISTRO'] or 'ROS 2 (ROS_DISTRO is not set)'
        yield ok(f'{name}, rclpy {facts["rclpy"]}, {facts["rmw"]}')
    elif 'error' in facts:
        yield told(facts['error'], 'a node that starts', 'check ROS_*, RMW_* and what is sourced')
    else:
        yield failed(f'ROS 2 {answer.problem} {answer.last_line}'.strip(), 'a node that starts',
                     'check RMW_IMPLEMENTATION, LD_LIBRARY_PATH and what is sourced')


def absent(place: Place) -> Iterator[Finding]:
    """Tell an installation that is not sourced, or of another Python, from none."""
    found = sorted(path.parent.name for path in place.opt.glob('ros/*/setup.bash'))
    if not found:
        yield skipped('ROS 2 is not installed')
    elif place.environment.get('ROS_DISTRO'):
        version = '.'.join(map(str, sys.version_info[:2]))
        yield failed(f'{place.environment["ROS_DISTRO"]} is sourced, but this Python {version} '
                     'does not find rclpy: it is another Python than that of ROS',
                     'the Python that ROS is built for', 'run it by /usr/bin/python3, or leave '
                     'the virtual environment (deactivate)')
    else:
        yield failed(f'{", ".join(found)} is installed, but not sourced', 'its environment',
                     SOURCE.format(found[-1]))


CHECK = Check('ros', 'where ROS 2 is installed', 'a node that is started in a child: '
              'distribution, rclpy, middleware', run)
