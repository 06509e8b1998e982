"""The driver's functions are called as NVIDIA declares them."""

import ctypes
from pathlib import Path
import re

import pytest
from vla_nav_node.backends.cuda.cuda_driver import Address, PROTOTYPES, Uuid

HEADERS = [path for root in (Path('/usr/local/cuda'), *Path('/usr/local').glob('cuda-*'))
           for path in (root / 'include' / 'cuda.h',) if path.is_file()]
# How the header's types go over the border.
KINDS = {'int': ctypes.c_int, 'unsigned int': ctypes.c_uint, 'size_t': ctypes.c_size_t,
         'unsigned long long': ctypes.c_ulonglong, 'CUdevice': ctypes.c_int,
         'CUdeviceptr': Address, 'CUresult': ctypes.c_int, 'CUstreamCaptureMode': ctypes.c_int,
         'CUdevice_attribute': ctypes.c_int, 'CUuuid': Uuid}
HANDLES = {'CUstream', 'CUgraph', 'CUgraphExec', 'CUcontext'}


def declared(header, name):
    """Return the types of a function's arguments, as the header declares it."""
    macro = re.search(rf'#define\s+(\w+)\s+(?:__CUDA_API_PTSZ\()?{name}\b', header)
    found = re.search(rf'CUresult CUDAAPI {macro.group(1) if macro else name}\(([^;]*)\);', header)
    assert found, f'{name} is not in cuda.h'
    return [re.sub(r'\w+$', '', one.replace('const ', '').strip()).strip()
            for one in found.group(1).split(',')]


def as_ctypes(kind):
    """Return what a type of C is in ctypes."""
    if kind == 'char *':
        return ctypes.c_char_p
    if kind == 'char **':
        return ctypes.POINTER(ctypes.c_char_p)
    if kind == 'void *' or kind in HANDLES:
        return ctypes.c_void_p
    if kind.endswith('*'):
        inner = kind[:-1].strip()
        return ctypes.POINTER(ctypes.c_void_p if inner == 'void *' else as_ctypes(inner))
    return KINDS[kind]


@pytest.mark.skipif(not HEADERS, reason="NVIDIA's cuda.h is not on this machine")
@pytest.mark.parametrize('name', PROTOTYPES)
def test_a_prototype_is_that_of_the_header(name):
    header = HEADERS[0].read_text(errors='replace')
    assert [as_ctypes(kind) for kind in declared(header, name)] == list(PROTOTYPES[name])


@pytest.mark.skipif(not HEADERS, reason="NVIDIA's cuda.h is not on this machine")
@pytest.mark.parametrize('name, number', [
    ('CU_STREAM_NON_BLOCKING', '0x1'), ('CU_STREAM_CAPTURE_MODE_THREAD_LOCAL', '1'),
    ('CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR', '75'),
    ('CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR', '76'),
    ('CUDA_ERROR_OUT_OF_MEMORY', '2'), ('CUDA_ERROR_STUB_LIBRARY', '34'),
    ('CUDA_ERROR_DEVICE_UNAVAILABLE', '46'), ('CUDA_ERROR_NO_DEVICE', '100'),
    ('CUDA_ERROR_SYSTEM_NOT_READY', '802'), ('CUDA_ERROR_SYSTEM_DRIVER_MISMATCH', '803'),
    ('CUDA_ERROR_COMPAT_NOT_SUPPORTED_ON_DEVICE', '804'), ('CUDA_ERROR_UNKNOWN', '999')])
def test_a_number_is_that_of_the_header(name, number):
    header = HEADERS[0].read_text(errors='replace')
    assert re.search(rf'\b{name}\s*=\s*{number}\b', header)
