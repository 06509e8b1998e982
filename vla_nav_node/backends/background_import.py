"""
Import a large framework while another thread goes on driving.

`import torch` holds the GIL for long stretches, and a thread that has to publish a command every
20 ms waits for it. Largest lateness of a thread that sleeps a few ms over and over, two cores,
Python 3.11, torch 2.13 (`python test/gaps.py plain` or `background` measures it):

    import torch, its files in the page cache                 200 to 600 ms
    + shared libraries opened beforehand, without the GIL      37 to 40 ms
    + no full garbage collection                               11 to 19 ms
    + short switch interval, young collections with a callback  3 to 12 ms
    libraries dropped from the page cache before               17 to 18 ms (plain: 430 to 440)

TensorRT 8.6.0 opens 1.3 GB: 200 to 770 ms plainly, 6 to 13 ms with its libraries opened before.
All include the machine's own lateness: 10 ms and more where more threads run than there are cores.

What holds the GIL, and what is done about each:
- dlopen of 450 MB. A foreign function call releases the GIL, so the libraries are opened through
  one first; the import then finds them open.
- A full garbage collection among the half million objects that the import makes (37 ms, and again
  at every later one): only young ones run meanwhile, and afterwards the objects are frozen.
- `initModule` of torch._C, one C function of 10 to 15 ms that makes thousands of objects. Up to
  Python 3.11 a young collection can start in the middle of it and calls `gc.callbacks`: our
  callback is a Python function, and entering one lets another thread take the GIL. From 3.12 on
  collections wait for the C function to return, and this stretch remains whole.
- The first look-up of an operator, when torch.fx.node is imported: 7 to 11 ms, undivided.
- onnxruntime's module start: 15 to 22 ms, undivided. Better import it before driving starts.
Before the undivided ones `wait_for_idle` is called.

Opening a backend of 3.3 MB after that (ONNX Runtime's session, torch's layers and weights), its
first steps and its closing hold the GIL for 0.1 to 2 ms at a time.
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
from typing import Any, Callable, Dict, Iterator, Optional, Tuple

SWITCH_INTERVAL_S = 0.0005  # how long a thread may keep a GIL that another one wants; usual: 5 ms
YOUNG_THRESHOLD = 100  # new objects between two young collections; usual: 700
NEVER = 10 ** 9
# Libraries to open beforehand, with the flags that their own package passes to dlopen; beside the
# package or, for a Jetson's TensorRT, in the system.
LIBRARIES: Dict[str, Dict[str, int]] = {
    'torch': {'torch/lib/libtorch_global_deps.so': os.RTLD_GLOBAL,
              'torch/lib/libtorch_python.so': 0},
    'tensorrt': {'tensorrt/lib*.so*': 0, 'tensorrt_libs/lib*.so*': 0,
                 '/usr/lib/aarch64-linux-gnu/libnvinfer.so.*': 0,
                 '/usr/lib/aarch64-linux-gnu/libnvinfer_plugin.so.*': 0,
                 '/usr/lib/aarch64-linux-gnu/libnvonnxparser.so.*': 0}}
# The modules of a package whose import contains a long C function.
LONG_IMPORTS = {'torch': ('torch._C', 'torch.fx.node'),
                'onnxruntime': ('onnxruntime.capi.onnxruntime_pybind11_state',),
                'tensorrt': ('tensorrt.tensorrt', 'tensorrt_bindings.tensorrt')}
# Called right before work that holds the GIL for long; waits for a moment when the driving thread
# is idle, such as the one after a command has been published. None: nothing drives.
WaitForIdle = Optional[Callable[[], None]]

_import_lock = threading.Lock()


def import_in_background(name: str, wait_for_idle: WaitForIdle = None) -> ModuleType:
    """Import `name`, releasing the GIL as often as possible."""
    with _import_lock:
        if name in sys.modules:
            return importlib.import_module(name)
        with frequent_gil_release(), _calling_before(LONG_IMPORTS.get(name, ()), wait_for_idle):
            for path, flags in _libraries(name).items():
                open_without_gil(path, flags)
            return importlib.import_module(name)


def _libraries(name: str) -> Dict[Path, int]:
    """Find a package's large libraries without importing it."""
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.origin:
        return {}
    site = str(Path(spec.origin).parent.parent)
    return {Path(path).resolve(): flags for pattern, flags in LIBRARIES.get(name, {}).items()
            for path in glob.glob(os.path.join(site, pattern))}


def open_without_gil(path: Path, flags: int = 0) -> None:
    """
    Open a shared library for the life of the process, without the GIL (ctypes.CDLL holds it).

    A library that does not open is left to the import, whose error says why.
    """
    with open(path, 'rb') as file:  # from a cold disk, in large reads instead of page by page
        block = bytearray(1 << 20)
        while file.readinto(block):
            pass
    dlopen = ctypes.CDLL(None).dlopen
    dlopen.argtypes, dlopen.restype = [ctypes.c_char_p, ctypes.c_int], ctypes.c_void_p
    dlopen(os.fsencode(path), os.RTLD_NOW | flags)


@contextmanager
def frequent_gil_release() -> Iterator[None]:
    """Do long work in a `with` block, releasing the GIL as often as possible."""
    interval, threshold = sys.getswitchinterval(), gc.get_threshold()
    sys.setswitchinterval(min(SWITCH_INTERVAL_S, interval))
    gc.callbacks.append(_release_gil)
    gc.set_threshold(YOUNG_THRESHOLD, NEVER, NEVER)
    try:
        yield
    finally:
        gc.freeze()
        gc.set_threshold(*threshold)
        gc.callbacks.remove(_release_gil)
        sys.setswitchinterval(interval)


def _release_gil(phase: str, info: Dict[str, int]) -> None:
    """Do nothing, in Python: on entering a Python function the GIL can change hands."""


class _ImportNotifier(MetaPathFinder):
    """Finds no module, but calls back before the import of some."""

    def __init__(self, modules: Tuple[str, ...], callback: Callable[[], None]) -> None:
        self._modules, self._callback = modules, callback

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> None:
        if fullname in self._modules:
            self._callback()


@contextmanager
def _calling_before(modules: Tuple[str, ...], callback: WaitForIdle) -> Iterator[None]:
    if callback is None:
        yield
        return
    notifier: Any = _ImportNotifier(modules, callback)
    sys.meta_path.insert(0, notifier)
    try:
        yield
    finally:
        sys.meta_path.remove(notifier)
