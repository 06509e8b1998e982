"""
A jpeg -> its pixels, or an error: libjpeg itself fills in missing parts and only warns.

simplejpeg raises where libjpeg warns, and is no slower than OpenCV. Damage of a few bytes that
does not change the number of blocks raises no warning: a jpeg has no checksum.
"""

import re
from typing import Any

import numpy as np

from .jpeg_png_header import frame_header, MOST_STRAY
from .jpeg_structure import fault, intervals, without_strays
from ..errors import ImageError
from ..system.install_lines import pip_line

# simplejpeg raises the first of libjpeg's warnings only.
STRAY = re.compile(r'(\d+) extraneous bytes before marker 0x(d[0-79])')
END = 'd9'


def require() -> Any:
    """Return simplejpeg; raise ImageError if it is not installed."""
    try:
        import simplejpeg
    except ImportError as error:
        raise ImageError(f'reading jpegs needs the Python package simplejpeg ({error})',
                         fix=pip_line('simplejpeg>=1.8')) from None
    return simplejpeg


def decode_jpeg(data: memoryview) -> np.ndarray:
    """
    Return a jpeg as uint8 [H, W, 3] RGB, or [H, W, 1] if it is grey; EXIF is ignored.

    Raise ValueError with the reason if any part is missing or damaged.
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
    Return whether a warning is only about a few stray bytes after blocks that are complete.

    Before the end of the picture, no other warning can follow; before a restart marker something
    worse may, so each interval is decoded by itself.
    """
    marker = _marker_behind_strays(warning)
    if marker in ('', END):
        return bool(marker)
    pieces = intervals(data)
    return pieces is not None and all(map(_is_whole, pieces))


def _marker_behind_strays(warning: str) -> str:
    """Return the marker after as few stray bytes as webcams send, '' for other warnings."""
    match = STRAY.search(warning)
    return match[2] if match and int(match[1]) <= MOST_STRAY else ''


def _is_whole(interval: bytes) -> bool:
    try:
        require().decode_jpeg(interval, 'GRAY')
    except ValueError as error:
        return _marker_behind_strays(str(error)) == END
    return True
