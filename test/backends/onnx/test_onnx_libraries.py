"""What ONNX Runtime lacks for a GPU; with the real wheel for GPUs if it is installed."""

import os
from pathlib import Path
import shutil
import subprocess
import sys

import onnxruntime
import pytest
import tiny
from vla_nav_node.backends import open_backend
from vla_nav_node.backends.cuda.cuda_driver import CudaDriver
from vla_nav_node.backends.onnx import onnx_libraries
from vla_nav_node.backends.onnx.onnx_libraries import cuda_major, missing_libraries
from vla_nav_node.backends.onnx.onnx_session import CUDA, TENSORRT
from vla_nav_node.errors import BackendError

REPOSITORY = Path(__file__).resolve().parents[3]
GPU_WHEEL = CUDA in onnxruntime.get_available_providers()
needs_gpu_wheel = pytest.mark.skipif(
    not GPU_WHEEL, reason='needs the package onnxruntime-gpu in place of onnxruntime')


def has_driver():
    """Return whether NVIDIA's driver shows a GPU here."""
    try:
        CudaDriver()
    except BackendError:
        return False
    return True


without_driver = pytest.mark.skipif(has_driver(), reason='there is a driver here')


def compiler():
    """Return the C compiler, or skip."""
    found = next(filter(None, map(shutil.which, ('cc', 'gcc', 'clang'))), None)
    return found or pytest.skip('needs a C compiler')


def printed_by(directory, code):
    """Run code with the Python packages of a directory on the path; return its output."""
    path = os.pathsep.join([str(directory), str(REPOSITORY)])
    return subprocess.run([sys.executable, '-c', code], env={**os.environ, 'PYTHONPATH': path},
                          timeout=60, check=True, capture_output=True, text=True).stdout


@pytest.mark.skipif(GPU_WHEEL, reason='needs the package onnxruntime without CUDA')
@pytest.mark.parametrize('listed, message', [
    ([], 'pip uninstall onnxruntime && '),
    (['onnxruntime', 'onnxruntime_gpu'], 'onnxruntime lies over onnxruntime-gpu')])
def test_a_package_without_cuda_and_one_that_shadows_the_other_are_told_apart(
        tmp_path, listed, message):
    for name in listed:  # as pip lists both, of which the last one wrote over the first
        (tmp_path / f'{name}-1.31.1.dist-info').mkdir()
        (tmp_path / f'{name}-1.31.1.dist-info' / 'METADATA').write_text(
            f'Metadata-Version: 2.1\nName: {name.replace("_", "-")}\nVersion: 1.31.1\n')
    output = printed_by(tmp_path, (
        'import onnxruntime\n'
        'from vla_nav_node.backends.onnx.onnx_libraries import driver_for\n'
        'from vla_nav_node.errors import BackendError\n'
        'try:\n'
        '    driver_for(onnxruntime, "CUDAExecutionProvider")\n'
        'except BackendError as error:\n'
        '    print(error)\n'))
    assert 'built without CUDAExecutionProvider' in output and message in output


def test_without_a_tool_to_ask_the_loader_only_cudnn_is_looked_for(tmp_path, monkeypatch):
    monkeypatch.setenv('PATH', str(tmp_path))
    monkeypatch.setattr(onnxruntime, 'cuda_version', '11.8')
    assert missing_libraries(onnxruntime, CUDA) == []


@pytest.mark.parametrize('names, message, absent', [
    (['libcublasLt.so.13', 'libcudnn.so.9'], 'onnxruntime-gpu[cuda,cudnn]', 'tensorrt'),
    (['libcublasLt.so.12'], '1.19 to 1.26: CUDA 12', 'tensorrt'),
    (['libnvinfer.so.10', 'libnvonnxparser.so.10'], "'tensorrt-cu13==10.*'", 'cudnn'),
    (['libnvinfer.so.10', 'libcudnn.so.9'], 'onnxruntime-gpu[cuda,cudnn]', 'nothing')])
