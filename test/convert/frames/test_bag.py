"""A rosbag2's pictures are decoded as the node decodes the same messages."""

import cv2
import numpy as np
import pytest

rosbags = pytest.importorskip('rosbags', reason='rosbags is not installed')

from rosbags.rosbag2 import StoragePlugin, Writer  # noqa: E402, I100
from rosbags.typesys import get_typestore, Stores  # noqa: E402
from vla_nav_node.errors import ImageError, SettingError  # noqa: E402
from vla_nav_node.sim.expert.simulated_frames import load_frames  # noqa: E402
from vla_nav_node.vision.preprocess import InputSpec, Preprocess  # noqa: E402

SPEC = InputSpec(24, 32)
STORE = get_typestore(Stores.ROS2_HUMBLE)
TYPES = STORE.types
HEADER = TYPES['std_msgs/msg/Header'](TYPES['builtin_interfaces/msg/Time'](1, 2), 'camera')
PICTURES = np.random.default_rng(0).integers(0, 255, (3, 24, 32, 3), np.uint8)


def _raw(picture, encoding='rgb8', channels=3):
    data = np.ascontiguousarray(picture).ravel()
    return TYPES['sensor_msgs/msg/Image'](HEADER, 24, 32, encoding, 0, 32 * channels, data)


def _compressed(picture):
    data = cv2.imencode('.png', picture[..., ::-1])[1].ravel()
    return TYPES['sensor_msgs/msg/CompressedImage'](HEADER, 'png', data)


def _write(path, topics, storage=StoragePlugin.SQLITE3):
    """Write a bag of {topic: messages}, one after the other."""
    with Writer(path, version=9, storage_plugin=storage) as writer:
        for topic, messages in topics.items():
            kind = messages[0].__msgtype__
            connection = writer.add_connection(topic, kind, typestore=STORE)
            for index, message in enumerate(messages):
                writer.write(connection, index, STORE.serialize_cdr(message, kind))


def _expected(pictures=PICTURES):
    preprocess = Preprocess(SPEC)
    return np.stack([preprocess(picture)[0].copy() for picture in pictures])


@pytest.mark.parametrize('storage', list(StoragePlugin))
def test_raw_and_compressed_pictures_are_read(tmp_path, storage):
    _write(tmp_path / 'raw', {'/camera': [_raw(one) for one in PICTURES],
                              '/name': [TYPES['std_msgs/msg/String']('x')]}, storage)
    _write(tmp_path / 'small', {'/camera/compressed': list(map(_compressed, PICTURES))}, storage)
    for bag in ('raw', 'small'):
        assert (load_frames(str(tmp_path / bag), SPEC, 9) == _expected()).all()
    assert len(load_frames(str(tmp_path / 'raw'), SPEC, 2)) == 2
    [file] = [one for one in (tmp_path / 'raw').iterdir() if one.suffix in ('.db3', '.mcap')]
    assert (load_frames(str(file), SPEC, 9) == _expected()).all()


def test_other_encodings_are_decoded_as_the_node_does(tmp_path):
    _write(tmp_path / 'bag', {'/camera': [
        _raw(one[..., ::-1], 'bgr8') for one in PICTURES]})
    assert (load_frames(str(tmp_path / 'bag'), SPEC, 9) == _expected()).all()


def test_of_several_cameras_one_is_named(tmp_path):
    _write(tmp_path / 'bag', {'/left': [_raw(one) for one in PICTURES],
                              '/right': [_raw(one) for one in PICTURES[::-1]]})
    with pytest.raises(SettingError, match=r'several cameras.*/left, /right.*bag:/left'):
        load_frames(str(tmp_path / 'bag'), SPEC, 9)
    found = load_frames(f'{tmp_path / "bag"}:/right', SPEC, 9)
    assert (found == _expected(PICTURES[::-1])).all()
    with pytest.raises(SettingError, match='no images on /middle'):
        load_frames(f'{tmp_path / "bag"}:/middle', SPEC, 9)


def test_a_bag_that_cannot_be_used_is_refused(tmp_path):
    _write(tmp_path / 'none', {'/name': [TYPES['std_msgs/msg/String']('x')]})
    with pytest.raises(SettingError, match='holds no images'):
        load_frames(str(tmp_path / 'none'), SPEC, 9)
    _write(tmp_path / 'odd', {'/camera': [_raw(PICTURES[0]), _raw(PICTURES[1], 'cmyk')]})
    with pytest.raises(ImageError, match='message 2 on /camera.*cmyk'):
        load_frames(str(tmp_path / 'odd'), SPEC, 9)
    _write(tmp_path / 'cut', {'/camera': [_raw(one) for one in PICTURES]})
    [file] = (tmp_path / 'cut').glob('*.db3')
    file.write_bytes(file.read_bytes()[:5000])
    with pytest.raises(SettingError, match='cannot be read as a rosbag2'):
        load_frames(str(tmp_path / 'cut'), SPEC, 9)
