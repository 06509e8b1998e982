"""A TorchScript file, traced or scripted, as torch.jit.save writes it."""

from typing import Any, List, Sequence, Tuple

import numpy as np

from .onnx_file import last_action
from .runners import ImageInput
from ..candidate import Candidate, Recipe
from ....errors import BackendError


class TorchScriptRunner:
    """
    A module of torch.jit on the requested device.

    Its file does not contain the shapes of its inputs, so they are found by trying; a module that
    takes none or several of them raises BackendError.
    """

    lead_s = 0.0

    def __init__(self, candidate: Candidate) -> None:
        """Open the file; `candidate.recipe` has the size, and the states if there are any."""
        import torch
        self._torch: Any = torch
        self._device = torch.device(_device(torch, candidate.device))
        if candidate.threads:
            torch.set_num_threads(candidate.threads)
        self._module = _load(torch, candidate, self._device)
        self._zeros = _states(self._module, candidate)
        self._image = self._choose(candidate)
        self._state = self._zeros
        self.size, self.carries_state = self._image.size, bool(self._zeros)
        device = str(self._device)
        if device != 'cpu':
            device = f'cuda ({torch.cuda.get_device_name(self._device)})'
        self.info = {'library': 'torch', 'version': torch.__version__, 'device': device,
                     'provider': 'TorchScript', 'precision': 'as the file'}

    def prepare(self, image: np.ndarray) -> Any:
        """Make the image input, on the host."""
        return self._torch.from_numpy(np.array(self._image(image)))

    def step(self, prepared: Any) -> np.ndarray:
        """Run the module: to the device, through it, back to the host."""
        action, self._state = self._forward(prepared, self._state)
        return last_action(action)

    def rehearse(self, prepared: Any) -> None:
        """Do nothing: nobody does it for a plain file."""

    def reset(self) -> None:
        """Start from the zero state."""
        self._state = self._zeros
        self._image.reset()

    def _forward(self, image: Any, state: Sequence[Any]) -> Tuple[np.ndarray, List[Any]]:
        with self._torch.inference_mode():
            results = self._module(image.to(self._device),
                                   *(part.to(self._device) for part in state))
            results = results if isinstance(results, tuple) else (results,)
            # To the host, as in our own backend, which waits for the device.
            action, *after = [result.float().cpu() for result in results]
        return action.numpy(), after[:len(state)]

    def _choose(self, candidate: Candidate) -> ImageInput:
        recipe = candidate.recipe
        if recipe.size is None:
            raise BackendError(f'{candidate.name} does not say which size of picture it takes',
                               'a width and a height',
                               'give --size WxH, or a bundle on the other side')
        taken = [form for form in _forms(recipe) if self._takes(*form)]
        if len(taken) != 1:
            tried = ', '.join(f'{dtype} {list(shape)}' for shape, dtype in _forms(recipe))
            raise BackendError(f'{candidate.name} takes {len(taken)} of the inputs {tried}',
                               'exactly one of them')
        return ImageInput(*taken[0], recipe, candidate.name)

    def _takes(self, shape: Tuple[int, ...], dtype: str) -> bool:
        image = self._torch.zeros(shape, dtype=getattr(self._torch, dtype))
        try:
            action, _ = self._forward(image, self._zeros)
        except RuntimeError:  # what a module raises for another shape
            return False
        return action.ndim in (2, 3) and action.shape[0] == 1


def _forms(recipe: Recipe) -> List[Tuple[Tuple[int, ...], str]]:
    height, width = recipe.size or (0, 0)
    return [((1, height, width, 3), 'uint8'), ((1, 3, height, width), 'float32'),
            ((1, 1, 3, height, width), 'float32')]


def _load(torch: Any, candidate: Candidate, device: Any) -> Any:
    try:
        return torch.jit.load(str(candidate.path), map_location=device).eval()
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[0][:200]
        raise BackendError(f'{candidate.name} is not TorchScript: {reason}',
                           'what torch.jit.save wrote',
                           "import a checkpoint with 'vla_nav import'") from error


def _states(module: Any, candidate: Candidate) -> List[Any]:
    """Return the zero state for the arguments after the image."""
    import torch
    wanted = [argument for argument in module.forward.schema.arguments[2:]
              if not argument.has_default_value()]
    if not wanted:
        return []
    shapes = candidate.recipe.states
    if len(wanted) != len(shapes) or any(str(each.type) != 'Tensor' for each in wanted):
        names = ', '.join(f'{each.name}: {each.type}' for each in wanted)
        raise BackendError(f'{candidate.name} also takes {names}',
                           f'the {len(shapes)} states of the bundle on the other side, as tensors')
    return [torch.zeros(shape) for shape in shapes]


def _device(torch: Any, device: str) -> str:
    from ....backends.torch.torch_device import pick_device
    # A file has no verdict for a GPU, so that auto is the CPU.
    return str(pick_device(torch, 'cuda' if device == 'cuda' else 'cpu'))
