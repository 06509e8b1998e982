"""Read the pictures of a rosbag2 without ROS, decoded as the node decodes them."""

from pathlib import Path
from typing import Any, Callable, Dict, Generator, List

import numpy as np

from ...errors import ImageError, SettingError
from ...node.cdr import read_compressed_image, read_image
from ...system.install_lines import pip_install
from ...types import Frame
from ...vision.image_encodings import decode

METADATA = 'metadata.yaml'
STORAGES = ('.mcap', '.db3')
READERS: Dict[str, Callable[[bytes, int], Frame]] = {
    'sensor_msgs/msg/Image': read_image, 'sensor_msgs/msg/CompressedImage': read_compressed_image}


def is_bag(path: Path) -> bool:
    """Return whether this is the folder or a storage file of a rosbag2."""
    return path.suffix in STORAGES if path.is_file() else (path / METADATA).is_file()


def bag_pictures(path: Path, topic: str = '') -> Generator[np.ndarray, None, None]:
    """
    Yield a topic's pictures in the order of recording: uint8 [H, W, 3] RGB.

    Without a topic, read the only one with images. Raise SettingError or ImageError.
    """
    try:
        from rosbags.rosbag2 import Reader
    except ModuleNotFoundError as error:
        raise SettingError(f'reading a rosbag2 needs the Python package {error.name}',
                           fix=pip_install('bags')) from None
    try:
        with Reader(path) as reader:
            connections = _connections(path, reader.connections, topic)
            messages = reader.messages(connections)
            for number, (connection, _, raw) in enumerate(messages, 1):
                yield _picture(raw, connection, number)
    except (ImageError, SettingError):
        raise
    except Exception as error:  # those of rosbags, SQLite and the compressors share no base
        raise SettingError(f'{path} cannot be read as a rosbag2: {error}',
                           'a bag that was closed properly', "try 'ros2 bag reindex'") from error


def _connections(path: Path, connections: List[Any], topic: str) -> List[Any]:
    """Return the connections of the chosen image topic."""
    cameras = [one for one in connections if one.msgtype in READERS and one.msgcount]
    topics = sorted({one.topic for one in cameras})
    if not topics:
        raise SettingError(f'{path} holds no images', 'messages of ' + ' or '.join(READERS),
                           'record the topic of the camera')
    if topic not in topics and (topic or len(topics) > 1):
        found = f'{path} has no images on {topic}' if topic else f'{path} has several cameras'
        raise SettingError(found, 'one of: ' + ', '.join(topics), f'name it: {path}:{topics[0]}')
    return [one for one in cameras if one.topic == (topic or topics[0])]


def _picture(raw: bytes, connection: Any, number: int) -> np.ndarray:
    try:
        return decode(READERS[connection.msgtype](raw, 0))
    except ImageError as error:
        raise ImageError(f'message {number} on {connection.topic}: {error.found}',
                         error.expected, error.fix) from None
