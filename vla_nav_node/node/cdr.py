"""
Serialised image messages -> Frame, read in place: the pixels stay where the middleware put them.

rclpy's own deserialising copies them, 0.2 to 0.8 ms for a VGA picture; this takes microseconds.
The format is OMG's plain CDR (version 1), which every RMW of ROS 2 hands over for a subscription
with `raw=True`: four bytes that say so and name the byte order, then the fields in their order,
each aligned to its own size counted from after these four bytes.

The library `rosbags` reads it as quickly and refuses bad bytes as well. It is not used because it
comes with six packages that rosdep does not know (an SQLite binding and compressors among them),
takes 0.1 s of the start, and refuses a picture over a `frame_id` that is not UTF-8, which nobody
here reads.
"""

from struct import Struct
import time
from typing import Tuple

from ..errors import ImageError
from ..types import Frame

HEADER = 4  # bytes in front: what kind of CDR, and options that plain CDR does not use
STAMP, SIZE, COUNT = 'iI', 'II', 'I'  # int32 and uint32; sec and nanosec, height and width
_LITTLE, _BIG = ({code: Struct(order + code) for code in (STAMP, SIZE, COUNT)} for order in '<>')
ORDERS = {b'\0\0': _BIG, b'\0\1': _LITTLE}
ALIGNMENT = 4  # of every number in these messages that is longer than a byte


def read_image(raw: bytes, received_ns: int, sequence: int = 0) -> Frame:
    """
    Read a sensor_msgs/Image; `received_ns` is time.perf_counter_ns at the callback's entry.

    `sequence` is the sender's count of its images, where the middleware tells it.

    Raise ImageError for whatever is not one; what its fields say is checked by who decodes it.
    """
    message = _Message(raw, 'Image')
    stamp_ns, frame_id = message.header()
    height, width = message.numbers(SIZE, 'size')
    encoding = message.text('encoding')
    is_bigendian = bool(message.octet('is_bigendian'))
    step, = message.numbers(COUNT, 'step')
    data = message.octets('data')
    return Frame(data, encoding, height, width, step, stamp_ns, received_ns, is_bigendian,
                 sequence=sequence, frame_id=frame_id,
                 deserialise_ns=time.perf_counter_ns() - received_ns)


def read_compressed_image(raw: bytes, received_ns: int, sequence: int = 0) -> Frame:
    """Read a sensor_msgs/CompressedImage, as read_image does."""
    message = _Message(raw, 'CompressedImage')
    stamp_ns, frame_id = message.header()
    encoding = message.text('format')
    data = message.octets('data')
    return Frame(data, encoding, 0, 0, 0, stamp_ns, received_ns, compressed=True,
                 sequence=sequence, frame_id=frame_id,
                 deserialise_ns=time.perf_counter_ns() - received_ns)


class _Message:
    """One message, gone through from its front to its end; each field is asked for in its turn."""

    def __init__(self, raw: bytes, kind: str) -> None:
        self._kind, self._total = kind, len(raw)
        structs = ORDERS.get(bytes(raw[:2]))
        if structs is None or len(raw) < HEADER:
            raise self._error(f'begins with {bytes(raw[:HEADER]).hex(" ") or "nothing"}',
                              'plain CDR, 00 00 or 00 01 and two bytes more')
        self._structs = structs
        self._body = memoryview(raw)[HEADER:]
        self._at = 0

    def header(self) -> Tuple[int, bytes]:
        """Return the stamp of a std_msgs/Header in ns, and its frame_id, of whatever bytes."""
        sec, nanosec = self.numbers(STAMP, 'header.stamp')
        return sec * 1_000_000_000 + nanosec, self._string('header.frame_id')

    def numbers(self, code: str, field: str) -> Tuple[int, ...]:
        """Return the next numbers, of STAMP, SIZE or COUNT."""
        struct = self._structs[code]
        start = -(-self._at // ALIGNMENT) * ALIGNMENT
        self._take(start, struct.size, field)
        return struct.unpack_from(self._body, start)

    def octet(self, field: str) -> int:
        """Return the next byte."""
        return self._take(self._at, 1, field)[0]

    def octets(self, field: str) -> memoryview:
        """Return the next sequence of bytes, where it lies."""
        count, = self.numbers(COUNT, field)
        return self._take(self._at, count, field)

    def text(self, field: str) -> str:
        """Return the next string; bytes that are not UTF-8 become U+FFFD, as rclpy has it."""
        return str(self._string(field), 'utf-8', 'replace')

    def _string(self, field: str) -> bytes:
        """
        Return the next string up to its first NUL, as rclpy does.

        CDR wants a NUL that its length includes; some writers that are not ROS send an empty
        string as length 0, or leave the NUL out.
        """
        return bytes(self.octets(field)).partition(b'\0')[0]

    def _take(self, start: int, size: int, field: str) -> memoryview:
        end = start + size
        if end > len(self._body):
            raise self._error(f'ends within its {field}', f'at least {HEADER + end} bytes')
        self._at = end
        return self._body[start:end]

    def _error(self, what: str, expected: str) -> ImageError:
        return ImageError(f'a serialised {self._kind} of {self._total} bytes {what}', expected,
                          'the message was cut off or is of another type: look at the camera '
                          'driver and the transport')
