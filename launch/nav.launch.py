"""Start the node for a real robot, and with `sim:=true` the simulated robot too."""

import os

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction, Shutdown
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue
from vla_nav_node.node.start import fastdds_profile
from vla_nav_node.node.start.ros_arguments import readers_of

PACKAGE = 'vla_nav_node'
NAVIGATION, ROBOT = 'vla_nav_node', 'sim_robot'  # names of nodes
EXECUTABLES = {NAVIGATION: 'vla_nav_node', ROBOT: 'sim_node'}

# name: (default, description). An empty argument leaves the value to params_file and the node.
ARGUMENTS = {
    'image_topic': ('image', 'Topic of the camera, such as camera/image_raw; with '
                             'image_transport:=compressed without /compressed.'),
    'cmd_vel_topic': ('cmd_vel', 'Topic of the velocity commands.'),
    'namespace': ('', 'Namespace of all nodes.'),
    'params_file': ('', 'YAML file of node parameters; other launch arguments override it.'),
    'respawn': ('false', 'Restart a process 2 s after it died: true or false.'),
    'sim': ('false', 'Start the simulated robot too: true or false.'),
}
NODE_PARAMETERS = {
    'model': (str, 'Directory of the policy bundle; empty: the bundle of this package.'),
    'backend': (str, 'Runtime of the policy: onnx, torch or tensorrt.'),
    'precision': (str, 'Precision of the layers: fp32, fp16 or int8.'),
    'device': (str, 'Where the policy runs: auto, cpu or cuda.'),
    'control_period_ms': (float, 'Control period and budget of one cycle, ms; usually 10 or 20.'),
    'image_transport': (str, 'raw, or compressed for sensor_msgs/CompressedImage.'),
}
SIM_PARAMETERS = {
    'seed': (int, 'Simulated robot: seed of the first episode.'),
    'scenario': (str, 'Simulated robot: scenario of every episode; empty: random, by the seed.'),
    'frame_rate': (float, "Simulated robot: the camera's frames per second."),
}


def generate_launch_description() -> LaunchDescription:
    """Declare the arguments; `start` makes the nodes once their values are known."""
    rows = dict(ARGUMENTS)
    for table in (NODE_PARAMETERS, SIM_PARAMETERS):
        rows.update({name: ('', text) for name, (_, text) in table.items()})
    return LaunchDescription([
        *(DeclareLaunchArgument(name, default_value=default, description=text)
          for name, (default, text) in rows.items()),
        OpaqueFunction(function=start),
    ])


def start(context) -> list:
    """Return the nodes that the arguments ask for."""
    value = {name: LaunchConfiguration(name).perform(context)
             for name in (*ARGUMENTS, *NODE_PARAMETERS, *SIM_PARAMETERS)}
    nodes = {NAVIGATION: set_arguments(NODE_PARAMETERS, value)}
    if is_true(value['sim']):
        camera = {'compressed': value['image_transport'] == 'compressed'}
        nodes[ROBOT] = {**set_arguments(SIM_PARAMETERS, value), **camera}
    file = value['params_file']
    readers = readers_of(file, value['namespace'], list(nodes)) if file else []
    return [process(EXECUTABLES[name], name, value,
                    [file, parameters] if name in readers else [parameters])
            for name, parameters in nodes.items()]


def process(executable: str, name: str, value: dict, parameters: list) -> Node:
    """Return one node; all have the same topics, namespace and Fast DDS profile."""
    respawn = is_true(value['respawn'])
    image = value['image_topic']
    return Node(
        package=PACKAGE, executable=executable, name=name, namespace=value['namespace'],
        parameters=parameters, output='screen', emulate_tty=True,
        remappings=[('image', image), ('image/compressed', image + '/compressed'),
                    ('cmd_vel', value['cmd_vel_topic'])],
        additional_env=profile(),
        respawn=respawn, respawn_delay=2.0,
        # Neither node is useful alone, and a refused start must end the launch.
        on_exit=None if respawn else [Shutdown()])


def profile() -> dict:
    """Return the environment variables of the Fast DDS profile; the user may have set one."""
    env = fastdds_profile.environment(os.environ)
    return {name: env[name] for name in fastdds_profile.VARIABLES if name in env}


def set_arguments(table: dict, value: dict) -> dict:
    """Return the parameters whose argument is not empty, each of its type."""
    return {name: ParameterValue(LaunchConfiguration(name), value_type=kind)
            for name, (kind, _) in table.items() if value[name]}


def is_true(text: str) -> bool:
    """Return a launch argument as a bool; raise ValueError if it is not one."""
    if text.lower() not in ('true', 'false'):
        raise ValueError(f'found {text!r}; expected true or false')
    return text.lower() == 'true'
