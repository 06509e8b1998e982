"""The defaults of a distribution of ROS 2."""

from importlib.metadata import PackageNotFoundError

import pytest
from vla_nav_node.node.start import distribution
from vla_nav_node.node.start.distribution import has_stamped_commands


@pytest.mark.parametrize(('name', 'stamped'), [
    ('humble', False), ('iron', False), ('jazzy', False), ('kilted', False), ('lyrical', True),
    ('Lyrical', True), ('m-turtle', True), ('rolling', True)])
def test_commands_have_a_stamp_from_lyrical_on(name, stamped):
    assert has_stamped_commands({'ROS_DISTRO': name}) == stamped


@pytest.mark.parametrize(('versions', 'stamped'), [
    ({'rclpy': '3.3.16'}, False), ({'rclpy': '9.1.1'}, False), ({'rclpy': '10.0.8'}, True),
    ({'ros-rclpy': '7.1.6'}, False), ({'ros-rclpy': '10.0.8'}, True), ({}, False),
    ({'rclpy': 'unknown', 'ros-rclpy': '11.0.0'}, True)])
@pytest.mark.parametrize('environment', [{}, {'ROS_DISTRO': ''}])
def test_without_a_name_the_version_of_rclpy_tells(monkeypatch, versions, stamped, environment):
    def version(package):
        if package not in versions:
            raise PackageNotFoundError(package)
        return versions[package]
    monkeypatch.setattr(distribution, 'version', version)
    assert has_stamped_commands(environment) == stamped


def test_the_installed_rclpy_is_found():
    assert distribution._rclpy_major() >= 3
