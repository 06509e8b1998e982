"""
What `make fuzz` and test_fuzz.py feed with bytes: a frame of any fields, through a real driver.

An input is two bytes (what it is, flags) and the rest. It may be the fields of an Image, those of
a CompressedImage, or the serialised message as the middleware hands it over.
"""

import math
import re
import struct
import time

import cv2
import numpy as np

from vla_nav_node.backends import BACKENDS, open_backend
from vla_nav_node.bundle.bundle import Bundle
from vla_nav_node.driving.command_limits import CommandLimits
from vla_nav_node.driving.command_output import CommandOutput
from vla_nav_node.driving.cycle import Cycle
from vla_nav_node.driving.loop import DrivingLoop
from vla_nav_node.driving.parameters import parameters, settings_of
from vla_nav_node.errors import ImageError
from vla_nav_node.policy.recurrent_policy import Policy
from vla_nav_node.types import Frame
from vla_nav_node.vision import image_encodings
from vla_nav_node.vision.preprocess import Preprocess

try:
    # The hook for raw messages.
    from vla_nav_node.node.cdr import read_compressed_image, read_image
except ImportError:
    READERS = []
else:
    READERS = [read_image, read_compressed_image]

IMAGE, COMPRESSED, RAW = 0, 1, 2  # the first byte, modulo how many there are
KINDS = 2 + len(READERS)
FRESH, TILE, BIG, STRETCHED = 1, 2, 4, 8  # flags, in the second byte
# What a CompressedImage says of itself, by the upper half of that byte.
FORMATS = ('jpeg', 'png', '', 'rgb8; jpeg compressed bgr8', 'mono8; jpeg compressed mono8',
           'mono16; jpeg compressed mono8', 'bgr8; png compressed bgr8', 'mono8; png compressed ',
           'mono16; png compressed ', 'bayer_rggb8; png compressed ', '8UC3; png compressed ',
           'rgb8; jpeg compressed rgb8', '16UC1; png compressed ', '16UC1; compressedDepth png',
           'nv12', 'h264')
FIELDS = struct.Struct('<BHHhH')  # encoding, height, width, step less the row, time of the stamp
ENCODINGS = (*image_encodings.LAYOUTS, 'rgb16', '32FC1', 'h264', '')
MOST_TILED = 1 << 16  # bytes; larger pictures are as good, and slower
LONGEST_REASON = 1000  # bytes of UTF-8: it goes to the log and the diagnostics


class Target:
    """A driver with a real tiny policy, which has to stop or drive within limits on any input."""

    def __init__(self, bundle: Bundle) -> None:
        """Assemble it as the node does, without ROS."""
        self.bundle = bundle
        self.fed = self.drove = self.decoded = 0
        settings = settings_of(parameters(bundle.limits, tuple(BACKENDS)), {})
        policy = Policy(open_backend('onnx', bundle), bundle.zero_state())
        limits = CommandLimits(settings.max_linear_x, settings.max_linear_y,
                               settings.max_acceleration)
        self._decode = getattr(image_encodings, 'Decoder', lambda: image_encodings.decode)()
        self._sent = []
        self._picture = False
        cycle = Cycle(policy, Preprocess(bundle.input), limits, self._checked_decode)
        self._loop = DrivingLoop(cycle, CommandOutput(self._sent.append, settings), settings,
                                 time.time_ns, lambda values: None)

    def let_blank_pass(self) -> None:
        """Drive on pictures that show nothing, too."""
        self._loop.cycle.blank_guard = False

    def feed(self, data: bytes) -> None:
        """Drive on the input `data`; AssertionError or any other error is a finding."""
        self.fed += 1
        self.drive(frame_of(data))

    def drive(self, frame) -> None:
        """Drive on a frame, or on the error that reading it gave."""
        self._sent.clear()
        self._picture = False
        self._loop.reset()
        if isinstance(frame, Frame):
            self._loop.drive(frame)
            self._check()
        assert len(self._loop.hang()) == 0

    def _checked_decode(self, frame: Frame) -> np.ndarray:
        """Decode, and check the picture against its message."""
        rgb = self._decode(frame)
        assert rgb.dtype == np.uint8 and rgb.ndim == 3 and rgb.shape[2] == 3
        assert min(rgb.shape) > 0 and max(rgb.shape) <= image_encodings.MAX_SIDE
        assert frame.compressed or rgb.shape[:2] == (frame.height, frame.width)
        self._picture = True
        self.decoded += 1
        return rgb

    def _check(self) -> None:
        """Check the sent command against the limits and against its image."""
        assert len(self._sent) == 1
        command = self._sent[0]
        for speed, most in zip((command.linear_x, command.linear_y), self.bundle.limits.values()):
            assert math.isfinite(speed) and abs(speed) <= most
        assert not command.is_stop or (command.linear_x, command.linear_y) == (0.0, 0.0)
        assert command.is_stop or self._picture
        assert len(command.reason.encode()) <= LONGEST_REASON
        self.drove += not command.is_stop


