"""How torch runs a step: the layers one by one, as TorchScript, or compiled."""

from contextlib import contextmanager
import os
import shutil
from typing import Any, Callable, Iterator, Optional, Tuple
import warnings

from ..background_import import gently, import_in_background
from ...errors import BackendError, first_line
from ...system.user_cache import cache_root, own_directory

Step = Callable[..., Tuple[Any, ...]]  # (image, *state) -> (action, *state), tensors
AUTO = {'cpu': 'eager', 'cuda': 'cuda_graph'}
TOLD = {'eager': 'eager', 'cuda_graph': 'CUDA graph', 'script': 'TorchScript',
        'compile': 'torch.compile'}
CACHE = 'TORCHINDUCTOR_CACHE_DIR'
# torch.compile refuses the mere sight of an nn.LSTM, of which the step graph takes only the
# weights; and it collects garbage when it is done, which can hold a driving thread up for 0.2 s.
SETTINGS = {'allow_rnn': True, 'run_gc_after_compile': False}
WARM_UPS = 3  # TorchScript optimises by what it has seen in two runs


def mode_on(mode: str, device: str) -> str:
    """Return what `mode` comes to on a device, or raise BackendError if it cannot be had there."""
    if mode == 'cuda_graph' and device == 'cpu':
        raise BackendError('torch_mode cuda_graph on device cpu', 'a GPU',
                           'set torch_mode to auto, or device to cuda')
    return AUTO[device] if mode == 'auto' else mode


def step_of(torch: Any, mode: str, network: Any, precision: str, example: Tuple[Any, ...],
            quiet: Optional[Callable[[], None]] = None) -> Step:
    """
    Give what runs a step of `network`; `example` are its arguments, on their device.

    Eager in float32 is the network as it was trained. All else runs the step graph, whose
    recurrent cell is written out: it fuses, and its state stays float32 in half precision.
    """
    from .network import StepGraph
    if (mode, precision) == ('eager', 'fp32'):
        step: Step = network.step
        return step
    graph = StepGraph(network).eval()
    if mode == 'script':
        return _scripted(torch, graph, example)
    if mode == 'compile':
        return _compiled(torch, graph, example, quiet)
    return graph


def _scripted(torch: Any, graph: Any, example: Tuple[Any, ...]) -> Step:
    with warnings.catch_warnings(), torch.inference_mode():
        # That torch means to replace TorchScript some day, and that all shapes are fixed.
        for category in (DeprecationWarning, torch.jit.TracerWarning):
            warnings.simplefilter('ignore', category)
        traced = torch.jit.trace(graph, example, check_trace=False)
        frozen = torch.jit.optimize_for_inference(traced.eval())  # which freezes it first
        for _ in range(WARM_UPS):
            frozen(*example)
    return frozen


def _compiled(torch: Any, graph: Any, example: Tuple[Any, ...],
              quiet: Optional[Callable[[], None]]) -> Step:
    """
    Compile it for these very arguments.

    On CUDA, torch.compile's own CUDA graphs stay out of it (reduce-overhead would take them):
    ours has the copies in it, too.
    """
    _check_compiler(example[0].device.type)
    _set_cache()
    with _told():
        dynamo = import_in_background('torch._dynamo', quiet)
        import_in_background('torch._inductor.compile_fx', quiet)

        def step(*arguments: Any) -> Any:
            return graph(*arguments)
        # torch._dynamo keeps what it compiled by code object and gives up at the eighth for one:
        # each opened backend has its own.
        step.__code__ = step.__code__.replace()
        compiled: Step = torch.compile(
            step, fullgraph=True, dynamic=False,
            options={'compile_threads': 1, 'triton.cudagraphs': False})
        settings = {name: value for name, value in SETTINGS.items()
                    if hasattr(dynamo.config, name)}  # the second is not in older ones
        with gently(), dynamo.config.patch(**settings), torch.inference_mode():
            for _ in range(WARM_UPS):
                compiled(*example)
    return compiled


def _check_compiler(device: str) -> None:
    """Raise BackendError where what torch.compile needs is missing, before it takes long."""
    if device == 'cuda':
        from torch.utils._triton import has_triton
        if not has_triton():
            raise BackendError('torch_mode compile needs triton on a GPU: it is not here, or does '
                               'not know this GPU', 'the Python package triton',
                               'pip install triton, or set torch_mode to cuda_graph')
        return
    compiler = os.environ.get('CXX', 'g++')  # as torch chooses it
    if shutil.which(compiler) is None:
        raise BackendError(f'torch_mode compile needs a C++ compiler on the CPU: there is no '
                           f'{compiler}', 'g++, or what CXX names',
                           'sudo apt install g++ python3-dev, or set torch_mode to script')


def _set_cache() -> None:
    """Keep compiled code where nobody else writes: torch's own place is a known one in /tmp."""
    if CACHE not in os.environ:
        os.environ[CACHE] = str(own_directory(cache_root() / 'torch', 'compiled code'))


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except BackendError:
        raise
    except Exception as error:  # torch's compiler has no class for what can go wrong in it
        raise BackendError(f'torch.compile failed: {_reason(error)}',
                           fix='set torch_mode to script, or to auto') from error


def _reason(error: Exception) -> str:
    """Return the line of a compiler's own error where there is one, else the first line."""
    said = [line.strip() for line in str(error).splitlines() if ' error: ' in line]
    return (said or [first_line(error)])[0]
