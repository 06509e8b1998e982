"""What the stages give -> ROS messages, and ROS's cv_bridge as a decoder; images: see cdr.py."""

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
from ..types import Command, Frame
from ..vision import pictures

Decode = Callable[[Frame], np.ndarray]

# What cv_bridge is asked for. Not rgb8: it copies what image.decode only looks at; not mono16: it
# rounds where other decoders cut; not 8UC3 and 8UC1: it refuses them as colourless. The two 4:2:2
# encodings have newer names that it does not know; nv12, nv21 and nv24 it does not know at all.
BRIDGED = ('bgr8', 'rgba8', 'bgra8', 'mono8', 'bayer_rggb8', 'bayer_bggr8', 'bayer_gbrg8',
           'bayer_grbg8', 'yuv422', 'yuv422_yuy2')
PROBE_SIDE = 8  # pixels, of the picture that cv_bridge is tried with
BRIDGE_TIME_S = 30.0  # for trying it once; it takes about one
CDR_HEADER = 4  # bytes in front of what is serialised
PROBE_TOLERANCE = 2  # grey levels; OpenCV's releases round YUV differently


class TwistWriter:
    """Return Twists, serialised: making one of Python objects takes several times as long."""

    def __init__(self) -> None:
        """Learn the byte order from an empty one."""
        raw = serialize_message(Twist())
        self._front = raw[:CDR_HEADER]
        self._numbers = Struct(f'{"<" if raw[1] & 1 else ">"}6d')  # linear, then angular

    def __call__(self, command: Command) -> bytes:
        """Return the message for the wheels, as a publisher takes it."""
        return self._front + self._numbers.pack(
            command.linear_x, command.linear_y, 0.0, 0.0, 0.0, 0.0)


def twist_stamped(command: Command, stamp: Time, frame_id: str) -> TwistStamped:
    """Return the stamped message for the wheels."""
    msg = TwistStamped()
    # A numpy float32 in here would go out as another number, and rclpy would not say so.
    msg.twist.linear.x = float(command.linear_x)
    msg.twist.linear.y = float(command.linear_y)
    msg.header.stamp = stamp
    msg.header.frame_id = frame_id
    return msg


class LatencyWriter:
    """
    Give Float64MultiArrays, serialised once for all but their numbers.

    Filling such a message in and serialising it takes longer than several stages of a cycle.
    """

    def __init__(self, names: Sequence[str]) -> None:
        """Take the names of the numbers, which are the labels of the array."""
        message = Float64MultiArray(data=[0.0] * len(names))
        message.layout.dim = [MultiArrayDimension(label=name, size=1, stride=1) for name in names]
        raw = serialize_message(message)
        self._numbers = Struct(f'{"<" if raw[1] & 1 else ">"}{len(names)}d')
        self._front = raw[:-self._numbers.size]  # the numbers are the last field

    def __call__(self, values: Sequence[float]) -> bytes:
        """Return the message of these values, as a publisher takes it."""
        return self._front + self._numbers.pack(*values)


def diagnostics(stamp: Time, statuses: Iterable[Status], node: str,
                hardware_id: str = '') -> DiagnosticArray:
    """
    Give what rqt_runtime_monitor and diagnostic_aggregator read.

    `node` is the full name without the leading slash, as diagnostic_updater has it for a node
    without a namespace: monitors keep one line for each name, so two robots need two.
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
    Give the decoder of this machine: ROS 2's cv_bridge where it is there and right.

    What cv_bridge gets wrong or does not know goes through image.Decoder, which is all there is
    where cv_bridge is not installed.
    """
    if importlib.util.find_spec('cv_bridge') is None:
        return pictures.Decoder()
    if not _survives_bridge():
        _warn(f'cv_bridge is installed, but does not run with NumPy {np.__version__}: OpenCV '
              "decodes instead; fix: pip install 'numpy<2', or a cv_bridge built for it")
        return pictures.Decoder()
    return BridgeDecoder(importlib.import_module('cv_bridge').CvBridge())


def _survives_bridge() -> bool:
    """Try cv_bridge in another process: built for NumPy 1, it kills one that has NumPy 2."""
    code = f'import cv_bridge; from {__name__} import try_bridge; try_bridge(cv_bridge.CvBridge())'
    environment = {**os.environ, 'PYTHONPATH': os.pathsep.join(filter(None, sys.path))}
    try:
        return subprocess.run([sys.executable, '-c', code], env=environment, timeout=BRIDGE_TIME_S,
                              capture_output=True, check=False).returncode == 0
    except subprocess.TimeoutExpired:
        return False


class BridgeDecoder:
    """Decode with cv_bridge what it proved to decode rightly when it was opened."""

    def __init__(self, bridge) -> None:
        """Try each encoding on a small picture, and warn of those that do not come out right."""
        self._bridge = bridge
        self._decode = pictures.Decoder()
        self.encodings, refused = try_bridge(bridge)
        if refused:
            _warn('OpenCV decodes what cv_bridge cannot here: ' + '; '.join(refused))

    def __call__(self, frame: Frame) -> np.ndarray:
        """Return the picture as uint8 [H, W, 3] RGB; raise ImageError as image.decode does."""
        if frame.encoding not in self.encodings or frame.compressed or frame.is_bigendian:
            return self._decode(frame)
        layout = pictures.check(frame)
        # It would shear a picture of such a step, and refuse one without its last padding.
        if frame.step % layout.pixel_bytes or pictures.buffer(frame).nbytes < (
                frame.height * frame.step):
            return self._decode(frame)
        try:
            return self._bridge.imgmsg_to_cv2(frame, 'rgb8')
        except (TypeError, ValueError, RuntimeError) as error:  # its own error is a TypeError
            raise ImageError(f'cv_bridge cannot convert {pictures.describe(frame)}: {error}',
                             fix="set the camera driver's encoding to rgb8") from error


def try_bridge(bridge, encodings: Sequence[str] = BRIDGED
               ) -> Tuple[FrozenSet[str], Tuple[str, ...]]:
    """
    Give the encodings that `bridge` decodes as image.decode does, and what is wrong elsewhere.

    There are several packages of that name, and builds for another NumPy fail only when called.
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
    """Tell how cv_bridge goes wrong on a padded picture of this encoding, '' if it does not."""
    pixel = pictures.LAYOUTS[encoding].pixel_bytes
    step = (PROBE_SIDE + 2) * pixel
    data = np.random.default_rng(0).integers(0, 256, PROBE_SIDE * step, np.uint8)
    frame = Frame(data, encoding, PROBE_SIDE, PROBE_SIDE, step, 0, 0)
    try:
        found = bridge.imgmsg_to_cv2(frame, 'rgb8')
    except Exception as error:  # noqa: BLE001  # a library of unknown build: anything can come
        return f'{type(error).__name__}: {error}'
    wanted = pictures.decode(frame)
    if found.shape != wanted.shape or found.dtype != wanted.dtype:
        return f'gives {found.dtype} {found.shape}'
    off = int(np.abs(found.astype(int) - wanted).max())
    return f'off by {off} grey levels' if off > PROBE_TOLERANCE else ''


def _warn(text: str) -> None:
    get_logger('vla_nav_node.image').warning(text)
