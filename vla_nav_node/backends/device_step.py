"""One step on a device: fixed buffers, recorded once; the state stays there until asked for."""

import logging
from threading import RLock
from typing import (
    Any, Callable, Dict, Iterator, List, Mapping, Optional, Protocol, Sequence, Tuple)
import weakref

import numpy as np

from ..errors import BackendError
from ..types import State

LOG = logging.getLogger(__name__)
ALIGNED = 256  # bytes: where TensorRT wants a tensor to begin
# States that stay on the device. A node keeps the newest and 8 before it (cycle.RECENT), so
# that in driving none is ever moved to the host.
KEPT = 16
Shape = Tuple[int, ...]


class DeviceMemory(Protocol):
    """Memory beside the host's, and one queue of work on it; addresses are plain integers."""

    mode: str  # how recorded work runs, in words

    def host(self, size: int) -> np.ndarray:
        """Return host memory, uint8 [size], that the device reads and writes without a copy."""

    def device(self, size: int) -> int:
        """Return the address of memory on the device, aligned to ALIGNED."""

    def upload(self, target: int, source: np.ndarray) -> None:
        """Queue a copy of host memory to the device."""

    def download(self, target: np.ndarray, source: int) -> None:
        """Queue a copy to host memory."""

    def copy(self, target: int, source: int, size: int) -> None:
        """Queue a copy on the device."""

    def record(self, work: Callable[[], None]) -> Callable[[], None]:
        """Do `work`, which only queues, and give what queues the same again, at once."""

    def enter(self) -> None:
        """Have this thread's calls work here; before any of the others."""

    def wait(self) -> None:
        """Wait until all that was queued is done."""

    def close(self) -> None:
        """Release everything; called once."""


class DeviceState(Sequence[np.ndarray]):
    """
    A recurrent state on the device; it comes to the host when one of its arrays is looked at.

    Handed back to the step that it came from, it need not come to the host at all. Its arrays are
    read-only: who wants another state makes arrays of its own, and hands those in.
    """

    def __init__(self, step: 'DeviceStep', slot: int) -> None:
        """Belong to a step, which alone makes states."""
        self.step, self.slot = step, slot
        self.arrays: Optional[Tuple[np.ndarray, ...]] = None  # once they are on the host
        self._count = len(step.state_shapes)

    def __len__(self) -> int:
        """Return the number of arrays."""
        return self._count

    def __getitem__(self, index: Any) -> Any:
        """Return one array, or several."""
        return self.step.fetch(self)[index]

    def __iter__(self) -> Iterator[np.ndarray]:
        """Return one array after the other."""
        return iter(self.step.fetch(self))


