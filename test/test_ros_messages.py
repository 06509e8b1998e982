"""ROS messages: what goes in and out keeps its numbers, and pictures are not copied."""

import array
import importlib.util

from builtin_interfaces.msg import Time
import numpy as np
import pytest
from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import CompressedImage, Image

from vla_nav_node import image, ros_messages
from vla_nav_node.health import Status
from vla_nav_node.interfaces import Command

STAMP = Time(sec=12, nanosec=34)


def image_message():
    """Make a small picture with padded rows."""
    msg = Image(height=2, width=3, encoding='bgr8', step=10, is_bigendian=1)
    msg.header.stamp = STAMP
    msg.data = array.array('B', range(20))
    return msg


def test_frame_from_image():
    """Every field arrives, and the bytes stay where they are."""
    msg = image_message()
    frame = ros_messages.frame_from_image(msg, 99)
    assert (frame.encoding, frame.height, frame.width, frame.step) == ('bgr8', 2, 3, 10)
    assert (frame.stamp_ns, frame.received_ns) == (12_000_000_034, 99)
    assert frame.is_bigendian is True and frame.compressed is False
    assert np.shares_memory(np.frombuffer(frame.data, np.uint8), np.frombuffer(msg.data, np.uint8))


def test_frame_from_an_image_of_bytes_and_of_an_array():
    """What other deserialisers put into `data` works the same."""
    for data in (bytes(20), np.zeros(20, np.uint8)):
        msg = image_message()
        msg._data = data
        assert ros_messages.frame_from_image(msg, 0).data.nbytes == 20


def test_frame_from_compressed():
    """The format goes where the encoding is, and there are no sizes."""
    msg = CompressedImage(format='rgb8; jpeg compressed bgr8', data=array.array('B', [1, 2]))
    msg.header.stamp = STAMP
    frame = ros_messages.frame_from_compressed(msg, 5)
    assert frame.compressed and frame.encoding == msg.format
    assert (frame.height, frame.width, frame.step) == (0, 0, 0)
    assert (frame.stamp_ns, frame.received_ns) == (12_000_000_034, 5)
    assert bytes(frame.data) == b'\x01\x02'


def test_twist_keeps_its_numbers_on_the_wire():
    """A numpy float32, which rclpy would send as garbage, arrives as the number it is."""
    msg = ros_messages.twist(Command(np.float32(0.5), np.float32(-0.25)))
    arrived = deserialize_message(serialize_message(msg), type(msg))
    assert (arrived.linear.x, arrived.linear.y) == (0.5, -0.25)
    assert (arrived.linear.z, arrived.angular.z) == (0.0, 0.0)


def test_twist_stamped():
    """The stamped form says when and in which frame."""
    msg = ros_messages.twist_stamped(Command(0.1, 0.2), STAMP, 'base_link')
    assert (msg.header.stamp, msg.header.frame_id) == (STAMP, 'base_link')
    assert (msg.twist.linear.x, msg.twist.linear.y) == (0.1, 0.2)


def test_diagnostics():
    """Levels are ROS's bytes, values are text."""
    statuses = [Status('camera', 2, 'no picture', {'age': 0.5}), Status('budget', 0, 'ok', {})]
    msg = ros_messages.diagnostics(STAMP, statuses)
    arrived = deserialize_message(serialize_message(msg), type(msg))
    assert arrived.header.stamp == STAMP
    assert [status.level for status in arrived.status] == [b'\x02', b'\x00']
    assert [status.name for status in arrived.status] == ['camera', 'budget']
    assert (arrived.status[0].values[0].key, arrived.status[0].values[0].value) == ('age', '0.5')


@pytest.mark.skipif(importlib.util.find_spec('cv_bridge') is not None, reason='it is installed')
def test_decoder_without_cv_bridge():
    """Without cv_bridge all pictures go through OpenCV."""
    assert ros_messages.decoder() is image.decode


def test_cv_bridge_is_used_where_it_is_right():
    """A working cv_bridge decodes every encoding that it is asked for."""
    pytest.importorskip('cv_bridge', reason='cv_bridge is not importable here')
    decode = ros_messages.decoder()
    assert isinstance(decode, ros_messages.BridgeDecoder)
    assert decode.encodings == frozenset(ros_messages.BRIDGED)


def test_what_cv_bridge_cannot_do_is_found_out():
    """An encoding that does not come out right is not left to cv_bridge, and the reason told."""
    cv_bridge = pytest.importorskip('cv_bridge', reason='cv_bridge is not importable here')
    right, refused = ros_messages.try_bridge(cv_bridge.CvBridge(), ('bgr8', 'nv21', '8UC3'))
    assert right == frozenset(['bgr8'])
    assert [text.split()[0] for text in refused] == ['nv21', '8UC3']
    assert 'not a color format' in refused[1]
