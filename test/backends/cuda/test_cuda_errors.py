"""Why no GPU can be used: each cause has its own error; the real libraries confirm it."""

import os
from pathlib import Path
import subprocess
import sys

from hypothesis import given, strategies as st
import pytest
from vla_nav_node.backends.cuda import cuda_errors
from vla_nav_node.backends.cuda.cuda_driver import CudaDriver
from vla_nav_node.backends.cuda.cuda_errors import (
    CODE, cuda_error, module_version, no_driver)
from vla_nav_node.backends.tensorrt.tensorrt_library import import_tensorrt
from vla_nav_node.errors import BackendError

REPOSITORY = Path(__file__).resolve().parents[3]
# As the kernel writes it, with the closed and the open module.
MODULES = {
    'NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.183.01  Sun May 12 19:39:15 UTC 2024\n'
    'GCC version:  gcc version 12.2.0 (Debian 12.2.0-14)\n': '535.183.01',
    'NVRM version: NVIDIA UNIX Open Kernel Module for aarch64  540.4.0  Release\n': '540.4.0',
    'something else\n': 'of unknown version'}
# What TensorRT 8.6.0, 10 and 11.4 write into their logs.
LOGGED = {
    'CUDA initialization failure with error: 35': 35,
    'CUDA initialization failure with error: 35. Please check your CUDA installation:  http': 35,
    'createInferRuntime: Error Code 6: API Usage Error (CUDA initialization failure with error: '
    '35 In checkCudaInstallation at /_src/runtime/dispatch/runtime.cpp:960)': 35,
    '[checkMacros.cpp::catchCudaError::250] Error Code 1: Cuda Runtime (In catchCudaError at '
    '/_src/common/dispatch/checkMacros.cpp:250 (cudaError 35: CUDA driver version is': 35,
    'CUDA initialization failure with error: 100': 100,
    'Cuda failure: 2': 2}


@pytest.mark.parametrize('text', MODULES)
def test_the_version_of_the_kernel_module_is_read(tmp_path, text):
    (tmp_path / 'version').write_text(text)
    assert module_version(tmp_path / 'version') == MODULES[text]
    assert module_version(tmp_path / 'none') == ''


@given(text=st.text(max_size=200))
def test_whatever_the_kernel_says_is_no_trouble(tmp_path_factory, text):
    path = tmp_path_factory.getbasetemp() / 'version'
    path.write_text(text, encoding='utf-8', errors='replace')
    assert module_version(path)


@pytest.mark.parametrize('text', LOGGED)
def test_the_code_is_found_in_what_tensorrt_logs(text):
    assert int(CODE.search(text).group(1)) == LOGGED[text]


@pytest.mark.parametrize('text', ['', 'Version tag does not match', 'error: 35 files', 'CUDA 13'])
def test_no_code_is_found_where_there_is_none(text):
    assert CODE.search(text) is None


def test_a_driver_that_is_not_there_and_one_that_is_not_passed_in_are_told_apart(tmp_path):
    nowhere, here = tmp_path / 'none', tmp_path / 'version'
    here.write_text(next(iter(MODULES)))
    assert 'no NVIDIA driver is installed' in str(no_driver('no libcuda', nowhere))
    message = str(no_driver('no libcuda', here))
    assert '535.183.01 runs on this machine' in message and '--gpus all' in message


@pytest.mark.parametrize('code, words', [
    (2, ['memory is full', 'nvidia-smi']),
    (34, ['stub', 'LD_LIBRARY_PATH']),
    (35, ['too old', 'CUDA 12.4', 'CUDA 13', '>= 580', 'tensorrt-cu12']),
    (46, ['taken by another process']),
    (100, ['shows no GPU', 'CUDA_VISIBLE_DEVICES: 7']),
    (802, ['not ready']),
    (803, ['different versions', 'restart']),
    (804, ['cuda-compat']),
    (999, ['nvidia_uvm']),
    (700, ['CUDA failed', 'ILLEGAL_ADDRESS'])])
def test_every_code_has_its_cause_and_its_cure(monkeypatch, code, words):
    monkeypatch.setenv('CUDA_VISIBLE_DEVICES', '7')
    error = cuda_error(code, 'cuInit: ILLEGAL_ADDRESS', 12040, 13)
    assert error.code == code and '\n' not in str(error)
    for word in (*words, 'cuInit'):
        assert word in str(error)


