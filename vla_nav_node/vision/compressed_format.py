"""The field `format` of a CompressedImage: what was compressed, and how. A leaf."""

import reprlib
from typing import NamedTuple, Optional

from ..errors import ImageError

CODECS = {'jpeg': 'jpeg', 'jpg': 'jpeg', 'mjpeg': 'jpeg', 'mjpg': 'jpeg', 'image/jpeg': 'jpeg',
          'png': 'png', 'image/png': 'png'}
EXPECTED = "'jpeg', 'png', 'ENCODING; jpeg compressed bgr8' or 'ENCODING; png compressed '"
# Every other encoding that can be read raw has colours.
GREY = ('mono8', '8UC1', 'mono16')


class Format(NamedTuple):
    """The parts of the field `format`."""

    codec: str  # jpeg, png; '' if not stated
    encoding: Optional[str] = None  # of the raw picture; None if not stated
    pixels: str = ''  # the encoding that was compressed, if it is another

    @property
    def is_grey(self) -> bool:
        """Return whether the raw picture has no colours."""
        return self.encoding in GREY

    @property
    def order_is_known(self) -> bool:
        """
        Return whether the order of red and blue is certain.

        Without bgr, image_transport exchanges red and blue; other publishers that write rgb mean
        that the order is right.
        """
        return self.pixels.startswith('bgr')


def read_format(text: str) -> Format:
    """
    Parse the field `format`; raise ImageError if it states neither jpeg nor png.

    compressed_image_transport writes "ENCODING; CODEC compressed PIXELS", drivers the codec alone.
    """
    encoding, separator, rest = text.partition(';')
    words = (rest if separator else text).casefold().split()
    if not words and not separator:
        return Format('')
    codec = CODECS.get(words[0].lstrip('.'), '') if words else ''
    if not separator:
        return Format(codec) if codec and len(words) == 1 else _refuse(
            text, 'set the driver to jpeg; raw pictures go out as sensor_msgs/Image, for which '
            'image_transport is raw')
    if rest.strip().casefold().startswith('compresseddepth'):
        raise ImageError(f'format {reprlib.repr(text)} holds depths', 'colours',
                         "remap `image` to the camera's colour topic")
    pixels = words[2:] if words[1:2] == ['compressed'] else words[1:]
    if not codec or len(pixels) > 1:
        _refuse(text, "set compressed_image_transport's parameter format to jpeg or png")
    return Format(codec, encoding.strip(), ''.join(pixels))


def _refuse(text: str, fix: str) -> Format:
    raise ImageError(f'no picture can be read from format {reprlib.repr(text)}', EXPECTED, fix)
