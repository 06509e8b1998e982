"""Write ROS messages, and decode images with cv_bridge; for reading images see cdr.py."""

import importlib
import importlib.util
import os
from struct import Struct
import subprocess
import sys
from typing import Callable, FrozenSet, Iterable, Sequence, Tuple

from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from geometry_msgs.msg import Twist, TwistStamped
import numpy as np
from rclpy.logging import get_logger
from rclpy.serialization import serialize_message
from std_msgs.msg import Float64MultiArray, MultiArrayDimension

from ..driving.diagnostics.statuses import Status
from ..errors import ImageError
from ..system.install_lines import pip_line
from ..types import Command, Frame
from ..vision import image_encodings

Decode = Callable[[Frame], np.ndarray]

# Encodings for cv_bridge. Not rgb8: it copies what image_encodings.decode views; not mono16: it
# rounds where other decoders truncate; not 8UC3 and 8UC1: it refuses them as colourless. It does
# not know the newer names of the two 4:2:2 encodings, nor nv12, nv21 and nv24.
BRIDGED = ('bgr8', 'rgba8', 'bgra8', 'mono8', 'bayer_rggb8', 'bayer_bggr8', 'bayer_gbrg8',
           'bayer_grbg8', 'yuv422', 'yuv422_yuy2')
PROBE_SIDE = 8  # pixels, of the picture that tests cv_bridge
BRIDGE_TIME_S = 30.0  # for one test, which takes about 1 s
CDR_HEADER, STAMP_SIZE, TWIST_SIZE = 4, 8, 48  # bytes
PROBE_TOLERANCE = 2  # grey levels; OpenCV's releases round YUV differently


class TwistWriter:
    """Write serialised Twists; a Twist of Python objects takes several times as long."""

    def __init__(self) -> None:
        """Take the byte order from an empty Twist."""
        raw = serialize_message(Twist())
        self._front = raw[:CDR_HEADER]
        self._numbers = Struct(f'{_byte_order(raw)}6d')  # linear, then angular

    def __call__(self, command: Command) -> bytes:
        """Return the serialised message."""
        return self._front + self._numbers.pack(
            command.linear_x, command.linear_y, 0.0, 0.0, 0.0, 0.0)


class TwistStampedWriter:
    """Write serialised TwistStampeds."""

    def __init__(self, frame_id: str) -> None:
        """Take what lies between the stamp and the numbers from an empty TwistStamped."""
        message = TwistStamped()
        message.header.frame_id = frame_id
        raw = serialize_message(message)
        self._front = raw[:CDR_HEADER]
        self._name = raw[CDR_HEADER + STAMP_SIZE:-TWIST_SIZE]  # its length, characters and padding
        self._fields = Struct(f'{_byte_order(raw)}iI{len(self._name)}s6d')

    def __call__(self, command: Command, stamp_ns: int) -> bytes:
        """Return the serialised message."""
        return self._front + self._fields.pack(
            *divmod(stamp_ns, 1_000_000_000), self._name,
            command.linear_x, command.linear_y, 0.0, 0.0, 0.0, 0.0)


class LatencyWriter:
    """
    Write serialised Float64MultiArrays; only the numbers change from one to the next.

    Filling in and serialising such a message takes longer than several stages of a cycle.
    """

    def __init__(self, names: Sequence[str]) -> None:
        """Take the labels of the numbers."""
        message = Float64MultiArray(data=[0.0] * len(names))
        message.layout.dim = [MultiArrayDimension(label=name, size=1, stride=1) for name in names]
        raw = serialize_message(message)
        self._numbers = Struct(f'{_byte_order(raw)}{len(names)}d')
        self._front = raw[:-self._numbers.size]  # the numbers are the last field

    def __call__(self, values: Sequence[float]) -> bytes:
        """Return the serialised message."""
        return self._front + self._numbers.pack(*values)


def _byte_order(raw: bytes) -> str:
    """Return struct's sign for the byte order that a serialised message states."""
    return '<' if raw[1] & 1 else '>'


def diagnostics(stamp: Time, statuses: Iterable[Status], node: str,
                hardware_id: str = '') -> DiagnosticArray:
    """
    Return the message for rqt_runtime_monitor and diagnostic_aggregator.

    `node` is the full name without the leading slash: monitors show one line for each name, so two
    robots need two. diagnostic_updater writes the same for a node without a namespace.
    """
    msg = DiagnosticArray(status=[_diagnostic_status(status, node, hardware_id or node)
                                  for status in statuses])
    msg.header.stamp = stamp
    return msg


