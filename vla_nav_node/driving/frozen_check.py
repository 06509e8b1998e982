"""Whether a camera still sends new pictures, or repeats old ones."""

from collections import deque
from typing import Deque, Optional, Tuple, Union
from zlib import crc32

import numpy as np

Buffer = Union[bytes, memoryview, np.ndarray]  # flat, of bytes

# Pictures that differ mostly differ early, if only by sensor noise: the first bytes are compared
# alone, the rest (70 us for a whole VGA picture) only if they have been seen before.
# `bytes` are compared by memcmp; array and memoryview go item by item, 4 to 20 times slower.
FIRST_PIECE, PIECE = 4096, 65536
MAX_BUFFERS = 32  # of a video driver (V4L2's VIDEO_MAX_FRAME), which may send them in turn


class FrozenCheck:
    """Knows since when no picture has been new."""

    def __init__(self) -> None:
        """Start without pictures."""
        self._before: Optional[Buffer] = None
        # Of the last pictures: size and checksum of the first bytes, which many may share (a
        # border, an overexposed sky), and checksums of the whole if those had been seen before.
        self._starts: Deque[Tuple[int, ...]] = deque(maxlen=MAX_BUFFERS)
        self._wholes: Deque[Tuple[int, ...]] = deque(maxlen=MAX_BUFFERS)
        self._fresh_ns = 0

    def frozen_ns(self, picture: Buffer, now_ns: int) -> int:
        """Take a picture; return for how long none has been new, 0 if this one is."""
        before, self._before = self._before, picture
        known = self._is_known(picture)  # always, so that it is remembered
        if before is None or not (known or same_bytes(before, picture)):
            self._fresh_ns = now_ns
            return 0
        return now_ns - self._fresh_ns

    def _is_known(self, picture: Buffer) -> bool:
        """Return whether this is one of the last pictures, from its second repetition on."""
        view = memoryview(picture)  # type: ignore[arg-type]  # an ndarray is a buffer
        return (_remember((view.nbytes, crc32(view[:FIRST_PIECE])), self._starts)
                and _remember((view.nbytes, *_checksum(view)), self._wholes))


def _remember(key: Tuple[int, ...], keys: Deque[Tuple[int, ...]]) -> bool:
    """Make `key` the newest of `keys`; return whether it was there."""
    known = key in keys
    if known:
        keys.remove(key)
    keys.append(key)
    return known


def _checksum(view: memoryview) -> Tuple[int, int]:
    """Return two sums over all bytes, 8 at a time: a third of the time that a CRC takes."""
    whole = view.nbytes // 8 * 8
    words = np.frombuffer(view[:whole], np.uint64)
    weighted = np.dot(words[:len(words) // 2], words[len(words) - len(words) // 2:])
    return int(words.sum()), int(weighted) ^ crc32(view[whole:])


def same_bytes(one: Buffer, other: Buffer) -> bool:
    """Return whether two buffers are identical, as soon as a difference shows."""
    a, b = memoryview(one), memoryview(other)  # type: ignore[arg-type]  # ndarray is a buffer
    if a.nbytes != b.nbytes or bytes(a[:FIRST_PIECE]) != bytes(b[:FIRST_PIECE]):
        return False
    return all(bytes(a[start:start + PIECE]) == bytes(b[start:start + PIECE])
               for start in range(FIRST_PIECE, a.nbytes, PIECE))
