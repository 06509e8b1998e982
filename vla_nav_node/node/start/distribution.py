"""What depends on the distribution of ROS 2."""

from importlib.metadata import PackageNotFoundError, version
from typing import Mapping

STAMPED_FROM = 'lyrical'
STAMPED_FROM_RCLPY = 10  # Lyrical's
RCLPY = ('rclpy', 'ros-rclpy')  # the package's name in a ROS installation, and on PyPI


def has_stamped_commands(environment: Mapping[str, str]) -> bool:
    """Return whether cmd_vel is a TwistStamped by default on this distribution."""
    name = environment.get('ROS_DISTRO', '').lower()
    if name:
        return name >= STAMPED_FROM  # names are in alphabetical order, and rolling is the newest
    return _rclpy_major() >= STAMPED_FROM_RCLPY


def _rclpy_major() -> int:
    """Return rclpy's major version, 0 if unknown: ROS from PyPI does not set ROS_DISTRO."""
    for package in RCLPY:
        try:
            return int(version(package).split('.')[0])
        except (PackageNotFoundError, ValueError):
            pass
    return 0
