"""The headers of jpeg and png, read before a decoder allocates what they state. A leaf."""

import re
import struct
from typing import Iterator, NamedTuple, Optional, Tuple
import zlib

MAX_SIDE = 8192  # pixels; more than any camera has, few enough to refuse a broken header early
START_OF_JPEG, END_OF_JPEG = b'\xff\xd8\xff', b'\xff\xd9'
START_OF_PNG = b'\x89PNG\r\n\x1a\n'
# The markers of a frame header (ITU-T T.81, table B.1): 0xC0 to 0xCF without 3 others.
FRAME_HEADERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
SEGMENTS = frozenset(range(0xC0, 0xFF)) - frozenset(range(0xD0, 0xDA))  # markers with a length
START_OF_SCAN = 0xDA
MARKER = re.compile(rb'\xff+([\x01-\xfe])')  # any number of 0xFF is padding
MOST_MARKERS = 256  # before the first scan; cameras send about ten
MOST_PADDING = 256  # bytes before a marker
# Webcams put up to 10 meaningless bytes before a marker (Logitech's C270, C910 and C920).
MOST_STRAY = 16
END_OF_PNG = b'IEND'
MOST_CHUNKS = 65536  # encoders write one for every 8 KiB or more


class Segment(NamedTuple):
    """A marker of a jpeg with its data: data[start:end]."""

    marker: int
    start: int
    end: int


def codec_of(data: memoryview) -> str:
    """Return the codec by the first bytes of `data` (uint8 [N]): jpeg, png, or ''."""
    if data[:3] == START_OF_JPEG:
        return 'jpeg'
    return 'png' if data[:8] == START_OF_PNG and data[12:16] == b'IHDR' else ''


def stated_size(data: memoryview) -> Optional[Tuple[int, int]]:
    """Return the width and height that a jpeg or png states, None if they cannot be read."""
    codec = codec_of(data)
    if codec == 'jpeg':
        at = frame_header(data)
        if at is None:
            return None
        height, width = struct.unpack_from('>HH', data, at + 5)
        return width, height
    if codec == 'png' and len(data) >= 24:
        width, height = struct.unpack_from('>II', data, 16)
        return width, height
    return None


def segments(data: memoryview) -> Iterator[Segment]:
    """Yield the segments of a jpeg up to its first scan; stray bytes may lie between them."""
    at = 2
    for _ in range(MOST_MARKERS):
        match = MARKER.search(data, at, at + MOST_PADDING)
        if match is None or match.start() - at > MOST_STRAY or match.end() + 2 > len(data):
            return
        marker, start = match[1][0], match.end()
        if marker not in SEGMENTS:
            return
        at = start + max(2, int.from_bytes(data[start:start + 2], 'big'))
        yield Segment(marker, start - 2, at)
        if marker == START_OF_SCAN:
            return


def frame_header(data: memoryview) -> Optional[int]:
    """Return where a jpeg's frame header starts; None if it is cut or not among the segments."""
    for segment in segments(data):
        if segment.marker in FRAME_HEADERS:
            return segment.start if segment.start + 10 <= len(data) else None
    return None


def png_fault(data: memoryview) -> str:
    """Return what is wrong with a png's chunks and their checksums, '' if it is whole."""
    at = len(START_OF_PNG)
    for _ in range(MOST_CHUNKS):
        end = at + 12 + int.from_bytes(data[at:at + 4], 'big')  # length, type, data, CRC
        if at + 12 > len(data) or end > len(data):
            break
        if zlib.crc32(data[at + 4:end - 4]) != int.from_bytes(data[end - 4:end], 'big'):
            return 'the checksum of a chunk of the png is wrong'
        if data[at + 4:at + 8] == END_OF_PNG:
            return ''
        at = end
    return 'a chunk of the png goes beyond its end'
