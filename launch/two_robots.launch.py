"""
Start two robots in one launch, an example for a fleet (docs/fleet.md).

Arguments of nav.launch.py that are given here hold for both robots: sim:=true starts two
simulated robots.
"""

from launch import LaunchDescription
from launch.actions import GroupAction, IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import ThisLaunchFileDir

ROBOTS = ('robot1', 'robot2')


def generate_launch_description() -> LaunchDescription:
    """Include nav.launch.py once for each robot."""
    return LaunchDescription([robot(name) for name in ROBOTS])


def robot(name: str) -> GroupAction:
    """Return one robot; without the group its arguments would hold for the next one too."""
    return GroupAction([IncludeLaunchDescription(
        PythonLaunchDescriptionSource([ThisLaunchFileDir(), '/nav.launch.py']),
        launch_arguments={'namespace': name, 'required': 'false'}.items())])