def test_each_missing_library_is_named_with_its_cure(monkeypatch, names, message, absent):
    monkeypatch.setattr(onnxruntime, 'cuda_version', '13.0')
    error = onnx_libraries._missing(onnxruntime, names)
    assert ', '.join(names) in error.found and 'built for CUDA 13' in error.found
    assert message in error.fix and absent not in error.fix


@pytest.mark.parametrize('version, major', [('13.0', 13), ('12.8', 12), ('', 0), ('local', 0)])
def test_the_cuda_that_it_is_for_is_read(monkeypatch, version, major):
    monkeypatch.setattr(onnxruntime, 'cuda_version', version)
    assert cuda_major(onnxruntime) == major


def test_the_loader_is_asked_for_all_that_is_missing(tmp_path, monkeypatch):
    """By a real library that needs two: one that exists, and one that was deleted."""
    capi = tmp_path / 'onnxruntime' / 'capi'
    capi.mkdir(parents=True)
    (tmp_path / 'empty.c').write_text('')
    gone = capi / 'libgone.so.7'
    for command in (
            [compiler(), '-shared', '-o', gone, '-Wl,-soname,libgone.so.7', tmp_path / 'empty.c'],
            [compiler(), '-shared', '-o', capi / onnx_libraries.LIBRARIES[CUDA],
             '-Wl,--no-as-needed', tmp_path / 'empty.c', gone, '-lm']):
        subprocess.run(command, check=True, timeout=60)
    monkeypatch.setattr(onnxruntime, '__file__', str(capi.parent / '__init__.py'))
    monkeypatch.setattr(onnxruntime, 'cuda_version', '11.8')  # its cuDNN is among what it links
    gone.unlink()
    assert missing_libraries(onnxruntime, CUDA) == ['libgone.so.7']


def test_libraries_that_came_as_python_packages_are_loaded(tmp_path):
    """Without the GIL, before ONNX Runtime's own function does so with it."""
    empty = tmp_path / 'empty.c'
    empty.write_text('')
    wanted, other = 'nvidia/cublas/lib/libcublasLt.so.99', 'nvidia/nccl/lib/libnccl.so.2'
    for name in (wanted, other):
        (tmp_path / name).parent.mkdir(parents=True)
        subprocess.run([compiler(), '-shared', '-o', tmp_path / name, empty], check=True)
    output = printed_by(tmp_path, (
        'import onnxruntime\n'
        'from vla_nav_node.backends.onnx.onnx_libraries import CUDA, preload\n'
        f'onnxruntime.__file__ = "{tmp_path}/onnxruntime/__init__.py"\n'
        'preload(onnxruntime, CUDA)\n'
        'print(open("/proc/self/maps").read())\n'))
    assert 'libcublasLt.so.99' in output and 'libnccl' not in output


@needs_gpu_wheel
@without_driver
@pytest.mark.parametrize('provider', [CUDA, TENSORRT])
def test_the_real_wheel_without_a_driver_says_so(provider):
    with pytest.raises(BackendError, match='no NVIDIA driver is installed|its library is not'):
        onnx_libraries.driver_for(onnxruntime, provider)


@needs_gpu_wheel
@without_driver
def test_the_real_wheel_names_all_that_it_misses(capfd):
    onnx_libraries.preload(onnxruntime, CUDA)
    missing = missing_libraries(onnxruntime, CUDA)
    assert any(name.startswith('libcuda.so') for name in missing)
    assert {name.partition('.')[0] for name in missing} <= {
        'libcuda', 'libcublas', 'libcublasLt', 'libcudart', 'libcudnn', 'libcufft', 'libcurand',
        'libnvrtc'}
    assert any('nvinfer' in name for name in missing_libraries(onnxruntime, TENSORRT))
    assert capfd.readouterr().out == ''  # what preload_dlls prints


@needs_gpu_wheel
@without_driver
def test_the_real_wheel_drives_on_the_cpu_where_it_may(tmp_path):
    bundle = tiny.write_tiny(tmp_path / 'tiny')
    assert open_backend('onnx', bundle).info.device == 'cpu'
    with pytest.raises(BackendError, match='driver'):
        open_backend('onnx', bundle, device='cuda')