def frame_of(data: bytes):
    """Make a frame of an input, or the ImageError with which a serialised one was refused."""
    kind, flags = (data[0] % KINDS, data[1]) if len(data) > 1 else (IMAGE, 0)
    now_ns = time.perf_counter_ns()
    if kind >= RAW:
        return _raw(READERS[kind - RAW], data[2:], flags, now_ns)
    if kind == COMPRESSED:
        return Frame(memoryview(data)[2:], FORMATS[flags >> 4], 0, 0, 0,
                     _stamp_ns(flags, len(data)), now_ns, compressed=True)
    return _image(data, flags, now_ns)


def _image(data: bytes, flags: int, now_ns: int) -> Frame:
    """Read FIELDS; the pixels may be repeated, so that small inputs are whole pictures."""
    fields = data[2:2 + FIELDS.size].ljust(FIELDS.size, b'\0')
    number, height, width, padding, time_ms = FIELDS.unpack(fields)
    pixels = data[2 + FIELDS.size:]
    encoding = ENCODINGS[number] if number < len(ENCODINGS) else pixels[:8].decode(
        'utf-8', 'replace')
    layout = image_encodings.LAYOUTS.get(encoding)
    step = width * (layout.pixel_bytes if layout else 1) + padding
    if flags & STRETCHED:
        step *= 0x10001  # as a broken uint32 is
    wanted = int(height * (layout.rows if layout else 1)) * max(step, 0)
    if flags & TILE and pixels and wanted <= MOST_TILED:
        pixels = (pixels * (wanted // len(pixels) + 1))[:wanted]
    return Frame(memoryview(pixels), encoding, height, width, max(step, 0),
                 _stamp_ns(flags, time_ms - 32768), now_ns, bool(flags & BIG))


def _raw(read, data: bytes, flags: int, now_ns: int):
    """Read a serialised message; one with a fresh stamp, or it would never get to the decoder."""
    try:
        frame = read(data, now_ns)
    except ImageError as error:
        assert len(str(error).encode()) <= LONGEST_REASON
        return error
    if flags & FRESH:
        object.__setattr__(frame, 'stamp_ns', time.time_ns())
    return frame


def _stamp_ns(flags: int, offset_ms: int) -> int:
    return time.time_ns() + (0 if flags & FRESH else offset_ms * 1_000_000)


def seeds():
    """Return inputs that are valid messages, of every encoding (and of bytes that are none)."""
    rng = np.random.default_rng(0)
    yield b''
    for number, encoding in enumerate(ENCODINGS):
        layout = image_encodings.LAYOUTS.get(encoding, image_encodings.LAYOUTS['rgb8'])
        for height, width, padding, flags in ((8, 12, 0, FRESH), (24, 32, 4, FRESH | TILE),
                                              (4, 4, 1, FRESH | BIG), (48, 64, 0, TILE)):
            step = width * layout.pixel_bytes + padding
            size = 40 if flags & TILE else int(height * layout.rows) * step
            fields = FIELDS.pack(number, height, width, padding, 32768)
            yield bytes([IMAGE, flags]) + fields + rng.bytes(size)
            yield from _as_message(encoding, height, width, step, rng.bytes(size))
    for data in _compressed(rng):
        for number, text in enumerate(FORMATS):
            yield bytes([COMPRESSED, FRESH | number << 4]) + data
            yield from _as_compressed_message(data, text)


def _compressed(rng):
    """Return jpegs and pngs of several kinds."""
    picture = rng.integers(0, 256, (24, 32, 3), np.uint8)
    for drawn in (picture, picture[..., 0], picture[:3, :5]):
        for options in ([], [cv2.IMWRITE_JPEG_PROGRESSIVE, 1], [cv2.IMWRITE_JPEG_QUALITY, 10]):
            yield cv2.imencode('.jpg', drawn, options)[1].tobytes()
        yield strays(cv2.imencode('.jpg', drawn, [cv2.IMWRITE_JPEG_RST_INTERVAL, 1])[1].tobytes())
        yield cv2.imencode('.png', drawn)[1].tobytes()
        yield cv2.imencode('.png', drawn.astype(np.uint16) * 257)[1].tobytes()


def strays(data):
    """Put meaningless bytes before each restart marker, as some webcams do."""
    return re.sub(rb'\xff[\xd0-\xd7]', lambda found: b'\x11\x22' + found[0], data)


def _string(text: bytes) -> bytes:
    return struct.pack('<I', len(text) + 1) + text + b'\0'


def _aligned(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)


def _header() -> bytes:
    """Return a std_msgs/Header, as CDR."""
    return _aligned(struct.pack('<iI', 1, 2) + _string(b'camera'))


def _as_message(encoding, height, width, step, pixels):
    """Return the same as a serialised Image, if there is a reader for it."""
    body = _header() + struct.pack('<II', height, width) + _string(encoding.encode())
    body = _aligned(body + b'\0') + struct.pack('<II', step, len(pixels)) + pixels
    return [bytes([RAW, FRESH]) + b'\0\1\0\0' + body] if READERS else []


def _as_compressed_message(data, text):
    body = _aligned(_header() + _string(text.encode())) + struct.pack('<I', len(data)) + data
    return [bytes([RAW + 1, FRESH]) + b'\0\1\0\0' + body] if READERS else []
