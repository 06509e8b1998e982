"""One step of torch between host arrays: on the CPU, and on a GPU by DeviceStep."""

from contextlib import ExitStack
from typing import Any, Callable, Dict, NamedTuple, Tuple

import numpy as np

from .torch_device import explain_errors, use_full_precision
from .torch_memory import GraphMemory, TorchMemory
from .torch_modes import LABELS, make_step, Step
from ..background_import import WaitForIdle
from ..device_step import DeviceStep
from ..step_backend import StepRunner
from ...bundle.bundle import Bundle
from ...errors import BackendError
from ...types import State

# Largest difference of a step from the eager one in the same precision: m/s, or as a share of
# values larger than 1. In half precision every rounding that is left out shows.
CLOSE = {'fp32': 1e-5, 'fp16': 5e-3}
STEPS = 5


class OpenedStep(NamedTuple):
    """A step that is ready to run."""

    step: StepRunner
    provider: str  # how it runs
    parity: str  # how much it differs from an eager step


class HostStep:
    """A step whose state is in host arrays, as on the CPU."""

    def __init__(self, torch: Any, device: Any, step: Step, bundle: Bundle) -> None:
        """Allocate the inputs; `step` takes tensors on `device`."""
        self._torch, self._device, self._step = torch, device, step
        self._inputs = [torch.zeros(bundle.input.shape, dtype=torch.uint8)]
        self._inputs += [torch.zeros(shape) for shape in bundle.state_shapes.values()]
        self._views = [host.numpy() for host in self._inputs]  # the same memory

    def owns(self, state: State) -> bool:
        return False

    @explain_errors
    def infer(self, image: np.ndarray, state: State) -> Tuple[np.ndarray, State]:
        for view, array in zip(self._views, (image, *state)):
            np.copyto(view, array)
        with self._torch.inference_mode():
            results = self._step(*(host.to(self._device) for host in self._inputs))
            # To the host and into arrays of their own; waits for the device.
            action, *after = (result.float().cpu().numpy().copy() for result in results)
        return action, tuple(after)

    def close(self) -> None:
        """Do nothing: the last reference releases it."""


@explain_errors
def open_step(torch: Any, device: Any, mode: str, network: Any, bundle: Bundle, precision: str,
              wait_for_idle: WaitForIdle) -> OpenedStep:
    """Set up a network's step on a device and compare it with an eager one; or BackendError."""
    with ExitStack() as undo:
        memory = None
        if device.type == 'cuda':
            memory = (TorchMemory if mode == 'eager' else GraphMemory)(torch, device)
            undo.callback(memory.close)
            _move_to_gpu(torch, device, network, memory)
        example = (torch.zeros(bundle.input.shape, dtype=torch.uint8, device=device),
                   *network.zero_state())
        eager = HostStep(torch, device, make_step(torch, 'eager', network, precision, example),
                         bundle)
        if (mode, memory) == ('eager', None):
            return OpenedStep(eager, LABELS[mode], 'as trained')
        run = make_step(torch, mode, network, precision, example, wait_for_idle)
        step: StepRunner = HostStep(torch, device, run, bundle)
        labels = [LABELS[mode]]
        if memory is not None:
            step = device_step(torch, memory, run, bundle)
            undo.pop_all()  # now the step closes the memory
            undo.callback(step.close)
            labels.append(memory.mode)
        provider = ', '.join(dict.fromkeys(labels))
        difference = check_parity(step, eager, bundle, precision, f'torch by {provider}')
        undo.pop_all()
    return OpenedStep(step, provider, f'at most {difference:.1g} off torch eager in {STEPS} steps')


def _move_to_gpu(torch: Any, device: Any, network: Any, memory: TorchMemory) -> None:
    memory.enter()  # so that the weights are there before the first step, on the same stream
    use_full_precision(torch)
    network.to(device)
    # As the channels of the image are last, too.
    network.vision_encoder.to(memory_format=torch.channels_last)


def device_step(torch: Any, memory: TorchMemory, step: Step, bundle: Bundle) -> DeviceStep:
    """Return the step on fixed buffers of the device; the state stays there."""
    memory.keep(step)
    parts = bundle.state_shapes

    def bind(addresses: Dict[str, int]) -> Callable[[], None]:
        def tensor(name: str, shape: Tuple[int, ...], dtype: Any = torch.float32) -> Any:
            return memory.tensor(addresses[name], shape, dtype)

        inputs = [tensor('image', bundle.input.shape, torch.uint8),
                  *(tensor(f'{part}_in', shape) for part, shape in parts.items())]
        outputs = [tensor('action', (1, 2)),
                   *(tensor(f'{part}_out', shape) for part, shape in parts.items())]

        @explain_errors
        def queue() -> None:
            with torch.inference_mode():
                for output, result in zip(outputs, step(*inputs)):
                    output.copy_(result)
        return queue
    return DeviceStep(memory, bundle.input.shape, parts, bind)


def check_parity(found: StepRunner, eager: StepRunner, bundle: Bundle, precision: str,
                 name: str) -> float:
    """
    Run both from the zero state, each with its own state; return their largest difference.

    Raise BackendError if it is more than CLOSE.
    """
    images = np.random.default_rng(0).integers(0, 256, (STEPS, *bundle.input.shape), np.uint8)
    state: State = bundle.zero_state()
    eager_state, differences = state, []
    for image in images:
        action, state = found.infer(image, state)
        eager_action, eager_state = eager.infer(image, eager_state)
        differences += [np.max(np.abs(value - expected) / np.maximum(1.0, np.abs(expected)))
                        for value, expected in zip((action, *state), (eager_action, *eager_state))]
    worst = float(np.max(differences))
    if not worst <= CLOSE[precision]:  # refuses NaN, too
        raise BackendError(f'{name} differs from torch eager by {worst:.2g} in {STEPS} steps',
                           f'at most {CLOSE[precision]:g}', 'set torch_mode to eager')
    return worst
