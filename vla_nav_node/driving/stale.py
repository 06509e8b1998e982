"""Whether a camera still sends new pictures, or hands out old ones again. A leaf."""

from collections import OrderedDict
from typing import Optional, Tuple, Union
from zlib import crc32

import numpy as np

Buffer = Union[bytes, memoryview, np.ndarray]  # flat, of bytes

# Pictures that differ mostly differ early, sensor noise alone sees to that: the first bytes are
# looked at alone, the rest (70 us for a whole VGA picture) only where they were seen before.
# `bytes` are compared by memcmp; array and memoryview go item by item, 4 to 20 times slower.
FIRST_PIECE, PIECE = 4096, 65536
MOST_BUFFERS = 32  # of a video driver (V4L2's VIDEO_MAX_FRAME); it may hand them out in turn


class Freshness:
    """Know since when no picture has been new."""

    def __init__(self) -> None:
        """Start without pictures."""
        self._before: Optional[Buffer] = None
        # Of the pictures seen last: size and checksum of the first bytes, which many may share
        # (a border, an overexposed sky), and checksums of the whole where those were seen before.
        self._starts, self._wholes = _Last(), _Last()
        self._fresh_ns = 0

    def stale_ns(self, picture: Buffer, now_ns: int) -> int:
        """Take a picture; return for how long none has been new, 0 if this one is."""
        before, self._before = self._before, picture
        known = self._is_known(picture)  # always, so that it is remembered
        if before is None or not (known or same_bytes(before, picture)):
            self._fresh_ns = now_ns
            return 0
        return now_ns - self._fresh_ns

    def _is_known(self, picture: Buffer) -> bool:
        """Tell whether this is one of the pictures seen last, from its second repetition on."""
        view = memoryview(picture)  # type: ignore[arg-type]  # an ndarray is a buffer
        return (self._starts.saw((view.nbytes, crc32(view[:FIRST_PIECE])))
                and self._wholes.saw((view.nbytes, *_checksum(view))))


class _Last:
    """The keys that were seen last, as many as there are buffers at most."""

    def __init__(self) -> None:
        """Start without any."""
        self._keys: 'OrderedDict[Tuple[int, ...], None]' = OrderedDict()

    def saw(self, key: Tuple[int, ...]) -> bool:
        """Tell whether `key` is among them, and put it there."""
        known = key in self._keys
        self._keys[key] = None
        self._keys.move_to_end(key)
        if len(self._keys) > MOST_BUFFERS:
            self._keys.popitem(last=False)
        return known


def _checksum(view: memoryview) -> Tuple[int, int]:
    """Return two sums over all bytes, 8 at a time: a third of the time that a CRC takes."""
    whole = view.nbytes // 8 * 8
    words = np.frombuffer(view[:whole], np.uint64)
    weighted = np.dot(words[:len(words) // 2], words[len(words) - len(words) // 2:])
    return int(words.sum()), int(weighted) ^ crc32(view[whole:])


def same_bytes(one: Buffer, other: Buffer) -> bool:
    """Tell whether two buffers are identical; it ends at the first difference."""
    a, b = memoryview(one), memoryview(other)  # type: ignore[arg-type]  # ndarray is a buffer
    if a.nbytes != b.nbytes or bytes(a[:FIRST_PIECE]) != bytes(b[:FIRST_PIECE]):
        return False
    return all(bytes(a[start:start + PIECE]) == bytes(b[start:start + PIECE])
               for start in range(FIRST_PIECE, a.nbytes, PIECE))