def _diagnostic_status(status: Status, node: str, hardware_id: str) -> DiagnosticStatus:
    values = [KeyValue(key=str(key), value=str(value)) for key, value in status.values.items()]
    return DiagnosticStatus(level=bytes([status.level]), name=f'{node}: {status.name}',
                            message=status.message, hardware_id=hardware_id, values=values)


def decoder() -> Decode:
    """
    Return the decoder of this machine: cv_bridge if it is installed and works.

    image_encodings.Decoder decodes everything else.
    """
    if importlib.util.find_spec('cv_bridge') is None:
        return image_encodings.Decoder()
    if not _survives_bridge():
        _warn(f'cv_bridge is installed, but does not run with NumPy {np.__version__}: OpenCV '
              f"decodes instead; fix: {pip_line('numpy<2')}, or a cv_bridge built for it")
        return image_encodings.Decoder()
    return BridgeDecoder(importlib.import_module('cv_bridge').CvBridge())


def _survives_bridge() -> bool:
    """Test cv_bridge in another process: built for NumPy 1, it crashes under NumPy 2."""
    code = f'import cv_bridge; from {__name__} import try_bridge; try_bridge(cv_bridge.CvBridge())'
    environment = {**os.environ, 'PYTHONPATH': os.pathsep.join(filter(None, sys.path))}
    try:
        return subprocess.run([sys.executable, '-c', code], env=environment, timeout=BRIDGE_TIME_S,
                              capture_output=True, check=False).returncode == 0
    except subprocess.TimeoutExpired:
        return False


class BridgeDecoder:
    """Decode with cv_bridge the encodings that it decoded correctly in a test."""

    def __init__(self, bridge) -> None:
        """Test each encoding on a small picture, and warn of those that fail."""
        self._bridge = bridge
        self._decode = image_encodings.Decoder()
        self.encodings, refused = try_bridge(bridge)
        if refused:
            _warn('OpenCV decodes the encodings that cv_bridge cannot: ' + '; '.join(refused))

    def __call__(self, frame: Frame) -> np.ndarray:
        """Return uint8 [H, W, 3] RGB; raise ImageError like image_encodings.decode."""
        if frame.encoding not in self.encodings or frame.compressed or frame.is_bigendian:
            return self._decode(frame)
        layout = image_encodings.check(frame)
        # cv_bridge would shear a picture of such a step, and refuse one without its last padding.
        if frame.step % layout.pixel_bytes or image_encodings.buffer(frame).nbytes < (
                frame.height * frame.step):
            return self._decode(frame)
        try:
            return self._bridge.imgmsg_to_cv2(frame, 'rgb8')
        except (TypeError, ValueError, RuntimeError) as error:  # its own error is a TypeError
            what = image_encodings.describe(frame)
            raise ImageError(f'cv_bridge cannot convert {what}: {error}',
                             fix="set the camera driver's encoding to rgb8") from error


def try_bridge(bridge, encodings: Sequence[str] = BRIDGED
               ) -> Tuple[FrozenSet[str], Tuple[str, ...]]:
    """
    Return the encodings that `bridge` decodes like image_encodings.decode, and why others fail.

    Several packages have this name, and builds for another NumPy fail only when called.
    """
    right, refused = [], []
    for encoding in encodings:
        why = _difference(bridge, encoding)
        if why:
            refused.append(f'{encoding} ({why})')
        else:
            right.append(encoding)
    return frozenset(right), tuple(refused)


def _difference(bridge, encoding: str) -> str:
    """Return how cv_bridge fails on a padded picture of this encoding; '' if it does not."""
    pixel = image_encodings.LAYOUTS[encoding].pixel_bytes
    step = (PROBE_SIDE + 2) * pixel
    data = np.random.default_rng(0).integers(0, 256, PROBE_SIDE * step, np.uint8)
    frame = Frame(data, encoding, PROBE_SIDE, PROBE_SIDE, step, 0, 0)
    try:
        found = bridge.imgmsg_to_cv2(frame, 'rgb8')
    except Exception as error:  # noqa: BLE001  # a library of unknown build may raise anything
        return f'{type(error).__name__}: {error}'
    wanted = image_encodings.decode(frame)
    if found.shape != wanted.shape or found.dtype != wanted.dtype:
        return f'gives {found.dtype} {found.shape}'
    off = int(np.abs(found.astype(int) - wanted).max())
    return f'off by {off} grey levels' if off > PROBE_TOLERANCE else ''


def _warn(text: str) -> None:
    get_logger('vla_nav_node.image').warning(text)
