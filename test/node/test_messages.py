"""Outgoing messages keep their numbers; cv_bridge is used only where it is correct."""

import importlib.util

from builtin_interfaces.msg import Time
from geometry_msgs.msg import Twist, TwistStamped, Vector3
import numpy as np
import pytest
from rclpy.serialization import deserialize_message, serialize_message
from std_msgs.msg import Float64MultiArray

from vla_nav_node.driving.diagnostics.statuses import Status
from vla_nav_node.node import messages
from vla_nav_node.types import Command
from vla_nav_node.vision import image_encodings

STAMP = Time(sec=12, nanosec=34)


def test_twist_keeps_its_numbers_on_the_wire():
    """A numpy float32, which rclpy would send as a wrong number, arrives unchanged."""
    written = messages.TwistWriter()(Command(np.float32(0.5), np.float32(-0.25)))
    expected = Twist(linear=Vector3(x=0.5, y=-0.25))
    assert deserialize_message(written, Twist) == expected
    assert written == serialize_message(expected)


@pytest.mark.parametrize('frame_id', ['', 'a', 'base_link', 'odom/base_link', 'Fahrgestell_ü'])
@pytest.mark.parametrize('stamp_ns', [0, 7, 1_700_000_000_123_456_789, -1])
def test_a_twist_stamped_arrives_unchanged_whatever_its_frame(frame_id, stamp_ns):
    written = messages.TwistStampedWriter(frame_id)(
        Command(np.float32(0.5), np.float32(-0.25)), stamp_ns)
    expected = TwistStamped(twist=Twist(linear=Vector3(x=0.5, y=-0.25)))
    expected.header.frame_id = frame_id
    expected.header.stamp.sec, expected.header.stamp.nanosec = divmod(stamp_ns, 10 ** 9)
    assert deserialize_message(written, TwistStamped) == expected
    assert len(written) == len(serialize_message(expected))


def test_latencies_arrive_as_they_were_written():
    """The message can be read by rclpy, labels included."""
    write = messages.LatencyWriter(['cycle', 'age', 'used'])
    for values in ([0.0, 0.0, 0.0], [1.5, 5e-324, -2.25]):
        arrived = deserialize_message(write(values), Float64MultiArray)
        assert list(arrived.data) == values
        assert [dim.label for dim in arrived.layout.dim] == ['cycle', 'age', 'used']


def test_diagnostics():
    """Levels are ROS's bytes, values are text."""
    statuses = [Status('camera', 2, 'no picture', {'age': 0.5}), Status('budget', 0, 'ok', {})]
    msg = messages.diagnostics(STAMP, statuses, 'robot1/vla_nav_node')
    arrived = deserialize_message(serialize_message(msg), type(msg))
    assert arrived.header.stamp == STAMP
    assert [status.level for status in arrived.status] == [b'\x02', b'\x00']
    assert [status.name for status in arrived.status] == [
        'robot1/vla_nav_node: camera', 'robot1/vla_nav_node: budget']
    assert {status.hardware_id for status in arrived.status} == {'robot1/vla_nav_node'}
    assert (arrived.status[0].values[0].key, arrived.status[0].values[0].value) == ('age', '0.5')
    named = messages.diagnostics(STAMP, statuses, 'robot1/vla_nav_node', 'serial 12')
    assert {status.hardware_id for status in named.status} == {'serial 12'}


@pytest.mark.skipif(importlib.util.find_spec('cv_bridge') is not None, reason='it is installed')
def test_decoder_without_cv_bridge():
    """Without cv_bridge all pictures go through OpenCV."""
    assert isinstance(messages.decoder(), image_encodings.Decoder)


def test_cv_bridge_is_used_where_it_is_right():
    """A working cv_bridge decodes all encodings that are left to it."""
    pytest.importorskip('cv_bridge', reason='cv_bridge is not importable here')
    decode = messages.decoder()
    assert isinstance(decode, messages.BridgeDecoder)
    assert decode.encodings == frozenset(messages.BRIDGED)


def test_encodings_that_cv_bridge_cannot_decode_are_found():
    """An encoding that cv_bridge decodes wrongly is refused with a reason."""
    cv_bridge = pytest.importorskip('cv_bridge', reason='cv_bridge is not importable here')
    right, refused = messages.try_bridge(cv_bridge.CvBridge(), ('bgr8', 'nv21', '8UC3'))
    assert right == frozenset(['bgr8'])
    assert [text.split()[0] for text in refused] == ['nv21', '8UC3']
    assert 'not a color format' in refused[1]
