"""The simulated robot's parameters: declared with their ranges, read once."""

from dataclasses import dataclass, fields
import math
from typing import Any, Dict, Tuple

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.exceptions import ParameterException
from rclpy.node import Node

from .next_episode import LOOP, ONE
from ...driving.settings import Settings
from ...errors import SettingError

# The node that drives shares its parameters file: nav.launch.py gives it to both.
NEIGHBOURS = tuple(field.name for field in fields(Settings))


@dataclass(frozen=True)
class SimSettings:
    """The values of all parameters; the fields are named as the parameters are."""

    seed: int
    scenario: str
    frame_rate: float
    width: int
    height: int
    frame_loss: float
    compressed: bool
    camera_reliable: bool
    enable_stamped_cmd_vel: bool
    cmd_vel_timeout: float
    time_limit: float
    episodes: str


# name: default, description, range (choices of a string)
TABLE: Dict[str, Tuple[Any, str, Tuple]] = {
    'seed': (0, 'Seed of the first episode; each reset takes the next one.', (0, 2**31 - 1)),
    'scenario': ('', 'Which of the scenarios is drawn, e.g. 1_box_crosswise_left or random; '
                 'empty: all of them in turn.', ()),
    'frame_rate': (30.0, 'Pictures a second, Hz.', (1.0, 200.0)),
    'width': (640, 'Width of the picture, pixels.', (16, 3840)),
    'height': (480, 'Height of the picture, pixels.', (16, 2160)),
    'frame_loss': (0.0, 'Share of the pictures that are not published, as a bad camera loses '
                   'them.', (0.0, 1.0)),
    'compressed': (False, 'Publish sensor_msgs/CompressedImage (jpeg) on image/compressed instead '
                   'of sensor_msgs/Image on image.', ()),
    'camera_reliable': (False, 'Offer the pictures as reliable instead of best effort.', ()),
    'enable_stamped_cmd_vel': (False, 'Take cmd_vel as TwistStamped instead of Twist (the name is '
                               "Nav2's).", ()),
    'cmd_vel_timeout': (0.5, 'The base stops this long after the last command, s.',
                        (0.01, 60.0)),
    'time_limit': (30.0, 'An episode that takes longer has failed, s.', (0.1, 86400.0)),
    'episodes': (LOOP, 'loop: the next episode starts by itself; one: it waits for ~/reset.',
                 (LOOP, ONE)),
}


def declare(node: Node) -> SimSettings:
    """Declare all parameters on the node and give their values; SettingError for a bad one."""
    return SimSettings(**{name: _declare(node, name, *row) for name, row in TABLE.items()})


def _declare(node: Node, name: str, default: Any, description: str, limits: Tuple) -> Any:
    descriptor = ParameterDescriptor(description=description, read_only=True)
    if limits and isinstance(default, float):
        descriptor.floating_point_range = [
            FloatingPointRange(from_value=limits[0], to_value=limits[1], step=0.0)]
    elif limits and isinstance(default, int):
        descriptor.integer_range = [
            IntegerRange(from_value=limits[0], to_value=limits[1], step=1)]
    expected = _expected(default, limits)
    try:
        value = node.declare_parameter(name, default, descriptor).value
    except ParameterException as error:
        raise SettingError(str(error), expected) from None  # it names the parameter
    if isinstance(value, float) and not math.isfinite(value):  # passes every range
        raise SettingError(f'{name}: {value}', expected)
    if limits and isinstance(value, str) and value not in limits:
        raise SettingError(f'{name}: {value!r}', expected)
    return value


def _expected(default: Any, limits: Tuple) -> str:
    if isinstance(default, str) and limits:
        return ' or '.join(limits)
    kind = {bool: 'true or false', int: 'an integer', float: 'a double (30.0, not 30)',
            str: 'a string'}[type(default)]
    return f'{kind} from {limits[0]} to {limits[1]}' if limits else kind