def test_a_missing_library_is_told_as_the_missing_driver():
    with pytest.raises(BackendError, match='libcuda.so.nothing: cannot open') as refused:
        CudaDriver('libcuda.so.nothing')
    assert 'driver' in refused.value.fix


def test_a_library_that_is_no_driver_is_refused():
    with pytest.raises(BackendError, match='has no cuInit'):
        CudaDriver('libc.so.6')


def test_the_real_driver_answers_or_the_reason_is_told():
    try:
        driver = CudaDriver()
    except BackendError as error:
        assert any(word in str(error) for word in ('driver', 'GPU'))
        assert error.fix
    else:
        gpu = driver.gpu()
        assert gpu.name and gpu.uuid and driver.version >= 11040
        assert float(gpu.capability) >= 5


WITHOUT_GPU = pytest.mark.skipif(cuda_errors.KERNEL_MODULE.exists(),
                                 reason='there is a driver here')


def run(code):
    """Run Python code in a process of its own, which may crash; return its output."""
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True,
                          timeout=120, check=False,
                          env={**os.environ, 'PYTHONPATH': os.pathsep.join(
                              [str(REPOSITORY), os.environ.get('PYTHONPATH', '')])})
    assert done.returncode == 0, done.stderr
    return done.stdout


@WITHOUT_GPU
def test_the_real_error_35_of_tensorrt_11_is_told_as_the_missing_driver():
    pytest.importorskip('tensorrt_lean', reason='tensorrt-lean-cu13 is not installed here')
    output = run('from vla_nav_node.backends.tensorrt.tensorrt_backend import open_runtime\n'
                 'from vla_nav_node.backends.tensorrt.tensorrt_library import (\n'
                 '    cuda_major, import_tensorrt, log_of)\n'
                 'from vla_nav_node.errors import BackendError\n'
                 'trt = import_tensorrt(name="tensorrt_lean")\n'
                 'assert cuda_major() in (12, 13)\n'
                 'try:\n'
                 '    open_runtime(trt)\n'
                 'except BackendError as error:\n'
                 '    print(error)\n'
                 'print(log_of(trt).messages)\n')
    assert 'no NVIDIA driver is installed here (TensorRT: failure with error: 35' in output
    assert 'CUDA initialization failure with error: 35' in output.splitlines()[1]


@WITHOUT_GPU
def test_the_real_error_35_of_a_full_tensorrt_is_told_as_the_missing_driver():
    pytest.importorskip('tensorrt', reason='TensorRT is not installed here')
    output = run('from vla_nav_node.backends.tensorrt.tensorrt_library import (\n'
                 '    import_tensorrt, log_of, logged_error, network_flags)\n'
                 'trt = import_tensorrt()\n'
                 'flags, strong = network_flags(trt)\n'
                 'assert flags and strong == hasattr(\n'
                 '    trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED")\n'
                 'log = log_of(trt)\n'
                 'try:\n'
                 '    trt.Builder(log)\n'
                 'except TypeError:\n'
                 '    print(logged_error(log, 0, "TensorRT cannot start its builder"))\n')
    assert 'no NVIDIA driver is installed here (TensorRT: failure with error: 35' in output


def test_a_package_without_its_library_is_told_as_that(tmp_path, monkeypatch):
    """As the wheels of TensorRT without libnvinfer: a module that does not load."""
    for name, fails in (('trt_stub', 'libnvinfer.so.10: cannot open shared object file'),
                        ('trt_without_cudnn', 'libcudnn.so.8: cannot open shared object file')):
        (tmp_path / name).mkdir()
        (tmp_path / name / '__init__.py').write_text(f'raise ImportError({fails!r})\n')
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(BackendError, match=r'not the library of TensorRT: libnvinfer\.so\.10'):
        import_tensorrt(name='trt_stub')
    with pytest.raises(BackendError, match=r'needs cuDNN.*libcudnn\.so\.8.*nvidia-cudnn-cu12<9'):
        import_tensorrt(name='trt_without_cudnn')
    with pytest.raises(BackendError, match=r'trt_absent is not installed'):
        import_tensorrt(name='trt_absent')
