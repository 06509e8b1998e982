"""What a jpeg or png states of itself, read before a decoder allocates what it states. A leaf."""

import struct
from typing import Optional, Tuple

START_OF_JPEG, END_OF_JPEG = b'\xff\xd8\xff', b'\xff\xd9'
START_OF_PNG = b'\x89PNG\r\n\x1a\n'
# The markers of a frame header (ITU-T T.81, table B.1): 0xC0 to 0xCF, but for three other uses.
FRAME_HEADERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
SEGMENTS = frozenset(range(0xC0, 0xFF)) - frozenset(range(0xD0, 0xDB))  # may come before it
MOST_MARKERS = 256  # before the frame header; cameras send about five
END_OF_PNG = b'IEND'
MOST_CHUNKS = 65536  # encoders write one for every 8 KiB or more


def is_jpeg(data: memoryview) -> bool:
    """Tell whether these bytes (uint8 [N]) begin as a jpeg."""
    return data[:3] == START_OF_JPEG


def stated_size(data: memoryview) -> Optional[Tuple[int, int]]:
    """Give the width and height that a jpeg or png states; None where neither can be read."""
    if is_jpeg(data):
        at = frame_header(data)
        if at is None:
            return None
        height, width = struct.unpack_from('>HH', data, at + 5)
        return width, height
    if data[:8] == START_OF_PNG and data[12:16] == b'IHDR' and len(data) >= 24:
        width, height = struct.unpack_from('>II', data, 16)
        return width, height
    return None


def fault(data: memoryview) -> str:
    """Tell what keeps a jpeg or png whose size was read from being whole, '' for nothing."""
    if not is_jpeg(data):
        return '' if chunks_fit(data) else 'a chunk of the png goes beyond its end'
    # From the frame on: a thumbnail before it has an end of its own.
    found = bytes(data[frame_header(data) or 0:]).rfind(END_OF_JPEG) >= 0
    return '' if found else 'the jpeg has no end'


def chunks_fit(data: memoryview) -> bool:
    """Tell whether the chunks of a png lie within it, up to the one that ends it."""
    at = len(START_OF_PNG)
    for _ in range(MOST_CHUNKS):
        if at + 12 > len(data):  # length, type, CRC
            return False
        kind = data[at + 4:at + 8]
        at += 12 + int.from_bytes(data[at:at + 4], 'big')
        if kind == END_OF_PNG:
            return at <= len(data)
    return False


def frame_header(data: memoryview) -> Optional[int]:
    """Give where a jpeg's frame header lies, whole, with nothing but segments before it."""
    at = 2
    for _ in range(MOST_MARKERS):
        if at + 9 > len(data) or data[at] != 0xFF:
            return None
        marker = data[at + 1]
        if marker in FRAME_HEADERS:
            return at
        if marker == 0xFF:  # padding before a marker
            at += 1
        elif marker in SEGMENTS:
            at += 2 + max(2, int.from_bytes(data[at + 2:at + 4], 'big'))
        else:
            return None
    return None
