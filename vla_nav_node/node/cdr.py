"""
Read serialised image messages as Frames, without copying the pixels.

Deserialising with rclpy copies them, 0.2 to 0.8 ms for a VGA picture; this takes microseconds.
The format is OMG's plain CDR (version 1), which every RMW of ROS 2 passes to a subscription with
`raw=True`: four bytes with the representation and the byte order, then the fields in order, each
aligned to its own size, counted from after these four bytes.

The library `rosbags` is as fast and also refuses bad bytes. It is not used because it depends on
six packages that rosdep does not know (an SQLite binding and compressors among them), adds 0.1 s
to the start, and refuses a picture whose `frame_id` is not UTF-8, although only its bytes matter.
"""

from struct import Struct
import time
from typing import Tuple

from ..errors import ImageError
from ..types import Frame

HEADER = 4  # bytes: the representation, and options that plain CDR does not use
STAMP, SIZE, COUNT = 'iI', 'II', 'I'  # int32 and uint32; sec and nanosec, height and width
_LITTLE, _BIG = ({code: Struct(order + code) for code in (STAMP, SIZE, COUNT)} for order in '<>')
ORDERS = {b'\0\0': _BIG, b'\0\1': _LITTLE}
ALIGNMENT = 4  # bytes, of every number longer than a byte in these messages


def read_image(raw: bytes, received_ns: int, sequence: int = 0) -> Frame:
    """
    Read a serialised sensor_msgs/Image.

    `received_ns` is time.perf_counter_ns at the entry of the callback, `sequence` the publisher's
    count of its images, 0 if unknown. The decoder checks the values of the fields. Raise
    ImageError if the bytes are not such a message.
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
    """Read a serialised sensor_msgs/CompressedImage; see read_image."""
    message = _Message(raw, 'CompressedImage')
    stamp_ns, frame_id = message.header()
    encoding = message.text('format')
    data = message.octets('data')
    return Frame(data, encoding, 0, 0, 0, stamp_ns, received_ns, compressed=True,
                 sequence=sequence, frame_id=frame_id,
                 deserialise_ns=time.perf_counter_ns() - received_ns)


class _Message:
    """A message that is read field by field, in the order of its definition."""

    def __init__(self, raw: bytes, kind: str) -> None:
        self._kind, self._total = kind, len(raw)
        structs = ORDERS.get(bytes(raw[:2]))
        if structs is None or len(raw) < HEADER:
            raise self._error(f'begins with {bytes(raw[:HEADER]).hex(" ") or "nothing"}',
                              'plain CDR: 00 00 or 00 01, then two bytes')
        self._structs = structs
        self._body = memoryview(raw)[HEADER:]
        self._at = 0

    def header(self) -> Tuple[int, bytes]:
        """Return the stamp of a std_msgs/Header in ns, and the bytes of its frame_id."""
        sec, nanosec = self.numbers(STAMP, 'header.stamp')
        return sec * 1_000_000_000 + nanosec, self._string('header.frame_id')

    def numbers(self, code: str, field: str) -> Tuple[int, ...]:
        """Return the next numbers; `code` is STAMP, SIZE or COUNT."""
        struct = self._structs[code]
        start = -(-self._at // ALIGNMENT) * ALIGNMENT
        self._take(start, struct.size, field)
        return struct.unpack_from(self._body, start)

    def octet(self, field: str) -> int:
        """Return the next byte."""
        return self._take(self._at, 1, field)[0]

    def octets(self, field: str) -> memoryview:
        """Return a view of the next sequence of bytes."""
        count, = self.numbers(COUNT, field)
        return self._take(self._at, count, field)

    def text(self, field: str) -> str:
        """Return the next string; bytes that are not UTF-8 become U+FFFD, as in rclpy."""
        return str(self._string(field), 'utf-8', 'replace')

    def _string(self, field: str) -> bytes:
        """
        Return the next string up to its first NUL, as rclpy does.

        In CDR the length includes a NUL; some writers other than ROS omit it, or send an empty
        string with length 0.
        """
        return bytes(self.octets(field)).partition(b'\0')[0]

    def _take(self, start: int, size: int, field: str) -> memoryview:
        end = start + size
        if end > len(self._body):
            raise self._error(f'ends inside its {field}', f'at least {HEADER + end} bytes')
        self._at = end
        return self._body[start:end]

    def _error(self, what: str, expected: str) -> ImageError:
        return ImageError(f'a serialised {self._kind} of {self._total} bytes {what}', expected,
                          'check the camera driver and the transport: the message is truncated '
                          'or of another type')
