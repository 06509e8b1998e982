"""Start the node for one robot, and with `sim:=true` the simulated robot too (docs/fleet.md)."""

from pathlib import Path
import time
from typing import Any, Dict, List, Optional, Tuple

from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from launch.actions import DeclareLaunchArgument, EmitEvent, OpaqueFunction, Shutdown
from launch.events.process import ProcessExited, ShutdownProcess
from launch.logging import get_logger
from launch.substitutions import LaunchConfiguration
from launch.utilities.type_utils import get_typed_value
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue
from launch_ros.utilities import make_namespace_absolute, prefix_namespace
from vla_nav_node.errors import SettingError
from vla_nav_node.node.start import fastdds_profile
from vla_nav_node.node.start.ros_arguments import readers_of

PACKAGE = 'vla_nav_node'
NAVIGATION, ROBOT = 'vla_nav_node', 'sim_robot'  # names of nodes
EXECUTABLES = {NAVIGATION: 'vla_nav_node', ROBOT: 'sim_node'}
REFUSED = 2  # exit status of both nodes for bad settings: the next start would end the same way
RESPAWN_DELAY_S = 2.0
LONG_RUN_S = 600.0  # a process that ran for this long had recovered

# name: (default, description). An empty argument leaves the value to params_file and the node.
ARGUMENTS = {
    'image_topic': ('image', 'Topic of the camera, such as camera/image_raw; with '
                             'image_transport:=compressed without /compressed.'),
    'cmd_vel_topic': ('cmd_vel', 'Topic of the velocity commands.'),
    'namespace': ('', 'Namespace of all nodes.'),
    'params_file': ('', 'YAML file of node parameters; other launch arguments override it.'),
    'required': ('true', 'When a process ends: true ends the whole launch, false only the '
                         'processes of this robot.'),
    'respawn': ('false', 'Restart a process 2 s after it ended, except after a refusal (exit '
                         'status 2): true or false.'),
    'respawn_max_retries': ('5', 'How often in a row a process is restarted; a run of 10 minutes '
                                 'starts a new count. -1: without end.'),
    'sim': ('false', 'Start the simulated robot too: true or false.'),
}
NODE_PARAMETERS = {
    'model': (str, 'Directory of the policy bundle; empty: the bundle of this package.'),
    'backend': (str, 'Runtime of the policy: onnx, torch or tensorrt.'),
    'precision': (str, 'Precision of the layers: fp32, fp16 or int8.'),
    'device': (str, 'Where the policy runs: auto, cpu or cuda.'),
    'control_period_ms': (float, 'Control period and budget of one cycle, ms; usually 10 or 20.'),
    'image_transport': (str, 'raw, or compressed for sensor_msgs/CompressedImage.'),
    'image_qos': (str, 'Reliability of the image subscription: auto, sensor_data or reliable.'),
    'image_rotation': (int, 'Clockwise rotation that makes the pictures upright, degrees.'),
    'blank_guard': (bool, 'Stop on pictures that show nothing: true or false.'),
    'max_linear_x': (float, 'Maximum speed forward and backward, m/s.'),
    'max_linear_y': (float, 'Maximum speed to the left and right, m/s.'),
    'fallback_backends': (List[str], 'Backends that take over from one that fails, such as '
                                     "['onnx:fp32@cpu', 'torch']."),
    'hardware_id': (str, "hardware_id of the diagnostics; empty: the node's full name."),
    'autostart': (bool, 'Configure and activate at the start; false for a lifecycle manager.'),
}
SIM_PARAMETERS = {
    'seed': (int, 'Simulated robot: seed of the first episode.'),
    'scenario': (str, 'Simulated robot: scenario of every episode; empty: random, by the seed.'),
    'frame_rate': (float, "Simulated robot: the camera's frames per second."),
    'episodes': (str, 'Simulated robot: loop starts the next episode by itself, one waits for '
                      '~/reset; empty: loop.'),
}
BOTH = {  # parameters of the node and of the simulated robot
    'enable_stamped_cmd_vel': (bool, 'Publish cmd_vel as TwistStamped: true or false.'),
    'use_sim_time': (bool, 'Take the time from /clock: true or false.'),
}
EXPECTED = {bool: 'true or false', int: 'an integer', float: 'a number', str: 'text',
            List[str]: "a list such as ['onnx:fp32@cpu', 'torch']"}
TABLES = (NODE_PARAMETERS, SIM_PARAMETERS, BOTH)


def generate_launch_description() -> LaunchDescription:
    """Declare the arguments; `start` makes the nodes once their values are known."""
    rows = dict(ARGUMENTS)
    for table in TABLES:
        rows.update({name: ('', text) for name, (_, text) in table.items()})
    return LaunchDescription([
        *(DeclareLaunchArgument(name, default_value=default, description=text)
          for name, (default, text) in rows.items()),
        OpaqueFunction(function=start),
    ])


