"""Frames of any encoding and stride -> RGB pictures, uint8 [H, W, 3]."""

from dataclasses import dataclass
import reprlib
from typing import Callable, Dict, Optional

import cv2
import numpy as np

from .compressed import decompress
from .jpeg_png_header import MAX_SIDE
from ..errors import ImageError
from ..types import Frame

# What may follow the last row of a packed picture: video hardware aligns heights to 16 rows, and
# memory is allocated in pages.
MORE_ROWS, MORE_BYTES = 15, 4095
DARK_MONO16 = 16  # of 256: 12 bits that were not shifted up stay below it
PIXEL_SIZES = (2, 3, 4, 6, 8)  # bytes of a pixel in ROS's packed encodings, except 1

Convert = Callable[[Frame, Optional[np.ndarray]], np.ndarray]  # the array may be written into


class Decoder:
    """`decode` into a buffer that is allocated again only for another size."""

    def __init__(self) -> None:
        """Start without a buffer; the first picture decides its size."""
        self._rgb: Optional[np.ndarray] = None

    def __call__(self, frame: Frame) -> np.ndarray:
        """Return the picture; the next call may overwrite it."""
        rgb = decode(frame, self._rgb)
        if rgb.flags.writeable:  # not a view of the message
            self._rgb = rgb
        return rgb


def decode(frame: Frame, out: Optional[np.ndarray] = None) -> np.ndarray:
    """
    Return the picture as uint8 [H, W, 3] RGB; for rgb8, a read-only view of the frame's bytes.

    It is written into `out` if that has the right shape and the conversion can. Raise ImageError
    for anything that is not a whole picture of a known encoding.
    """
    if frame.compressed:
        frame = decompress(frame, LAYOUTS)
    layout = check(frame)
    try:
        return layout.convert(frame, out)
    except cv2.error as error:
        raise ImageError(f'OpenCV cannot convert {describe(frame)}: {error.err}') from error


def stay_in_one_thread() -> None:
    """
    Make OpenCV run in the calling thread only, in the whole process.

    A conversion in several threads ends only when the last of them has got a core.
    """
    cv2.setNumThreads(1)


def check(frame: Frame) -> 'Layout':
    """Return the layout of an uncompressed frame; raise ImageError unless it fits the bytes."""
    layout = LAYOUTS.get(frame.encoding)
    if layout is None:
        raise ImageError(f'no picture can be read from encoding '
                         f'{reprlib.repr(frame.encoding)}',
                         'one of ' + ', '.join(LAYOUTS),
                         "set the camera driver's encoding to one of them, rgb8 is the fastest")
    _check_size(frame, layout)
    _check_step(frame, layout)
    _check_bytes(frame, layout)
    return layout


def _check_step(frame: Frame, layout: 'Layout') -> None:
    row = frame.width * layout.pixel_bytes
    if frame.step < row:
        raise ImageError(f'{describe(frame)} has rows (step) of {frame.step} bytes',
                         f'at least {row}', "correct the camera driver's step")
    if frame.step in (frame.width * size for size in PIXEL_SIZES if size > layout.pixel_bytes):
        raise ImageError(f'{describe(frame)} has rows (step) of {frame.step} bytes, as '
                         f'{frame.step // frame.width} bytes for each pixel would have',
                         f'{row}, or rows that are padded to another length',
                         "correct the camera driver's encoding")


def _check_bytes(frame: Frame, layout: 'Layout') -> None:
    """
    Raise ImageError unless the header explains the bytes.

    Drivers omit the last padding, and send buffers that are a few rows or a part of a page longer
    than a packed picture (1080 rows in a buffer of 1088). Any other size means that the picture
    is not as the header says: other planes, longer rows, larger pixels or more rows.
    """
    rows = round(frame.height * layout.rows)
    whole, found = rows * frame.step, buffer(frame).nbytes
    least = whole - frame.step + frame.width * layout.pixel_bytes
    if found < least:
        raise ImageError(f'{describe(frame)} has {found} bytes of data', f'at least {least}',
                         'the picture was cut off: check the camera driver and the transport')
    extra = found - whole
    if extra <= 0:
        return
    most = max(MORE_ROWS * frame.step, MORE_BYTES)
    if layout.rows != 1 or extra > most or extra % frame.height == 0:
        raise ImageError(
            f'{describe(frame)} in rows (step) of {frame.step} bytes has {found} bytes of data',
            f'{whole}' if layout.rows != 1 else
            f'{whole}, and at most {most} after the last row that do not divide into rows',
            "correct the camera driver's encoding, width, height or step")


def describe(frame: Frame) -> str:
    """Return the picture's size and encoding for messages."""
    return f'a picture of {frame.width}x{frame.height} {frame.encoding}'


def buffer(frame: Frame) -> memoryview:
    """Return the frame's bytes without a copy."""
    return memoryview(frame.data)  # type: ignore[arg-type]  # an array is a buffer, typed or not


