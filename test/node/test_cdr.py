"""Serialised images are read like rclpy reads them, or refused."""

from array import array
from dataclasses import replace
import struct

from hypothesis import given, settings, strategies as st
import numpy as np
import pytest
from rclpy.serialization import deserialize_message, serialize_message
from rclpy.time import Time
from sensor_msgs.msg import CompressedImage, Image

from vla_nav_node.errors import ImageError
from vla_nav_node.node.cdr import read_compressed_image, read_image
from vla_nav_node.types import Frame

READERS = {Image: read_image, CompressedImage: read_compressed_image}
UINT32 = st.integers(0, 2 ** 32 - 1)
TEXT = st.text(st.characters(blacklist_characters='\0', blacklist_categories=['Cs']), max_size=9)


def wanted(msg, received_ns=0):
    """Return the frame of a message, taken from its fields."""
    stamp_ns = Time.from_msg(msg.header.stamp).nanoseconds
    frame_id = msg.header.frame_id.encode(errors='surrogateescape')
    if isinstance(msg, CompressedImage):
        return Frame(bytes(msg.data), msg.format, 0, 0, 0, stamp_ns, received_ns,
                     compressed=True, frame_id=frame_id)
    return Frame(bytes(msg.data), msg.encoding, msg.height, msg.width, msg.step, stamp_ns,
                 received_ns, bool(msg.is_bigendian), frame_id=frame_id)


@st.composite
def messages(draw):
    """Draw any Image or CompressedImage with a stamp that is not before 1970."""
    if draw(st.booleans()):
        msg = Image(height=draw(UINT32), width=draw(UINT32), step=draw(UINT32),
                    encoding=draw(TEXT), is_bigendian=draw(st.integers(0, 255)))
    else:
        msg = CompressedImage(format=draw(TEXT))
    msg.header.stamp.sec = draw(st.integers(0, 2 ** 31 - 1))
    msg.header.stamp.nanosec = draw(st.integers(0, 999_999_999))
    msg.header.frame_id = draw(TEXT)
    msg.data = array('B', draw(st.binary(max_size=64)))
    return msg


def pack(msg, order):
    """Serialise by hand, in either byte order."""
    out = bytearray()

    def number(code, value):
        size = struct.calcsize(code)
        out.extend(b'\0' * (-len(out) % size))
        out.extend(struct.pack(order + code, value))

    def text(value):
        number('I', len(value.encode()) + 1)
        out.extend(value.encode() + b'\0')
    number('i', msg.header.stamp.sec)
    number('I', msg.header.stamp.nanosec)
    text(msg.header.frame_id)
    if isinstance(msg, Image):
        number('I', msg.height)
        number('I', msg.width)
        text(msg.encoding)
        number('B', msg.is_bigendian)
        number('I', msg.step)
    else:
        text(msg.format)
    number('I', len(msg.data))
    return (b'\0\1\0\0' if order == '<' else b'\0\0\0\0') + bytes(out) + bytes(msg.data)


@settings(deadline=None, max_examples=200)
@given(msg=messages())
def test_any_message_of_rclpy_is_read_as_it_was_written(msg):
    raw = serialize_message(msg)
    assert READERS[type(msg)](raw, 5) == wanted(msg, 5)
    assert len(pack(msg, '<')) == len(raw)  # rclpy's padding is of any bytes


@settings(deadline=None, max_examples=200)
@given(msg=messages(), order=st.sampled_from('<>'), tail=st.binary(max_size=8))
def test_either_byte_order_is_read_as_rclpy_reads_it_and_a_tail_is_left_alone(msg, order, tail):
    raw = pack(msg, order)
    assert deserialize_message(raw, type(msg)) == msg
    assert READERS[type(msg)](raw + tail, 0) == wanted(msg)


def test_the_pixels_are_not_copied():
    raw = serialize_message(Image(encoding='rgb8', data=array('B', range(60))))
    data = np.frombuffer(read_image(raw, 0).data, np.uint8)
    assert np.shares_memory(data, np.frombuffer(raw, np.uint8))


def test_the_time_it_took_counts_from_the_entry_of_the_callback():
    raw = serialize_message(Image())
    assert read_image(raw, 0).deserialise_ns > 0
    assert read_image(raw, 0).received_ns == 0


