"""
A jpeg -> its pixels, or an error: libjpeg itself fills up what is missing, and only warns.

The library is simplejpeg, which raises where libjpeg warns and is no slower than OpenCV. Damage of
a few bytes that leaves the number of blocks as it was raises no warning: a jpeg has no checksum.
"""

import re
from typing import Any

import numpy as np

from .jpeg_png_header import frame_header, MOST_STRAY
from .jpeg_structure import fault, intervals, without_strays
from ..errors import ImageError

# libjpeg tells the first of its warnings only.
STRAY = re.compile(r'(\d+) extraneous bytes before marker 0x(d[0-79])')
END = 'd9'


def require() -> Any:
    """Return the library, or raise an ImageError that says how to install it."""
    try:
        import simplejpeg
    except ImportError as error:
        raise ImageError(f'reading jpegs needs the Python package simplejpeg ({error})',
                         fix="pip install 'simplejpeg>=1.8'") from None
    return simplejpeg


def decode_jpeg(data: memoryview) -> np.ndarray:
    """
    Give a jpeg as uint8 [H, W, 3] RGB, or [H, W, 1] where it is grey; EXIF turns nothing.

    Raise ValueError with the reason where any of it is missing or damaged.
    """
    library = require()
    data = without_strays(data)
    why = fault(data)
    if why:
        raise ValueError(why)
    colours = 'GRAY' if data[(frame_header(data) or 0) + 9] == 1 else 'RGB'
    try:
        return library.decode_jpeg(data, colours)
    except ValueError as error:
        if not _is_harmless(data, str(error)):
            raise
    return library.decode_jpeg(data, colours, strict=False)


def _is_harmless(data: memoryview, warning: str) -> bool:
    """
    Tell whether a warning is of a few bytes behind blocks that were all there, and of no more.

    Before the end of the picture that is all there was; before a restart marker something worse
    may follow, so each interval is looked at.
    """
    marker = _marker_behind_strays(warning)
    if marker in ('', END):
        return bool(marker)
    pieces = intervals(data)
    return pieces is not None and all(map(_is_whole, pieces))


def _marker_behind_strays(warning: str) -> str:
    """Return the marker that has no more bytes before it than webcams send, else ''."""
    found = STRAY.search(warning)
    return found[2] if found and int(found[1]) <= MOST_STRAY else ''


def _is_whole(interval: bytes) -> bool:
    try:
        require().decode_jpeg(interval, 'GRAY')
    except ValueError as error:
        return _marker_behind_strays(str(error)) == END
    return True
