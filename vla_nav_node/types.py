"""The data that the stages exchange. A leaf."""  # noqa: A005, RUF100

from dataclasses import dataclass, field
from typing import NamedTuple, Protocol, Sequence, Tuple, Union

import numpy as np

# The recurrent state: (h,) for an RNN or GRU, (h, c) for an LSTM, each float32
# [layers, 1, hidden]. Every backend accepts another one's: its parts are host arrays when they
# are read, though a backend may leave them on its device until then.
State = Sequence[np.ndarray]

# The statuses of diagnostics that can own a fault: that one is ERROR, the others point at it.
CAMERA, POLICY, DRIVING = 'camera', 'policy', 'driving'


class Step(NamedTuple):
    """The input and output of one step of the policy."""

    image: np.ndarray  # uint8 [1, H, W, 3]
    state: State  # before the step
    action: np.ndarray  # float32 [2]


@dataclass(frozen=True)
class Frame:
    """
    One image message as it arrived, not yet decoded.

    `encoding` uses the names of sensor_msgs/image_encodings; for a CompressedImage it is the
    `format` field and `compressed` is true (height, width and step are then 0).
    """

    data: Union[bytes, memoryview, np.ndarray]
    encoding: str
    height: int
    width: int
    step: int  # bytes per row, padding included
    stamp_ns: int  # capture time, ROS clock
    received_ns: int  # entry of the image callback, time.perf_counter_ns
    is_bigendian: bool = False
    compressed: bool = False
    sequence: int = 0  # the sender's count of its images; 0 if the middleware has none
    frame_id: bytes = b''  # of the header; two cameras usually have two
    deserialise_ns: int = field(default=0, compare=False)  # duration, from received_ns on


@dataclass(frozen=True)
class Command:
    """A velocity in the robot's frame (REP 103: x forward, y left), m/s."""

    linear_x: float
    linear_y: float
    reason: str = ''  # why the robot has to stand still; empty while it drives
    owner: str = field(default=DRIVING, compare=False)  # of that fault, if it is one
    stamp_ns: int = field(default=0, compare=False)  # of its image, ROS clock; 0 for a stop

    @property
    def is_stop(self) -> bool:
        """Return whether this is a stop with a reason, not a zero speed by the policy."""
        return bool(self.reason)


@dataclass(frozen=True)
class BackendInfo:
    """What a backend really is, read from the library after opening, not from the request."""

    name: str  # torch, onnx, tensorrt
    library: str  # e.g. onnxruntime
    version: str  # of the library
    device: str  # cpu, or cuda with the GPU's name
    provider: str  # the execution provider, or the mode of execution
    precision: str  # fp32, fp16, int8
    layers: str = ''  # the types in which the layers run, if the library tells
    note: str = ''  # why it does not use this machine's GPU, and what to run

    def __str__(self) -> str:
        """Return one line for logs and diagnostics."""
        return (f'{self.name} ({self.library} {self.version}, {self.provider}) '
                f'on {self.device}, {self.precision}')


class Backend(Protocol):
    """
    A runtime that runs one step of a policy.

    Host arrays in and out; the device is synchronised before `infer` returns; buffers are
    allocated once, at opening. What `infer` returns belongs to the caller.
    """

    info: BackendInfo
    fits_cache: bool  # of a processor that runs it

    def infer(self, image: np.ndarray, state: State) -> Tuple[np.ndarray, State]:
        """
        Run one step: image uint8 [1, H, W, 3] RGB -> action float32 [1, 2] m/s, new state.

        Raise BackendError when the runtime fails.
        """

    def close(self) -> None:
        """Release all resources; the backend is not used again."""