def _check_size(frame: Frame, layout: 'Layout') -> None:
    if not (0 < frame.width <= MAX_SIDE and 0 < frame.height <= MAX_SIDE):
        raise ImageError(describe(frame), f'sides of 1 to {MAX_SIDE} pixels',
                         "correct the camera driver's width and height")
    if min(frame.width, frame.height) < layout.least_side:
        raise ImageError(f'{describe(frame)} is too small to have colours',
                         f'sides of at least {layout.least_side} pixels',
                         'set another resolution')
    if frame.width % layout.even_width or frame.height % layout.even_height:
        raise ImageError(f'{describe(frame)} shares its colours with pixels that it does not have',
                         f'a width that divides by {layout.even_width} and a height that '
                         f'divides by {layout.even_height}', 'set another resolution')


def _view(frame: Frame, channels: int, rows: float = 1) -> np.ndarray:
    """Return the rows without padding or copy: uint8 [rows * H, W, channels]."""
    shape = (int(frame.height * rows), frame.width, channels)
    return np.ndarray(shape, np.uint8, buffer(frame), 0, (frame.step, channels, 1))


def _rgb(frame: Frame, out: Optional[np.ndarray]) -> np.ndarray:
    rgb = _view(frame, 3)
    rgb.flags.writeable = False
    return rgb


def _by_opencv(code: int, channels: int, rows: float = 1) -> Convert:
    def convert(frame: Frame, out: Optional[np.ndarray]) -> np.ndarray:
        return cv2.cvtColor(_view(frame, channels, rows), code, dst=out)
    return convert


def _mono16(frame: Frame, out: Optional[np.ndarray]) -> np.ndarray:
    """
    Convert the high byte of each pixel.

    Raise ImageError if no pixel reaches a sixteenth of white: then the camera sends 10 or 12 bits
    in the low bits, and the picture would be black.
    """
    high = cv2.extractChannel(_view(frame, 2), 0 if frame.is_bigendian else 1)
    brightest = int(high.max())
    if brightest < DARK_MONO16:
        raise ImageError(
            f'{describe(frame)} has no pixel above {(brightest + 1) * 256 - 1} of 65535',
            'pixels that use all 16 bits',
            'if the camera has 10 or 12 bits, let its driver shift them up, or send mono8')
    return cv2.cvtColor(high, cv2.COLOR_GRAY2RGB, dst=out)


def _nv24(frame: Frame, out: Optional[np.ndarray]) -> np.ndarray:
    """Convert 4:4:4, which OpenCV lacks, as 4:2:0 of twice the size: the chroma plane fits it."""
    height, width, step = frame.height, frame.width, frame.step
    luma = cv2.resize(_view(frame, 1), (2 * width, 2 * height), interpolation=cv2.INTER_NEAREST)
    chroma = np.ndarray((height, width, 2), np.uint8, buffer(frame), height * step,
                        (2 * step, 2, 1))
    double = cv2.cvtColorTwoPlane(luma, chroma, cv2.COLOR_YUV2RGB_NV12)
    return double[::2, ::2].copy()


@dataclass(frozen=True)
class Layout:
    """How an encoding lays a picture out in memory."""

    pixel_bytes: int  # of a pixel in a row
    convert: Convert
    even_width: int = 1  # 2 if neighbours share their colours
    even_height: int = 1
    rows: float = 1  # rows of `step` bytes for each row of the picture, all planes together
    least_side: int = 1  # pixels; OpenCV silently paints smaller Bayer pictures black


def _bayer(code: int) -> Layout:
    return Layout(1, _by_opencv(code, 1), least_side=4)


# OpenCV names a Bayer pattern after its second row and column, ROS after its first ones.
LAYOUTS: Dict[str, Layout] = {
    'rgb8': Layout(3, _rgb),
    'bgr8': Layout(3, _by_opencv(cv2.COLOR_BGR2RGB, 3)),
    'rgba8': Layout(4, _by_opencv(cv2.COLOR_RGBA2RGB, 4)),
    'bgra8': Layout(4, _by_opencv(cv2.COLOR_BGRA2RGB, 4)),
    'mono8': Layout(1, _by_opencv(cv2.COLOR_GRAY2RGB, 1)),
    'mono16': Layout(2, _mono16),
    '8UC1': Layout(1, _by_opencv(cv2.COLOR_GRAY2RGB, 1)),
    '8UC3': Layout(3, _by_opencv(cv2.COLOR_BGR2RGB, 3)),
    'bayer_rggb8': _bayer(cv2.COLOR_BayerBG2RGB),
    'bayer_bggr8': _bayer(cv2.COLOR_BayerRG2RGB),
    'bayer_gbrg8': _bayer(cv2.COLOR_BayerGR2RGB),
    'bayer_grbg8': _bayer(cv2.COLOR_BayerGB2RGB),
    'yuv422': Layout(2, _by_opencv(cv2.COLOR_YUV2RGB_UYVY, 2), 2),
    'uyvy': Layout(2, _by_opencv(cv2.COLOR_YUV2RGB_UYVY, 2), 2),
    'yuv422_yuy2': Layout(2, _by_opencv(cv2.COLOR_YUV2RGB_YUY2, 2), 2),
    'yuyv': Layout(2, _by_opencv(cv2.COLOR_YUV2RGB_YUY2, 2), 2),
    'nv12': Layout(1, _by_opencv(cv2.COLOR_YUV2RGB_NV12, 1, 1.5), 2, 2, 1.5),
    'nv21': Layout(1, _by_opencv(cv2.COLOR_YUV2RGB_NV21, 1, 1.5), 2, 2, 1.5),
    'nv24': Layout(1, _nv24, rows=3),
}
