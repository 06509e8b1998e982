"""How torch runs a step: the layers one by one, as TorchScript, or compiled."""

from contextlib import contextmanager
import os
import shutil
from typing import Any, Callable, Iterator, Tuple
import warnings

from ..background_import import frequent_gil_release, import_in_background, WaitForIdle
from ...errors import BackendError, first_line
from ...system.install_lines import pip_line
from ...system.user_cache import cache_root, own_directory

Step = Callable[..., Tuple[Any, ...]]  # (image, *state) -> (action, *state), tensors
AUTO = {'cpu': 'eager', 'cuda': 'cuda_graph'}
LABELS = {'eager': 'eager', 'cuda_graph': 'CUDA graph', 'script': 'TorchScript',
          'compile': 'torch.compile'}
CACHE = 'TORCHINDUCTOR_CACHE_DIR'
# torch.compile refuses an nn.LSTM, though the step graph uses only its weights; and it collects
# garbage at its end, which can delay a driving thread by 0.2 s.
DYNAMO_SETTINGS = {'allow_rnn': True, 'run_gc_after_compile': False}
WARM_UPS = 3  # TorchScript optimises by what it has seen in two runs


def resolve_mode(mode: str, device: str) -> str:
    """Return the mode that `mode` stands for on a device; raise if it is unavailable there."""
    if mode == 'cuda_graph' and device == 'cpu':
        raise BackendError('torch_mode cuda_graph on device cpu', 'a GPU',
                           'set torch_mode to auto, or device to cuda')
    return AUTO[device] if mode == 'auto' else mode


def make_step(torch: Any, mode: str, network: Any, precision: str, example: Tuple[Any, ...],
              wait_for_idle: WaitForIdle = None) -> Step:
    """
    Return what runs a step of `network` in a mode; `example` are its arguments, on their device.

    Eager in float32 is the network as it was trained. The others run the step graph, whose
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
        return _compiled(torch, graph, example, wait_for_idle)
    return graph


def _scripted(torch: Any, graph: Any, example: Tuple[Any, ...]) -> Step:
    with warnings.catch_warnings(), torch.inference_mode():
        # They say that TorchScript will be replaced some day, and that all shapes are fixed.
        for category in (DeprecationWarning, torch.jit.TracerWarning):
            warnings.simplefilter('ignore', category)
        traced = torch.jit.trace(graph, example, check_trace=False)
        frozen = torch.jit.optimize_for_inference(traced.eval())  # which freezes it first
        for _ in range(WARM_UPS):
            frozen(*example)
    return frozen


def _compiled(torch: Any, graph: Any, example: Tuple[Any, ...],
              wait_for_idle: WaitForIdle) -> Step:
    """
    Compile a graph for these very arguments.

    Without torch.compile's own CUDA graphs (as in reduce-overhead): GraphMemory's has the copies
    in it, too.
    """
    _check_compiler(example[0].device.type)
    if CACHE not in os.environ:  # torch's default is a predictable directory in /tmp
        os.environ[CACHE] = str(own_directory(cache_root() / 'torch', 'compiled code'))
    with _explained_compiler_errors():
        dynamo = import_in_background('torch._dynamo', wait_for_idle)
        import_in_background('torch._inductor.compile_fx', wait_for_idle)

        def step(*arguments: Any) -> Any:
            return graph(*arguments)
        # torch._dynamo caches by code object, at most eight versions of one: each opened backend
        # gets its own.
        step.__code__ = step.__code__.replace()
        compiled: Step = torch.compile(
            step, fullgraph=True, dynamic=False,
            options={'compile_threads': 1, 'triton.cudagraphs': False})
        settings = {name: value for name, value in DYNAMO_SETTINGS.items()
                    if hasattr(dynamo.config, name)}  # older versions lack the second
        with frequent_gil_release(), dynamo.config.patch(**settings), torch.inference_mode():
            for _ in range(WARM_UPS):
                compiled(*example)
    return compiled


def _check_compiler(device: str) -> None:
    """Raise BackendError early if what torch.compile needs is missing."""
    if device == 'cuda':
        from torch.utils._triton import has_triton
        if not has_triton():
            raise BackendError('torch_mode compile needs triton on a GPU: it is not here, or does '
                               'not know this GPU', 'the Python package triton',
                               f"{pip_line('triton')}, or set torch_mode to cuda_graph")
        return
    compiler = os.environ.get('CXX', 'g++')  # as torch chooses it
    if shutil.which(compiler) is None:
        raise BackendError(f'torch_mode compile needs a C++ compiler on the CPU: there is no '
                           f'{compiler}', 'g++, or what CXX names',
                           'sudo apt install g++ python3-dev, or set torch_mode to script')


@contextmanager
def _explained_compiler_errors() -> Iterator[None]:
    try:
        yield
    except BackendError:
        raise
    except Exception as error:  # torch's compiler has no class for its own failures
        raise BackendError(f'torch.compile failed: {_reason(error)}',
                           fix='set torch_mode to script, or to auto') from error


def _reason(error: Exception) -> str:
    """Return the C++ compiler's error if the message has one, else its first line."""
    compiler = [line.strip() for line in str(error).splitlines() if ' error: ' in line]
    return (compiler or [first_line(error)])[0]
