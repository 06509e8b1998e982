"""The simulated robot's parameters."""

from dataclasses import dataclass, fields

from rclpy.node import Node

from .next_episode import LOOP, ONE
from ...driving.parameters import Parameter, Settings
from ...node import parameter_calls

# nav.launch.py passes one parameters file to this node and to the one that drives.
NEIGHBOURS = tuple(field.name for field in fields(Settings))


@dataclass(frozen=True)
class SimSettings:
    """The values of all parameters, checked; the fields are named as the parameters are."""

    seed: int
    scenario: str
    frame_rate: float
    width: int
    height: int
    frame_loss: float
    compressed: bool
    camera_reliable: bool
    cmd_vel_timeout: float
    time_limit: float
    episodes: str


TABLE = (
    Parameter('seed', 0, 'Seed of the first episode; each reset takes the next one.',
              high=2**31 - 1),
    Parameter('scenario', '', 'Scenario of every episode, e.g. 1_box_crosswise_left or random; '
              'empty: drawn from the seed.'),
    Parameter('frame_rate', 30.0, 'Frames a second.', 'Hz', 1.0, 200.0),
    Parameter('width', 640, 'Width of the image.', 'pixels', 16, 3840),
    Parameter('height', 480, 'Height of the image.', 'pixels', 16, 2160),
    Parameter('frame_loss', 0.0, 'Share of the frames that are not published, as a bad camera '
              'loses them.', high=1.0),
    Parameter('compressed', False, 'Publish sensor_msgs/CompressedImage (jpeg) on '
              'image/compressed instead of sensor_msgs/Image on image.'),
    Parameter('camera_reliable', False, 'Publish images as reliable instead of best effort.'),
    Parameter('cmd_vel_timeout', 0.5, 'The base stops this long after the last command.', 's',
              0.01, 60.0),
    Parameter('time_limit', 30.0, 'An episode that takes longer has failed.', 's', 0.1, 86400.0),
    Parameter('episodes', LOOP, 'loop: the next episode starts by itself; one: it waits for '
              '~/reset.', choices=(LOOP, ONE)))


def declare(node: Node) -> SimSettings:
    """Declare all parameters on the node and return their values; SettingError if one is bad."""
    return SimSettings(**parameter_calls.declare(node, TABLE))
