"""
A CompressedImage -> the raw frame that image_transport would deliver.

The decoder of raw pictures continues from there, so that both transports of a camera give the same
picture or the same error.
"""

from dataclasses import replace
import reprlib
import sys
from typing import Container, Tuple

import cv2
import numpy as np

from .compressed_format import EXPECTED, Format, read_format
from .jpeg import decode_jpeg
from .jpeg_png_header import codec_of, MAX_SIDE, png_fault, stated_size
from ..errors import ImageError
from ..types import Frame

DEEP_GREY = b'\x10\0'  # bits and colour type in the header of a png of 16-bit grey


def decompress(frame: Frame, known: Container[str]) -> Frame:
    """
    Return a compressed frame as a raw one; `known` are the encodings that can be read raw.

    Raise ImageError if the data is damaged or contradicts its format. A frame of an unknown
    encoding is returned without a picture, to be refused like a raw one.
    """
    stated = read_format(frame.encoding)
    data = bytes_of(frame)
    codec = _check_header(frame, data, stated)
    if stated.encoding is not None and stated.encoding not in known:
        return replace(frame, data=b'', encoding=stated.encoding, compressed=False)
    picture = _decode(frame, data, codec, stated)
    encoding = (_of_jpeg if codec == 'jpeg' else _of_png)(frame, stated, picture)
    if encoding == 'mono16' and picture.itemsize == 1:
        picture = picture * np.uint16(256)  # a jpeg has kept the high byte
    return replace(frame, data=picture, encoding=encoding, height=picture.shape[0],
                   width=picture.shape[1], step=picture.strides[0], compressed=False,
                   is_bigendian=sys.byteorder == 'big')


def bytes_of(frame: Frame) -> memoryview:
    """Return a frame's bytes without a copy: uint8 [N]."""
    return memoryview(frame.data).cast('B')  # type: ignore[arg-type]  # an array is a buffer


def size_and_encoding(frame: Frame) -> str:
    """Return a frame's size and encoding for diagnostics; compressed data states its size."""
    width, height = frame.width, frame.height
    if frame.compressed:
        width, height = stated_size(bytes_of(frame)) or (0, 0)
    return f'{width}x{height} {frame.encoding[:40]}'


def _check_header(frame: Frame, data: memoryview, stated: Format) -> str:
    """
    Return the codec, or raise ImageError for data that no decoder should start on.

    Only two codecs are exposed to data from outside. 2 kB that state 65000x16000 pixels took
    OpenCV minutes and 6 GB; a png chunk that states 4 GB in 118 bytes took 4 GB.
    """
    size, codec = stated_size(data), codec_of(data)
    if size is None:
        raise _undecodable(frame)
    if not 0 < min(size) <= max(size) <= MAX_SIDE:
        raise ImageError(f'a compressed picture of {size[0]}x{size[1]}',
                         f'sides of 1 to {MAX_SIDE} pixels', 'set another resolution')
    if codec != (stated.codec or codec):
        raise _undecodable(frame, f': they are a {codec}')
    return codec


def _decode(frame: Frame, data: memoryview, codec: str, stated: Format) -> np.ndarray:
    """Return the pixels as uint8 or uint16 [H, W, channels]; RGB of a jpeg, BGR of a png."""
    try:
        if codec == 'jpeg':
            return decode_jpeg(data)
        unchanged = stated.encoding is not None or data[24:26] == DEEP_GREY
        return _decode_png(data, cv2.IMREAD_UNCHANGED if unchanged else cv2.IMREAD_COLOR)
    except ValueError as error:
        raise _undecodable(frame, f': {error}') from None
    except cv2.error as error:
        raise _undecodable(frame, f': {error.err}') from error


def _decode_png(data: memoryview, flags: int) -> np.ndarray:
    why = png_fault(data)
    if why:
        raise ValueError(why)
    # EXIF is ignored: the parameter image_rotation turns pictures, raw and compressed alike.
    picture = cv2.imdecode(np.asarray(data), flags | (
        cv2.IMREAD_IGNORE_ORIENTATION if flags == cv2.IMREAD_COLOR else 0))
    if picture is None:
        raise ValueError('the png is not whole')
    return picture if picture.ndim == 3 else picture[..., None]


def _of_jpeg(frame: Frame, stated: Format, picture: np.ndarray) -> str:
    """Return the encoding of the pixels; raise ImageError if they contradict the format."""
    grey = picture.shape[2] == 1
    if stated.encoding is None:
        return 'mono8' if grey else 'rgb8'
    if stated.is_grey and grey:
        return stated.encoding
    if stated.is_grey or grey:
        raise _contradicted(frame, picture)
    _check_order(frame, stated)
    return 'rgb8'


def _of_png(frame: Frame, stated: Format, picture: np.ndarray) -> str:
    """Return the encoding of the pixels; raise ImageError if they contradict the format."""
    if stated.encoding is None and picture.itemsize == 1:
        return 'bgr8'
    encoding = stated.encoding or 'mono16'
    if stated.pixels and not stated.is_grey:
        encoding = stated.pixels
    if encoding.startswith(('bgr', 'rgb')):
        _check_order(frame, stated)
    if (picture.shape[2], picture.itemsize) != _samples(encoding):
        raise _contradicted(frame, picture)
    return encoding


def _samples(encoding: str) -> Tuple[int, int]:
    """Return the number of channels, and their bytes, that image_transport puts into a png."""
    channels = 3 if encoding.startswith('bgr') or encoding.endswith('C3') else 1
    return channels, 2 if encoding.endswith('16') else 1


def _check_order(frame: Frame, stated: Format) -> None:
    if not stated.order_is_known:
        raise ImageError(f'format {reprlib.repr(frame.encoding)} leaves open whether red or blue '
                         'comes first', EXPECTED, "let the publisher write 'jpeg' or 'png', or "
                         "'compressed bgr8'")


def _contradicted(frame: Frame, picture: np.ndarray) -> ImageError:
    inside = (f'{picture.shape[2]} channel{"s" * (picture.shape[2] > 1)} of '
              f'{8 * picture.itemsize} bits')
    return ImageError(
        f'a picture of {inside}, but of format {reprlib.repr(frame.encoding)}',
        'the colours that the raw picture has', "set compressed_image_transport's parameter "
        'format to png, or image_transport to raw')


def _undecodable(frame: Frame, why: str = '') -> ImageError:
    return ImageError(
        f'{bytes_of(frame).nbytes} bytes of format {reprlib.repr(frame.encoding)} do not decode'
        f'{why}', 'a whole jpeg or png', 'check the camera driver and the transport')