def test_frame_ids_need_not_be_text():
    msg = Image(encoding='rgb8')
    msg.header.frame_id = 'camera'
    raw = serialize_message(msg).replace(b'camera', b'\xff\xfe\0\xc3\x28\x80')
    assert read_image(raw, 0) == replace(wanted(msg), frame_id=b'\xff\xfe')


@pytest.mark.parametrize('order', '<>')
@pytest.mark.parametrize('frame_id', [b'', b'cam', b'cam\0', b'c\0m\0', b'\0'])
@pytest.mark.parametrize('encoding', [b'rgb8', b'rgb8\0', b'rgb8\0\0'])
def test_strings_end_as_rclpy_ends_them(order, frame_id, encoding):
    """Writers other than ROS omit the NUL, or send an empty string of length 0."""
    raw = bytearray(b'\0\1\0\0' if order == '<' else b'\0\0\0\0')

    def number(*values):
        raw.extend(bytes(-(len(raw) - 4) % 4) + struct.pack(f'{order}{len(values)}I', *values))
    number(1, 2, len(frame_id))
    raw.extend(frame_id)
    number(1, 1, len(encoding))
    raw.extend(encoding + b'\0')
    number(3, 3)
    msg = deserialize_message(bytes(raw) + b'abc', Image)
    assert msg.encoding == 'rgb8'
    assert read_image(bytes(raw) + b'abc', 0) == wanted(msg)


def picture():
    """Serialise a small Image."""
    msg = Image(height=2, width=3, step=9, encoding='rgb8', data=array('B', range(18)))
    msg.header.frame_id = 'cam'
    return serialize_message(msg)


@pytest.mark.parametrize('size', range(len(picture())))
def test_a_truncated_message_is_refused(size):
    with pytest.raises(ImageError, match=f'a serialised Image of {size} bytes'):
        read_image(picture()[:size], 0)


@pytest.mark.parametrize(('change', 'found'), [
    ((0, b'\0\2'), 'begins with 00 02 00 00; expected plain CDR: 00 00'),
    ((0, b'\1\0'), 'begins with 01 00 00 00'),
    ((0, b'\0\0'), 'ends inside its header.frame_id'),  # little-endian, said to be big
    ((12, b'\xff\xff\xff\xff'), 'ends inside its header.frame_id; expected at least 4294967311'),
    ((28, b'\0\0\0\x7f'), 'ends inside its encoding'),
    ((44, b'\x13'), 'ends inside its data; expected at least 67 bytes'),
    ((44, b'\xff\xff\xff\xff'), 'ends inside its data'),
])
def test_refusals_have_found_expected_and_fix(change, found):
    raw = bytearray(picture())
    raw[change[0]:change[0] + len(change[1])] = change[1]
    with pytest.raises(ImageError, match=found) as refused:
        read_image(bytes(raw), 0)
    assert refused.value.found and refused.value.expected and refused.value.fix


@st.composite
def damaged(draw):
    """Draw a message, cut or changed in a few places, and its type."""
    msg = draw(messages())
    raw = bytearray(pack(msg, draw(st.sampled_from('<>'))))
    for _ in range(draw(st.integers(0, 3))):
        raw[draw(st.integers(0, len(raw) - 1))] = draw(st.integers(0, 255))
    return type(msg), bytes(raw[:draw(st.integers(0, len(raw)))])


ANYTHING = st.tuples(st.sampled_from([Image, CompressedImage]), st.binary(max_size=200))
HEADED = st.tuples(st.sampled_from([Image, CompressedImage]),
                   st.binary(max_size=200).map(b'\0\1\0\0'.__add__))


@settings(deadline=None, max_examples=600)
@given(case=st.one_of(damaged(), ANYTHING, HEADED))
def test_any_bytes_are_read_as_rclpy_reads_them_or_refused(case):
    kind, raw = case
    try:
        frame = READERS[kind](raw, 0)
    except ImageError:
        return
    assert memoryview(frame.data).nbytes <= len(raw)
    # rclpy takes the sign of a stamp as it comes.
    msg = deserialize_message(raw, kind)
    name = msg.format if kind is CompressedImage else msg.encoding
    assert frame.encoding == name
    assert bytes(frame.data) == bytes(msg.data)
    stamp = msg.header.stamp
    assert frame.stamp_ns == stamp.sec * 10 ** 9 + stamp.nanosec
    if kind is Image:
        assert (frame.height, frame.width, frame.step, frame.is_bigendian) == (
            msg.height, msg.width, msg.step, bool(msg.is_bigendian))
