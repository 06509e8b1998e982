"""One step of torch between host arrays: on the CPU, and on a GPU by DeviceStep."""

from contextlib import ExitStack
from typing import Any, Callable, Dict, NamedTuple, Optional, Protocol, Tuple

import numpy as np

from .torch_device import be_exact
from .torch_memory import GraphMemory, told, TorchMemory
from .torch_modes import Step, step_of, TOLD
from ..device_step import DeviceStep
from ...bundle.bundle import Bundle
from ...errors import BackendError
from ...types import State

# By how much a step may differ from the eager one in the same precision: m/s, or as a share of
# what is larger than 1. In half precision every rounding that is left out shows.
CLOSE = {'fp32': 1e-5, 'fp16': 5e-3}
STEPS = 5


class Steps(Protocol):
    """What runs steps, be it a HostStep or a DeviceStep."""

    def owns(self, state: State) -> bool:
        """Tell whether a state is one of its own, and so has the right shape."""

    def infer(self, image: np.ndarray, state: State) -> Tuple[np.ndarray, State]:
        """Run one step: see interfaces.Backend."""

    def close(self) -> None:
        """Release what it holds."""


class OpenedStep(NamedTuple):
    """A step that is ready, and what it turned out to be."""

    step: Steps
    provider: str  # how it runs
    parity: str  # how far it is off an eager step


class HostStep:
    """A step whose state lies in host arrays: on the CPU there is no other place."""

    def __init__(self, torch: Any, device: Any, step: Step, bundle: Bundle) -> None:
        """Allocate the inputs; `step` takes tensors on `device`."""
        self._torch, self._device, self._step = torch, device, step
        self._inputs = [torch.zeros(bundle.input.shape, dtype=torch.uint8)]
        self._inputs += [torch.zeros(shape) for shape in bundle.state_shapes.values()]
        self._views = [host.numpy() for host in self._inputs]  # the same memory

    def owns(self, state: State) -> bool:
        """Tell that no state is."""
        return False

    @told
    def infer(self, image: np.ndarray, state: State) -> Tuple[np.ndarray, State]:
        """Run one step."""
        for view, array in zip(self._views, (image, *state)):
            np.copyto(view, array)
        with self._torch.inference_mode():
            results = self._step(*(host.to(self._device) for host in self._inputs))
            # To the host and into arrays of their own; waits for the device.
            action, *after = (result.float().cpu().numpy().copy() for result in results)
        return action, tuple(after)

    def close(self) -> None:
        """Do nothing: it goes with its last reference."""


@told
def open_step(torch: Any, device: Any, mode: str, network: Any, bundle: Bundle, precision: str,
              quiet: Optional[Callable[[], None]]) -> OpenedStep:
    """Set a network's step up on a device, and hold it against an eager one; or BackendError."""
    with ExitStack() as undo:
        memory = None
        if device.type == 'cuda':
            memory = _prepare_gpu(torch, device, mode, network, undo)
        example = (torch.zeros(bundle.input.shape, dtype=torch.uint8, device=device),
                   *network.zero_state())
        eager = HostStep(torch, device, step_of(torch, 'eager', network, precision, example),
                         bundle)
        if (mode, memory) == ('eager', None):
            return OpenedStep(eager, TOLD[mode], 'as torch has it')
        run = step_of(torch, mode, network, precision, example, quiet)
        step: Steps = HostStep(torch, device, run, bundle)
        how = [TOLD[mode]]
        if memory is not None:
            step = device_step(torch, memory, run, bundle)
            undo.pop_all()  # the memory is the step's now
            undo.callback(step.close)
            how.append(memory.mode)
        provider = ', '.join(dict.fromkeys(how))
        worst = check_parity(step, eager, bundle, precision, f'torch by {provider}')
        undo.pop_all()
    return OpenedStep(step, provider, f'at most {worst:.1g} off torch eager in {STEPS} steps')


def _prepare_gpu(torch: Any, device: Any, mode: str, network: Any,
                 undo: ExitStack) -> TorchMemory:
    memory = (TorchMemory if mode == 'eager' else GraphMemory)(torch, device)
    undo.callback(memory.close)
    memory.enter()  # so that what goes to the GPU now is there before the first step
    be_exact(torch)
    network.to(device)
    # The picture comes with its channels last, too.
    network.vision_encoder.to(memory_format=torch.channels_last)
    return memory


def device_step(torch: Any, memory: TorchMemory, step: Step, bundle: Bundle) -> DeviceStep:
    """Return the step on fixed buffers of the device, the state staying there."""
    memory.keep(step)
    parts = bundle.state_shapes
    shapes = {'action': (1, 2), **{f'{part}_{side}': shape for part, shape in parts.items()
                                   for side in ('in', 'out')}}

    def bind(addresses: Dict[str, int]) -> Callable[[], None]:
        image = memory.tensor(addresses['image'], bundle.input.shape, torch.uint8)
        tensors = {name: memory.tensor(addresses[name], shape, torch.float32)
                   for name, shape in shapes.items()}
        before = [tensors[f'{part}_in'] for part in parts]
        targets = [tensors['action'], *(tensors[f'{part}_out'] for part in parts)]

        @told
        def queue() -> None:
            with torch.inference_mode():
                for target, result in zip(targets, step(image, *before)):
                    target.copy_(result)
        return queue
    return DeviceStep(memory, bundle.input.shape, parts, bind)


def check_parity(found: Steps, eager: Steps, bundle: Bundle, precision: str, what: str) -> float:
    """
    Run both from the zero state, each with its own; give their largest difference.

    Raise BackendError if it is more than CLOSE.
    """
    pictures = np.random.default_rng(0).integers(0, 256, (STEPS, *bundle.input.shape), np.uint8)
    ours: State = bundle.zero_state()
    theirs, differences = ours, []
    for image in pictures:
        action, ours = found.infer(image, ours)
        wanted, theirs = eager.infer(image, theirs)
        differences += [np.max(np.abs(one - other) / np.maximum(1.0, np.abs(other)))
                        for one, other in zip((action, *ours), (wanted, *theirs))]
    worst = float(np.max(differences))
    if not worst <= CLOSE[precision]:  # NaN is not
        raise BackendError(f'{what} differs from torch eager by {worst:.2g} in {STEPS} steps',
                           f'at most {CLOSE[precision]:g}', 'set torch_mode to eager')
    return worst