class DeviceStep:
    """
    Run a graph of one step on fixed buffers: upload, graph, download, state carried over.

    All of that is recorded once and then takes one call. A state that is handed out is kept in a
    slot of its own, and leaves it for the host only if it is still alive when all are taken.
    """

    def __init__(self, memory: DeviceMemory, image: Shape, states: Mapping[str, Shape],
                 bind: Callable[[Dict[str, int]], Callable[[], None]]) -> None:
        """
        Allocate everything and record the step; the memory is ours to close if that works.

        `states` are the parts of the state ('h', 'c') in order, `bind` ties the graph's tensors
        to addresses, by name, and gives what queues one run.
        """
        self._memory, self.state_shapes = memory, tuple(states.values())
        self._lock = RLock()  # a state may be fetched by another thread than the one that drives
        memory.enter()
        self._places, self._size = _places(self.state_shapes)
        self._image = _view(memory.host(int(np.prod(image))), 0, image, np.uint8)
        self._action = _view(memory.host(8), 0, (1, 2), np.float32)
        self._block = memory.host(self._size)  # a state on its way
        self._before, self._after = memory.device(self._size), memory.device(self._size)
        self._slots = [memory.device(self._size) for _ in range(KEPT)]
        self._held: List[Optional['weakref.ref[DeviceState]']] = [None] * KEPT
        self._next = 0
        self._newest: Optional[DeviceState] = None  # what is in `_before`
        self._closed = False
        image_at, action_at = memory.device(self._image.nbytes), memory.device(8)
        addresses = {'image': image_at, 'action': action_at}
        for part, place in zip(states, self._places):
            addresses[f'{part}_in'] = self._before + place
            addresses[f'{part}_out'] = self._after + place
        run = bind(addresses)

        def work() -> None:
            memory.upload(image_at, self._image)
            run()
            memory.download(self._action, action_at)
            memory.copy(self._before, self._after, self._size)

        self._load([np.zeros(shape, np.float32) for shape in self.state_shapes])
        self._replay: Callable[[], None] = memory.record(work)
        memory.wait()
        # For who forgets to close; the states hold on to us, and so to the memory they are in.
        self._release = weakref.finalize(self, _release, memory)
        self._release.atexit = False

    @property
    def mode(self) -> str:
        """Say how the step runs."""
        return self._memory.mode

    def owns(self, state: State) -> bool:
        """Tell whether a state is one of ours, and so has the right shape."""
        return isinstance(state, DeviceState) and state.step is self

    def infer(self, image: np.ndarray, state: State) -> Tuple[np.ndarray, State]:
        """Run one step; shapes were checked by whoever calls."""
        with self._lock:
            if self._closed:
                raise BackendError('this backend is closed')
            self._memory.enter()
            np.copyto(self._image, image)
            if state is not self._newest:
                self._load(state)
            self._newest = None  # until it has worked, nothing is known of `_before`
            self._replay()
            slot = self._free_slot()
            self._memory.copy(self._slots[slot], self._after, self._size)
            self._memory.wait()
            after = DeviceState(self, slot)
            self._held[slot], self._newest = weakref.ref(after), after
            return self._action.copy(), after

    def fetch(self, state: DeviceState) -> Tuple[np.ndarray, ...]:
        """Return the arrays of a state of ours, from the device if they are still there."""
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
                self._held[state.slot] = None
            return state.arrays

    def close(self) -> None:
        """Bring the states that are alive to the host, and release the rest."""
        with self._lock:
            if self._closed:
                return
            for held in self._held:
                state = held() if held else None
                if state is not None:
                    try:
                        self.fetch(state)
                    except BackendError:
                        continue  # the device has failed; whoever looks at the state is told so
            self._closed, self._newest = True, None
            self._replay = _nothing  # and with it the graph, though states may live on
            self._release()

    def _load(self, state: State) -> None:
        """Queue a state into the graph's input."""
        if isinstance(state, DeviceState) and state.step is self and state.arrays is None:
            self._memory.copy(self._before, self._slots[state.slot], self._size)
            return
        for place, part in zip(self._parts(), state):
            np.copyto(place, part)
        self._memory.upload(self._before, self._block)

    def _free_slot(self) -> int:
        """Return a slot that no living state is in, the oldest's if there is none."""
        for number in range(KEPT):
            slot = (self._next + number) % KEPT
            held = self._held[slot]
            if held is None or held() is None:
                break
        else:
            slot = self._next
            oldest = self._held[slot]
            state = oldest() if oldest else None
            if state is not None:
                self.fetch(state)
        self._next = (slot + 1) % KEPT
        return slot

    def _parts(self) -> List[np.ndarray]:
        return [_view(self._block, place, shape, np.float32)
                for place, shape in zip(self._places, self.state_shapes)]


def _nothing() -> None:
    """Do nothing."""


def _release(memory: DeviceMemory) -> None:
    try:
        memory.enter()
    except BackendError as error:  # it is lost; whoever closes it wants to go on without it
        LOG.warning('the device could not be entered to release its memory: %s', error)
    memory.close()


def _places(shapes: Sequence[Shape]) -> Tuple[List[int], int]:
    """Return where each float32 array begins in one block, and the block's size."""
    places, end = [], 0
    for shape in shapes:
        places.append(end)
        end += -(-int(np.prod(shape)) * 4 // ALIGNED) * ALIGNED
    return places, end


def _view(block: np.ndarray, place: int, shape: Shape, dtype: type) -> np.ndarray:
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    return block[place:place + size].view(dtype).reshape(shape)
