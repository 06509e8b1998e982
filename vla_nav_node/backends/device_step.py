"""One step on a device: fixed buffers, recorded once; the state stays there until it is read."""

import logging
from threading import RLock
from typing import (
    Any, Callable, Dict, Iterator, List, Mapping, Optional, Protocol, Sequence, Tuple)
import weakref

import numpy as np

from ..errors import BackendError
from ..types import State

LOG = logging.getLogger(__name__)
ALIGNMENT = 256  # bytes, of TensorRT's tensors
# States that stay on the device. A node keeps the newest and 8 before it (cycle.RECENT), so
# driving never moves one to the host.
SLOTS = 16
Shape = Tuple[int, ...]


class DeviceMemory(Protocol):
    """Memory of a device, and one queue of work on it; addresses are plain integers."""

    mode: str  # how recorded work runs, for the user

    def host(self, size: int) -> np.ndarray:
        """Return host memory, uint8 [size], that the device reads and writes without a copy."""

    def device(self, size: int) -> int:
        """Return the address of memory on the device, aligned to ALIGNMENT."""

    def upload(self, target: int, source: np.ndarray) -> None:
        """Queue a copy of host memory to the device."""

    def download(self, target: np.ndarray, source: int) -> None:
        """Queue a copy to host memory."""

    def copy(self, target: int, source: int, size: int) -> None:
        """Queue a copy on the device."""

    def record(self, work: Callable[[], None]) -> Callable[[], None]:
        """Run `work`, which only queues, and return what queues the same again in one call."""

    def enter(self) -> None:
        """Make this memory the calling thread's; call it before any other method."""

    def wait(self) -> None:
        """Wait until all queued work is done."""

    def close(self) -> None:
        """Release everything; called once."""


class DeviceState(Sequence[np.ndarray]):
    """
    A recurrent state on the device; reading an array copies the state to the host.

    Handed back to the step that made it, it never leaves the device. Its arrays are read-only.
    """

    def __init__(self, step: 'DeviceStep', slot: int) -> None:
        self.step, self.slot = step, slot
        self.arrays: Optional[Tuple[np.ndarray, ...]] = None  # once they are on the host

    def __len__(self) -> int:
        return len(self.step.state_shapes)

    def __getitem__(self, index: Any) -> Any:
        return self.step.fetch(self)[index]

    def __iter__(self) -> Iterator[np.ndarray]:
        return iter(self.step.fetch(self))


