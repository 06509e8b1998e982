"""Checks of a jpeg's structure that libjpeg does not make."""

from itertools import chain, cycle, islice
import re
from typing import Dict, Iterator, List, NamedTuple, Optional, Tuple

from .jpeg_png_header import END_OF_JPEG, frame_header, Segment, segments, START_OF_SCAN

MOST_SCANS = 100  # encoders write about 10; each takes as long as the whole picture
MOST_INTERVALS = 4096  # between restart markers; each is decoded by itself
LONGEST_SIDE = 65500  # pixels; libjpeg's own limit
SCAN_HEADER = 10  # bytes, at the least
SCAN = re.compile(rb'\xff\xda[\s\S]{3}')
RESTART_OR_END = re.compile(rb'\xff+([\xd0-\xd7\xd9])')
RESTARTS = [bytes([marker]) for marker in range(0xD0, 0xD8)]
SEQUENTIAL = (0xC0, 0xC1)  # frame headers
RESTART_INTERVAL, HUFFMAN_TABLES = 0xDD, 0xC4
LONG_ZEROS = bytes(16)  # 40 coefficients of a block with the usual tables
# The meaning of an all-zero code in the usual tables for colours and for brightness.
END_OF_BLOCK, FIRST_SYMBOL = 0x00, 0x01


def without_strays(data: memoryview) -> memoryview:
    """Return a jpeg without the stray bytes between its segments, which libjpeg warns about."""
    parts = list(segments(data))
    ends = [2, *(part.end for part in parts)]
    if all(end == part.start for end, part in zip(ends, parts)):
        return data
    whole = [data[:2], *(data[part.start:part.end] for part in parts), data[parts[-1].end:]]
    return memoryview(b''.join(whole))


def fault(data: memoryview) -> str:
    """Return what is wrong with the structure of a jpeg that states its size, '' if nothing."""
    parts = list(segments(data))
    scan = parts[-1]
    if scan.marker != START_OF_SCAN or scan.end - scan.start < SCAN_HEADER:
        return 'the jpeg has no scan'
    coded = bytes(data[scan.end:])  # not all of it: a thumbnail has an end marker, too
    end = coded.find(END_OF_JPEG)
    if end < 0:
        return 'the jpeg has no end'
    if not _is_one_scan(data, scan):
        return _fault_of_scans(data, scan.start, scan.end + end)
    zero = coded.find(LONG_ZEROS, 0, end) >= 0 and not _may_be_zeros(data, parts)
    return 'a piece of the jpeg is zero' if zero else ''


def _is_one_scan(data: memoryview, scan: Segment) -> bool:
    """Return whether the first scan holds the whole picture, as cameras send it."""
    at = frame_header(data) or 0
    return data[at + 1] in SEQUENTIAL and data[scan.start + 4] == data[at + 9]


def _fault_of_scans(data: memoryview, start: int, end: int) -> str:
    """Return whether scans are missing: libjpeg accepts a picture with fewer details."""
    scans = [found.start() for found in SCAN.finditer(data, start, end)]
    if len(scans) > MOST_SCANS:
        return f'the jpeg has more than {MOST_SCANS} scans'
    bits_left: Dict[Tuple[int, int], int] = {}  # of each coefficient of each component
    for at in scans:
        after = at + 5 + 2 * data[at + 4]
        first, last, bits = bytes(data[after:after + 3]) if after + 3 <= end else (0, 0, 0)
        for component in data[at + 5:after:2]:
            bits_left.update(((component, place), bits & 15) for place in range(first, last + 1))
    whole = all(bits_left.get((component, place)) == 0
                for component, _ in _components(data) for place in range(64))
    return '' if whole else 'scans of the jpeg are missing'


def _components(data: memoryview) -> List[Tuple[int, int]]:
    """Return the identifier and sampling factors of each component."""
    at = frame_header(data) or 0
    stated = bytes(data[at + 10:at + 10 + 3 * data[at + 9]])
    return list(zip(stated[0::3], stated[1::3]))


def _may_be_zeros(data: memoryview, parts: List[Segment]) -> bool:
    """
    Return whether zeros may be sound data: blocks without coefficients.

    In the usual tables they mean coefficients of -1 in a whole block, which no picture has.
    """
    meaning = {0: FIRST_SYMBOL, 1: END_OF_BLOCK}
    for part in parts:
        at = part.start + 4
        while part.marker == HUFFMAN_TABLES and at + 17 < part.end:
            if data[at] >> 4:  # a table for the coefficients after a block's mean
                meaning[data[at] & 15] = data[at + 17]  # its first code is all zeros
            at += 17 + sum(data[at + 1:at + 17])
    return meaning.get(data[parts[-1].start + 6] & 15) == END_OF_BLOCK


def intervals(data: memoryview) -> Optional[Iterator[bytes]]:
    """
    Return the data between a jpeg's restart markers, each interval as a jpeg one block high.

    Return None if markers are missing or out of order.
    """
    layout = _layout(data)
    if layout is None:
        return None
    found = RESTART_OR_END.split(bytes(data[layout.scan:]))
    count = -(-layout.blocks // layout.interval)
    wanted = chain(islice(cycle(RESTARTS), count - 1), [END_OF_JPEG[1:]])
    if count > MOST_INTERVALS or found[1:2 * count:2] != list(wanted):
        return None
    sizes = [layout.interval] * (count - 1) + [layout.blocks - layout.interval * (count - 1)]
    return (layout.header(data, size) + coded + END_OF_JPEG
            for size, coded in zip(sizes, found[0::2]))


class _Layout(NamedTuple):
    """How the blocks of a jpeg with one scan are divided by restart markers."""

    frame: int  # where the frame header starts
    scan: int  # where the coded data starts
    interval: int  # blocks between two restart markers
    blocks: int  # of the whole picture
    block: Tuple[int, int]  # width and height in pixels

    def header(self, data: memoryview, blocks: int) -> bytes:
        """Return the header of a picture of this many blocks, side by side."""
        height, width = (size.to_bytes(2, 'big') for size in (self.block[1],
                                                              blocks * self.block[0]))
        return bytes(data[:self.frame + 5]) + height + width + bytes(
            data[self.frame + 9:self.scan])


def _layout(data: memoryview) -> Optional[_Layout]:
    parts = {part.marker: part for part in segments(data)}
    restart, scan = parts.get(RESTART_INTERVAL), parts[START_OF_SCAN]
    if restart is None or not _is_one_scan(data, scan):
        return None
    interval = int.from_bytes(data[restart.start + 4:restart.end], 'big')
    block = _block([sampling for _, sampling in _components(data)])
    if not 0 < interval * block[0] <= LONGEST_SIDE:
        return None
    at = frame_header(data) or 0
    height, width = (int.from_bytes(data[at + place:at + place + 2], 'big') for place in (5, 7))
    blocks = -(-width // block[0]) * -(-height // block[1])
    return _Layout(at, scan.end, interval, blocks, block)


def _block(samplings: List[int]) -> Tuple[int, int]:
    """Return width and height in pixels of a block of all components."""
    if len(samplings) == 1:  # its sampling factors have no effect
        return 8, 8
    across, down = max(one >> 4 for one in samplings), max(one & 15 for one in samplings)
    return 8 * across, 8 * down