def start(context: LaunchContext) -> List[Node]:
    """Return the nodes that the arguments ask for."""
    value = {name: LaunchConfiguration(name).perform(context)
             for table in (ARGUMENTS, *TABLES) for name in table}
    nodes = {NAVIGATION: set_arguments({**NODE_PARAMETERS, **BOTH}, value)}
    if typed('sim', value['sim'], bool):
        camera = {'compressed': value['image_transport'] == 'compressed'}
        nodes[ROBOT] = {**set_arguments({**SIM_PARAMETERS, **BOTH}, value), **camera}
    namespace = full_namespace(value['namespace'], context)
    file = value['params_file']
    readers = readers_of(existing(file), namespace, list(nodes)) if file else []
    group = Group(namespace, value)
    group.nodes = [process(name, value, group, [file, parameters] if name in readers
                           else [parameters]) for name, parameters in nodes.items()]
    return group.nodes


def process(name: str, value: Dict[str, str], group: 'Group', parameters: list) -> Node:
    """Return one node; all have the same topics, namespace and Fast DDS profile."""
    image = value['image_topic']
    return Node(
        package=PACKAGE, executable=EXECUTABLES[name], name=name, namespace=value['namespace'],
        parameters=parameters, output='screen', emulate_tty=True,
        remappings=[('image', image), ('image/compressed', image + '/compressed'),
                    ('cmd_vel', value['cmd_vel_topic'])],
        # The user's own profile, too: one for the whole launch or one set in a group.
        additional_env={name: text for name, text in fastdds_profile.environment().items()
                        if name in fastdds_profile.VARIABLES},
        respawn=group.respawn, respawn_delay=RESPAWN_DELAY_S, on_exit=group.on_exit)


class Group:
    """The processes of one robot: they end together, since none is useful alone."""

    def __init__(self, namespace: str, value: Dict[str, str]) -> None:
        """Read what to do when a process ends."""
        self.nodes: List[Node] = []
        self.respawn = typed('respawn', value['respawn'], bool)
        self._required = typed('required', value['required'], bool)
        self._restarts = Restarts(
            typed('respawn_max_retries', value['respawn_max_retries'], int))
        self._logger = get_logger(namespace.strip('/') or PACKAGE)
        self._ended = False

    def on_exit(self, event: ProcessExited,
                context: LaunchContext) -> Optional[List[LaunchDescriptionEntity]]:
        """Let launch restart the process, or end what belongs to it."""
        if self._ended or context.is_shutdown:
            return None
        what = f'{event.process_name} ended with status {event.returncode}'
        if self.respawn and event.returncode == REFUSED:
            what += ', which a restart would not change'
        elif self.respawn:
            number = self._restarts.count(event.action, time.monotonic())
            if number:
                self._logger.warning(f'{what}: restart {number} in {RESPAWN_DELAY_S:g} s')
                return None
            what += f' after {self._restarts.most} restarts'
        return self._end(what, event.returncode, context)

    def _end(self, what: str, status: int,
             context: LaunchContext) -> List[LaunchDescriptionEntity]:
        self._ended = True
        ends = 'the launch' if self._required else 'the processes of this robot'
        self._logger.error(f'{what}: ending {ends}')
        if status != 0:
            # Sets the launch's exit status, which has no setter, and ends nothing: an action that
            # raises would set it too, but end all robots.
            context.asyncio_loop.call_exception_handler(
                {'message': 'ros2 launch will end with exit status 1'})
        if self._required:
            return [Shutdown(reason=what)]
        # Also ends a restart that waits for its delay.
        return [EmitEvent(event=ShutdownProcess(process_matcher=self.nodes.__contains__))]


class Restarts:
    """Count the restarts of each process in a row."""

    def __init__(self, most: int) -> None:
        """Allow `most` restarts in a row, any number if it is negative."""
        self.most = most
        self._last: Dict[Any, Tuple[int, float]] = {}  # by process: restarts, time of the end

    def count(self, process: Any, now: float) -> int:
        """Return the number of the restart after an end at `now` (s), 0 if there is none left."""
        number, before = self._last.get(process, (0, now))
        number = 1 if now - before > LONG_RUN_S else number + 1
        self._last[process] = number, now
        return number if self.most < 0 or number <= self.most else 0


def existing(file: str) -> str:
    """Return the path of a file; raise if there is none, since launch would go on without it."""
    if not Path(file).is_file():
        raise SettingError(f'params_file is {file}, which is not a file',
                           'a YAML file of node parameters', 'check the path, relative to '
                           f'{Path.cwd()}')
    return file


def full_namespace(namespace: str, context: LaunchContext) -> str:
    """Return the namespace inside the one that a PushRosNamespace has set."""
    pushed = context.launch_configurations.get('ros_namespace')
    return make_namespace_absolute(prefix_namespace(pushed, namespace)) or '/'


def set_arguments(table: dict, value: Dict[str, str]) -> dict:
    """Return the parameters whose argument is not empty, each of its type."""
    return {name: ParameterValue(typed(name, value[name], kind), value_type=kind)
            for name, (kind, _) in table.items() if value[name]}


def typed(name: str, text: str, kind: Any) -> Any:
    """Return an argument as a value of a type, or raise."""
    try:
        return get_typed_value(text, kind)
    except ValueError:
        raise SettingError(f'{name} is {text!r}', EXPECTED[kind]) from None