class DeviceStep:
    """
    Runs a graph of one step on fixed buffers: upload, graph, download, state carried over.

    All of that is recorded once and then takes one call. Each state that infer returns has a slot
    of its own; it moves to the host only if it is still in use when all slots are taken.
    """

    def __init__(self, memory: DeviceMemory, image: Shape, states: Mapping[str, Shape],
                 bind: Callable[[Dict[str, int]], Callable[[], None]]) -> None:
        """
        Allocate everything and record the step; on success, `close` closes `memory` too.

        `states` are the parts of the state ('h', 'c') in order. `bind` ties the graph's tensors
        to addresses, by name, and returns what queues one run.
        """
        self._memory, self.state_shapes = memory, tuple(states.values())
        self._lock = RLock()  # a state may be fetched by another thread than the one that drives
        memory.enter()
        self._offsets, self._size = _layout(self.state_shapes)
        self._image = _view(memory.host(int(np.prod(image))), 0, image, np.uint8)
        self._action = _view(memory.host(8), 0, (1, 2), np.float32)
        self._block = memory.host(self._size)  # a state on its way
        self._before, self._after = memory.device(self._size), memory.device(self._size)
        self._slots = [memory.device(self._size) for _ in range(SLOTS)]
        self._in_slot: List[Optional['weakref.ref[DeviceState]']] = [None] * SLOTS
        self._next = 0
        self._newest: Optional[DeviceState] = None  # the state in `_before`
        self._closed = False
        image_at, action_at = memory.device(self._image.nbytes), memory.device(8)
        addresses = {'image': image_at, 'action': action_at}
        for part, offset in zip(states, self._offsets):
            addresses[f'{part}_in'] = self._before + offset
            addresses[f'{part}_out'] = self._after + offset
        run = bind(addresses)

        def work() -> None:
            memory.upload(image_at, self._image)
            run()
            memory.download(self._action, action_at)
            memory.copy(self._before, self._after, self._size)

        self._load([np.zeros(shape, np.float32) for shape in self.state_shapes])
        self._replay: Callable[[], None] = memory.record(work)
        memory.wait()
        # For a caller that forgets to close; states keep this step, and so their memory, alive.
        self._release = weakref.finalize(self, _release, memory)
        self._release.atexit = False

    @property
    def mode(self) -> str:
        """Return how the step runs, for the user."""
        return self._memory.mode

    def owns(self, state: State) -> bool:
        """Return whether this step made a state, which then has the right shape."""
        return isinstance(state, DeviceState) and state.step is self

    def infer(self, image: np.ndarray, state: State) -> Tuple[np.ndarray, State]:
        """Run one step; the caller has checked the shapes."""
        with self._lock:
            if self._closed:
                raise BackendError('this backend is closed')
            self._memory.enter()
            np.copyto(self._image, image)
            if state is not self._newest:
                self._load(state)
            self._newest = None  # if the step fails, the content of `_before` is unknown
            self._replay()
            slot = self._free_slot()
            self._memory.copy(self._slots[slot], self._after, self._size)
            self._memory.wait()
            after = DeviceState(self, slot)
            self._in_slot[slot], self._newest = weakref.ref(after), after
            return self._action.copy(), after

    def fetch(self, state: DeviceState) -> Tuple[np.ndarray, ...]:
        """Return the arrays of a state of this step, copied from the device if need be."""
        with self._lock:
            if state.arrays is None:
                if self._closed:
                    raise BackendError('this state was lost with the device that it was on',
                                       fix='reset the policy')
                self._memory.enter()
                self._memory.download(self._block, self._slots[state.slot])
                self._memory.wait()
                state.arrays = tuple(part.copy() for part in self._parts())
                for part in state.arrays:
                    part.flags.writeable = False
                self._in_slot[state.slot] = None
            return state.arrays

    def close(self) -> None:
        """Copy the states still in use to the host, and release the rest."""
        with self._lock:
            if self._closed:
                return
            for slot in range(SLOTS):
                state = self._state_in(slot)
                if state is not None:
                    try:
                        self.fetch(state)
                    except BackendError:
                        continue  # the device has failed; reading the state says so
            self._closed, self._newest = True, None
            self._replay = lambda: None  # releases the graph, though states may live on
            self._release()

    def _load(self, state: State) -> None:
        """Queue a state into the graph's input."""
        if isinstance(state, DeviceState) and state.step is self and state.arrays is None:
            self._memory.copy(self._before, self._slots[state.slot], self._size)
            return
        for target, part in zip(self._parts(), state):
            np.copyto(target, part)
        self._memory.upload(self._before, self._block)

    def _free_slot(self) -> int:
        """Return a slot without a state in use; if there is none, free the oldest state's."""
        order = ((self._next + number) % SLOTS for number in range(SLOTS))
        slot = next((slot for slot in order if self._state_in(slot) is None), self._next)
        state = self._state_in(slot)
        if state is not None:
            self.fetch(state)
        self._next = (slot + 1) % SLOTS
        return slot

    def _state_in(self, slot: int) -> Optional[DeviceState]:
        reference = self._in_slot[slot]
        return reference() if reference else None

    def _parts(self) -> List[np.ndarray]:
        return [_view(self._block, offset, shape, np.float32)
                for offset, shape in zip(self._offsets, self.state_shapes)]


def _release(memory: DeviceMemory) -> None:
    try:
        memory.enter()
    except BackendError as error:  # the device is lost; its caller wants to go on without it
        LOG.warning('the device could not be entered to release its memory: %s', error)
    memory.close()


def _layout(shapes: Sequence[Shape]) -> Tuple[List[int], int]:
    """Return the offset of each float32 array in one block, and the block's size in bytes."""
    offsets, end = [], 0
    for shape in shapes:
        offsets.append(end)
        end += -(-int(np.prod(shape)) * 4 // ALIGNMENT) * ALIGNMENT
    return offsets, end


def _view(block: np.ndarray, offset: int, shape: Shape, dtype: type) -> np.ndarray:
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    return block[offset:offset + size].view(dtype).reshape(shape)
