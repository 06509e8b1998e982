"""
The few functions of NVIDIA's driver library that a policy needs, by ctypes.

`libcuda.so.1` exists exactly where a GPU can be used (with JetPack as with any driver) and its
functions never change, so no version has to match. cuda-python and libcudart would have to fit
both the driver and the CUDA that TensorRT was built for, JetPack 6 has no cuda-python, and torch
for a Jetson is on no package index.
"""

import ctypes
from ctypes import c_char_p, c_int, c_size_t, c_uint, c_ulonglong, c_void_p, POINTER
from typing import Any, Dict, NamedTuple, Tuple
import uuid

from .cuda_errors import cuda_error, CudaError, no_driver

LIBRARY = 'libcuda.so.1'
Address = c_ulonglong  # CUdeviceptr
Uuid = ctypes.c_ubyte * 16
# As NVIDIA's cuda.h declares them (test_cuda_driver.py compares them); all return CUresult. The
# suffix is the version of a function, which the header adds by a macro.
PROTOTYPES: Dict[str, Tuple[Any, ...]] = {
    'cuInit': (c_uint,),
    'cuDriverGetVersion': (POINTER(c_int),),
    'cuGetErrorName': (c_int, POINTER(c_char_p)),
    'cuDeviceGet': (POINTER(c_int), c_int),
    'cuDeviceGetName': (c_char_p, c_int, c_int),
    'cuDeviceGetUuid_v2': (POINTER(Uuid), c_int),
    'cuDeviceGetAttribute': (POINTER(c_int), c_int, c_int),
    'cuDevicePrimaryCtxRetain': (POINTER(c_void_p), c_int),
    'cuDevicePrimaryCtxRelease_v2': (c_int,),
    'cuCtxSetCurrent': (c_void_p,),
    'cuMemAlloc_v2': (POINTER(Address), c_size_t),
    'cuMemFree_v2': (Address,),
    'cuMemHostAlloc': (POINTER(c_void_p), c_size_t, c_uint),
    'cuMemFreeHost': (c_void_p,),
    'cuMemcpyHtoDAsync_v2': (Address, c_void_p, c_size_t, c_void_p),
    'cuMemcpyDtoHAsync_v2': (c_void_p, Address, c_size_t, c_void_p),
    'cuMemcpyDtoDAsync_v2': (Address, Address, c_size_t, c_void_p),
    'cuStreamCreate': (POINTER(c_void_p), c_uint),
    'cuStreamDestroy_v2': (c_void_p,),
    'cuStreamSynchronize': (c_void_p,),
    'cuStreamBeginCapture_v2': (c_void_p, c_int),
    'cuStreamEndCapture': (c_void_p, POINTER(c_void_p)),
    'cuGraphInstantiateWithFlags': (POINTER(c_void_p), c_void_p, c_ulonglong),
    'cuGraphLaunch': (c_void_p, c_void_p),
    'cuGraphDestroy': (c_void_p,),
    'cuGraphExecDestroy': (c_void_p,),
}
# CUdevice_attribute
CAPABILITY_MAJOR, CAPABILITY_MINOR = 75, 76


class Gpu(NamedTuple):
    """What identifies a GPU to an engine that is built for it."""

    name: str
    capability: str  # such as 8.7
    uuid: str


class CudaDriver:
    """The initialised driver; `device` is the first GPU of those in CUDA_VISIBLE_DEVICES."""

    def __init__(self, library: str = LIBRARY) -> None:
        """Open the library; raise CudaError with the reason if there is no GPU here."""
        try:
            self._library = ctypes.CDLL(library)
        except OSError as error:
            raise no_driver(str(error)) from None
        self._functions = {name: self._function(name) for name in PROTOTYPES}
        self.call('cuInit', 0)
        self.version = self._number('cuDriverGetVersion')  # 12040 for CUDA 12.4
        self.device = self._number('cuDeviceGet', 0)

    def call(self, name: str, *arguments: Any) -> None:
        """Call a function; raise CudaError with the meaning of its code if it fails."""
        code = self._functions[name](*arguments)
        if code:
            raise cuda_error(code, f'{name}: {self._name_of(code)}', getattr(self, 'version', 0))

    def gpu(self) -> Gpu:
        """Return what identifies the GPU."""
        name, identity = ctypes.create_string_buffer(256), Uuid()
        self.call('cuDeviceGetName', name, len(name), self.device)
        self.call('cuDeviceGetUuid_v2', ctypes.byref(identity), self.device)
        capability = '.'.join(str(self._number('cuDeviceGetAttribute', which, self.device))
                              for which in (CAPABILITY_MAJOR, CAPABILITY_MINOR))
        return Gpu(name.value.decode(errors='replace'), capability,
                   str(uuid.UUID(bytes=bytes(identity))))

    def _number(self, name: str, *arguments: Any) -> int:
        result = c_int()
        self.call(name, ctypes.byref(result), *arguments)
        return result.value

    def _function(self, name: str) -> Any:
        try:
            function = getattr(self._library, name)
        except AttributeError:
            raise CudaError(f"the NVIDIA driver's library has no {name}",
                            'a driver for CUDA 11.4 or newer', 'update the driver') from None
        function.argtypes, function.restype = PROTOTYPES[name], c_int
        return function

    def _name_of(self, code: int) -> str:
        text = c_char_p()
        self._functions['cuGetErrorName'](code, ctypes.byref(text))
        return f'{(text.value or b"an unknown error").decode(errors="replace")} ({code})'
