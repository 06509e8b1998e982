"""
Import a large framework while another thread goes on driving.

`import torch` holds the interpreter's lock for long stretches, and a thread that has to publish a
command every 20 ms waits for it. Largest lateness of a thread that sleeps a few ms over and over,
two cores, Python 3.11, torch 2.13 (`python test/gaps.py plain` or `gentle` measures it):

    import torch, its files in the page cache         200 to 600 ms
    + shared libraries opened beforehand, unlocked     37 to 40 ms
    + no full garbage collection                       11 to 19 ms
    + short turns, young collections with a callback    3 to 12 ms
    libraries dropped from the page cache before       17 to 18 ms (plain: 430 to 440)

TensorRT 8.6.0 opens 1.3 GB: 200 to 770 ms plainly, 6 to 13 ms with its libraries opened before.
Each is the machine's own lateness included: with more to run than cores, 10 ms of it and more.

What holds the lock, and what is done about each:
- dlopen of 450 MB. A foreign function call gives the lock up, so the libraries are opened through
  one first; the import then finds them open.
- A full garbage collection among the half million objects that the import makes (37 ms, and again
  at every later one): only young ones run meanwhile, and afterwards the objects are frozen.
- `initModule` of torch._C, one C function of 10 to 15 ms that makes thousands of objects. Up to
  Python 3.11 a young collection can start in the middle of it and calls `gc.callbacks`: being
  Python, our callback is a place where the lock can change hands. From 3.12 on collections wait
  for the C function to return, and this stretch remains whole.
- The first look-up of an operator, when torch.fx.node is imported: 7 to 11 ms, undivided.
- onnxruntime's module start: 15 to 22 ms, undivided. It is better imported before driving starts.
For the undivided ones there is `quiet`.

Opening a backend of 3.3 MB after that (ONNX Runtime's session, torch's layers and weights), its
first steps and its closing keep the lock for 0.1 to 2 ms at a time.
"""

from contextlib import contextmanager
import ctypes
import gc
import glob
import importlib
from importlib.abc import MetaPathFinder
import importlib.util
import os
from pathlib import Path
import sys
import threading
from types import ModuleType
from typing import Any, Callable, Dict, Iterator, List, Optional, Tuple

TURN_S = 0.0005  # how long a thread may keep the lock that another one wants; 5 ms is usual
YOUNG = 100  # new objects between two young collections; 700 is usual
NEVER = 10 ** 9
# Libraries to open beforehand, each with what its own package asks of the loader; beside the
# package or, for a Jetson's TensorRT, in the system.
LIBRARIES: Dict[str, Dict[str, int]] = {
    'torch': {'torch/lib/libtorch_global_deps.so': os.RTLD_GLOBAL,
              'torch/lib/libtorch_python.so': 0},
    'tensorrt': {'tensorrt/lib*.so*': 0, 'tensorrt_libs/lib*.so*': 0,
                 '/usr/lib/aarch64-linux-gnu/libnvinfer.so.*': 0,
                 '/usr/lib/aarch64-linux-gnu/libnvinfer_plugin.so.*': 0,
                 '/usr/lib/aarch64-linux-gnu/libnvonnxparser.so.*': 0}}
# The modules of a package whose start has a long C function in it.
LONG_STARTS = {'torch': ('torch._C', 'torch.fx.node'),
               'onnxruntime': ('onnxruntime.capi.onnxruntime_pybind11_state',),
               'tensorrt': ('tensorrt.tensorrt', 'tensorrt_bindings.tensorrt')}

_one_at_a_time = threading.Lock()


def import_in_background(name: str, quiet: Optional[Callable[[], None]] = None) -> ModuleType:
    """
    Import `name` with the interpreter's lock given up as often as can be.

    `quiet` is called right before each stretch that cannot be divided; it may wait for a good
    moment, such as the one after a command has been published.
    """
    with _one_at_a_time:
        if name in sys.modules:
            return importlib.import_module(name)
        with gently(), _before(LONG_STARTS.get(name, ()), quiet):
            for path, flags in _libraries(name).items():
                open_unlocked(path, flags)
            return importlib.import_module(name)


@contextmanager
def gently() -> Iterator[None]:
    """Do a long piece of work with the interpreter's lock given up as often as can be."""
    with _short_turns(), _young_collections():
        yield


def _libraries(name: str) -> Dict[Path, int]:
    """Find a package's large libraries without importing it."""
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.origin:
        return {}
    beside = str(Path(spec.origin).parent.parent)
    return {Path(path).resolve(): flags for pattern, flags in LIBRARIES.get(name, {}).items()
            for path in glob.glob(os.path.join(beside, pattern))}


def open_unlocked(path: Path, flags: int = 0) -> None:
    """
    Open a shared library for good, without the interpreter's lock (ctypes.CDLL keeps it).

    A library that does not open is left to the import, which tells why.
    """
    with open(path, 'rb') as file:  # from a cold disk, in large reads instead of page by page
        block = bytearray(1 << 20)
        while file.readinto(block):
            pass
    dlopen = ctypes.CDLL(None).dlopen
    dlopen.argtypes, dlopen.restype = [ctypes.c_char_p, ctypes.c_int], ctypes.c_void_p
    dlopen(os.fsencode(path), os.RTLD_NOW | flags)


@contextmanager
def _short_turns() -> Iterator[None]:
    usual = sys.getswitchinterval()
    sys.setswitchinterval(min(TURN_S, usual))
    try:
        yield
    finally:
        sys.setswitchinterval(usual)


@contextmanager
def _young_collections() -> Iterator[None]:
    usual = gc.get_threshold()
    gc.callbacks.append(_breathe)
    gc.set_threshold(YOUNG, NEVER, NEVER)
    try:
        yield
    finally:
        gc.freeze()
        gc.set_threshold(*usual)
        gc.callbacks.remove(_breathe)


def _breathe(phase: str, info: Dict[str, int]) -> None:
    """Do nothing, in Python: entering a Python function is where the lock changes hands."""


class _Announce(MetaPathFinder):
    """Find nothing, but tell before some modules are looked for."""

    def __init__(self, modules: Tuple[str, ...], quiet: Callable[[], None]) -> None:
        self._modules, self._quiet = modules, quiet

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> None:
        if fullname in self._modules:
            self._quiet()


@contextmanager
def _before(modules: Tuple[str, ...], quiet: Optional[Callable[[], None]]) -> Iterator[None]:
    finders: List[Any] = [_Announce(modules, quiet)] if quiet else []
    sys.meta_path[:0] = finders
    try:
        yield
    finally:
        for finder in finders:
            sys.meta_path.remove(finder)
