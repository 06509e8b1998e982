"""Starts the node for a real robot, or with `sim:=true` the simulated robot beside it."""

import os

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction, Shutdown
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue
from vla_nav_node.node.start import fastdds_profile
from vla_nav_node.node.start.ros_arguments import readers_of

PACKAGE = 'vla_nav_node'
DRIVER, ROBOT = 'vla_nav_node', 'sim_robot'  # names of nodes
EXECUTABLES = {DRIVER: 'vla_nav_node', ROBOT: 'sim_node'}

# name: (default, description). An empty default leaves the matter to params_file and the node.
ARGUMENTS = {
    'image_topic': ('image', 'Topic of the camera; with image_transport:=compressed its base '
                             'name, as in camera/image_raw.'),
    'cmd_vel_topic': ('cmd_vel', 'Topic of the velocity commands.'),
    'namespace': ('', 'Namespace of everything that is started.'),
    'params_file': ('', 'YAML file of node parameters; what is given here by name wins over it.'),
    'respawn': ('false', 'Start a process that died again after 2 s: true or false.'),
    'sim': ('false', 'Start the simulated robot too: true or false.'),
}
NODE_PARAMETERS = {
    'model': (str, 'Directory of the policy bundle; empty: the bundle that ships.'),
    'backend': (str, 'Runtime of the policy: onnx, torch or tensorrt.'),
    'precision': (str, 'Precision of the layers: fp32, fp16 or int8.'),
    'device': (str, 'Where the policy runs: auto, cpu or cuda.'),
    'control_period_ms': (float, 'Control period and budget of one cycle, ms; usual: 10 or 20.'),
    'image_transport': (str, 'raw, or compressed for sensor_msgs/CompressedImage.'),
}
SIM_PARAMETERS = {
    'seed': (int, 'Simulated robot: seed of the first episode.'),
    'scenario': (str, 'Simulated robot: scenario of every episode; empty: drawn from the seed.'),
    'frame_rate': (float, "Simulated robot: the camera's frames per second."),
}


def generate_launch_description() -> LaunchDescription:
    """Declare the arguments and put off the rest until their values are known."""
    rows = dict(ARGUMENTS)
    for table in (NODE_PARAMETERS, SIM_PARAMETERS):
        rows.update({name: ('', text) for name, (_, text) in table.items()})
    return LaunchDescription([
        *(DeclareLaunchArgument(name, default_value=default, description=text)
          for name, (default, text) in rows.items()),
        OpaqueFunction(function=start),
    ])


def start(context) -> list:
    """Make the processes out of the arguments' values."""
    value = {name: LaunchConfiguration(name).perform(context)
             for name in (*ARGUMENTS, *NODE_PARAMETERS, *SIM_PARAMETERS)}
    started = {DRIVER: given(NODE_PARAMETERS, value)}
    if is_true(value['sim']):
        camera = {'compressed': value['image_transport'] == 'compressed'}
        started[ROBOT] = {**given(SIM_PARAMETERS, value), **camera}
    file = value['params_file']
    readers = readers_of(file, value['namespace'], list(started)) if file else []
    return [process(EXECUTABLES[name], name, value,
                    [file, parameters] if name in readers else [parameters])
            for name, parameters in started.items()]


def process(executable: str, name: str, value: dict, parameters: list) -> Node:
    """Describe one process; both speak on the same topics, in one namespace, over one profile."""
    respawn = is_true(value['respawn'])
    image = value['image_topic']
    return Node(
        package=PACKAGE, executable=executable, name=name, namespace=value['namespace'],
        parameters=parameters, output='screen', emulate_tty=True,
        remappings=[('image', image), ('image/compressed', image + '/compressed'),
                    ('cmd_vel', value['cmd_vel_topic'])],
        additional_env=profile(),
        respawn=respawn, respawn_delay=2.0,
        # Neither is of use without the other; and a refusal to start must end the launch.
        on_exit=None if respawn else [Shutdown()])


def profile() -> dict:
    """Return the variables that name the Fast DDS profile, unless the user has one of his own."""
    wanted = fastdds_profile.environment(os.environ)
    return {name: wanted[name] for name in fastdds_profile.VARIABLES if name in wanted}


def given(table: dict, value: dict) -> dict:
    """Return the parameters whose argument is not empty, each in its type."""
    return {name: ParameterValue(LaunchConfiguration(name), value_type=kind)
            for name, (kind, _) in table.items() if value[name]}


def is_true(text: str) -> bool:
    """Read a launch argument as yes or no."""
    if text.lower() not in ('true', 'false'):
        raise ValueError(f'found {text!r}, expected true or false')
    return text.lower() == 'true'
