"""Starts the node as a controller with twist_mux and Nav2's smoother and collision monitor."""

from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

SHARE = Path(get_package_share_directory('vla_nav_node'))
# package, executable, name, remappings
CHAIN = (
    ('twist_mux', 'twist_mux', 'twist_mux', [('cmd_vel_out', 'cmd_vel_raw')]),
    ('nav2_velocity_smoother', 'velocity_smoother', 'velocity_smoother',
     [('cmd_vel', 'cmd_vel_raw')]),
    ('nav2_collision_monitor', 'collision_monitor', 'collision_monitor', []),
    ('nav2_lifecycle_manager', 'lifecycle_manager', 'lifecycle_manager_camera_navigation', []))


def generate_launch_description() -> LaunchDescription:
    """Start the chain of docs/nav2.md."""
    settings = LaunchConfiguration('nav2_params_file')
    return LaunchDescription([
        DeclareLaunchArgument('nav2_params_file', default_value=str(SHARE / 'config/nav2.yaml'),
                              description='Parameters of twist_mux and of the Nav2 nodes.'),
        IncludeLaunchDescription(
            PythonLaunchDescriptionSource(str(SHARE / 'launch/nav.launch.py')),
            launch_arguments={'autostart': 'false', 'cmd_vel_topic': 'cmd_vel_nav'}.items()),
        *(Node(package=package, executable=executable, name=name, parameters=[settings],
               remappings=remappings, output='screen')
          for package, executable, name, remappings in CHAIN)])
