"""A TorchScript file: what torch.jit.save wrote, traced or scripted."""

from typing import Any, List, Sequence, Tuple

import numpy as np

from .contestant import Contestant, Recipe
from .onnx_file import last_action
from .runners import ImageInput
from ....errors import BackendError


class TorchScriptRunner:
    """
    A module of torch.jit, on the device that was asked for.

    Its file does not tell the shapes of its inputs, so that they are found by trying; when none
    or several are taken, it is refused.
    """

    def __init__(self, contestant: Contestant) -> None:
        """Open the file; `contestant.recipe` must have the size, and the states if it has any."""
        import torch
        self._torch: Any = torch
        self._device = torch.device(_device(torch, contestant.device))
        if contestant.threads:
            torch.set_num_threads(contestant.threads)
        self._module = _load(torch, contestant, self._device)
        self._zeros = _states(self._module, contestant)
        self._image = self._choose(contestant)
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

    def reset(self) -> None:
        """Start from the zero state."""
        self._state = self._zeros
        self._image.forget()

    def _forward(self, image: Any, state: Sequence[Any]) -> Tuple[np.ndarray, List[Any]]:
        with self._torch.inference_mode():
            results = self._module(image.to(self._device),
                                   *(part.to(self._device) for part in state))
            results = results if isinstance(results, tuple) else (results,)
            # To the host as our own backend does, which waits for the device.
            action, *after = [result.float().cpu() for result in results]
        return action.numpy(), after[:len(state)]

    def _choose(self, contestant: Contestant) -> ImageInput:
        recipe = contestant.recipe
        if recipe.size is None:
            raise BackendError(f'{contestant.name} does not say which size of picture it takes',
                               'a width and a height',
                               'give --size WxH, or a bundle on the other side')
        taken = [form for form in _forms(recipe) if self._takes(*form)]
        if len(taken) != 1:
            tried = ', '.join(f'{dtype} {list(shape)}' for shape, dtype in _forms(recipe))
            raise BackendError(f'{contestant.name} takes {len(taken)} of the inputs {tried}',
                               'exactly one of them')
        return ImageInput(*taken[0], recipe, contestant.name)

    def _takes(self, shape: Tuple[int, ...], dtype: str) -> bool:
        image = self._torch.zeros(shape, dtype=getattr(self._torch, dtype))
        try:
            action, _ = self._forward(image, self._zeros)
        except RuntimeError:  # how a module tells that it is not made for this shape
            return False
        return action.ndim in (2, 3) and action.shape[0] == 1


def _forms(recipe: Recipe) -> List[Tuple[Tuple[int, ...], str]]:
    height, width = recipe.size or (0, 0)
    return [((1, height, width, 3), 'uint8'), ((1, 3, height, width), 'float32'),
            ((1, 1, 3, height, width), 'float32')]


def _load(torch: Any, contestant: Contestant, device: Any) -> Any:
    try:
        return torch.jit.load(str(contestant.path), map_location=device).eval()
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[0][:200]
        raise BackendError(f'{contestant.name} is not TorchScript: {reason}',
                           'what torch.jit.save wrote',
                           "import a checkpoint with 'vla_nav import'") from error


def _states(module: Any, contestant: Contestant) -> List[Any]:
    """Return the zero state for the arguments after the picture."""
    import torch
    wanted = [argument for argument in module.forward.schema.arguments[2:]
              if not argument.has_default_value()]
    if not wanted:
        return []
    shapes = contestant.recipe.states
    if len(wanted) != len(shapes) or any(str(one.type) != 'Tensor' for one in wanted):
        names = ', '.join(f'{one.name}: {one.type}' for one in wanted)
        raise BackendError(f'{contestant.name} also takes {names}',
                           f'the {len(shapes)} states of the bundle on the other side, as tensors')
    return [torch.zeros(shape) for shape in shapes]


def _device(torch: Any, device: str) -> str:
    from ....backends.torch.torch_device import pick_device
    # Nobody has verified the file on a GPU.
    return str(pick_device(torch, 'cuda' if device == 'cuda' else 'cpu'))
