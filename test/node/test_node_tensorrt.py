"""A driving node without usable TensorRT refuses a swap to it, with the true reason."""

import os
from pathlib import Path
import time

import pytest
from rig import CameraThread, NodeProcess, Rig
from vla_nav_node.backends import is_installed
from vla_nav_node.backends.cuda.cuda_errors import KERNEL_MODULE

REPOSITORY = Path(__file__).resolve().parents[2]
NO_DRIVER = pytest.mark.skipif(KERNEL_MODULE.exists(), reason='there is a driver here')

# TensorRT absent; its package without its library (which the real loader then looks for); the real
# runtime of TensorRT 11.
PACKAGES = {
    'absent': None,
    'without its library': 'import ctypes\nctypes.CDLL("libnvinfer.so.10")\n',
    'whole': 'from tensorrt_lean import *\nfrom tensorrt_lean import __version__\n'}


def refusal(bundle, package, tmp_path):
    """Request tensorrt from a driving node; return the reason of the refusal, and the commands."""
    if package:
        (tmp_path / 'tensorrt').mkdir()
        (tmp_path / 'tensorrt' / '__init__.py').write_text(package)
    path = os.pathsep.join([str(REPOSITORY), str(tmp_path), os.environ.get('PYTHONPATH', '')])
    node = NodeProcess(model=bundle.directory, env={'PYTHONPATH': path})
    rig = Rig()
    try:
        with CameraThread(rig):
            rig.drives()
            since = time.monotonic()
            reason = rig.configure(backend='tensorrt')
            rig.until(lambda: len(rig.new_commands(since)) > 50, 'driving on')
            commands = rig.new_commands(since)
            values = rig.say('policy', 'by onnx')[2]
            assert rig.get('backend') == 'onnx'
    finally:
        rig.close()
        status, stderr = node.finish()
    assert status == 0, stderr
    assert 'Traceback' not in stderr
    assert values['backend'] == 'onnx'
    return reason, commands


def drove_on(commands):
    """Return whether there was no stop and no long gap."""
    times = [at for at, _, _ in commands]
    return (all(x or y for _, x, y in commands)
            and max(b - a for a, b in zip(times, times[1:])) < 0.5)


@pytest.mark.skipif(is_installed('tensorrt'), reason='TensorRT is installed here')
def test_the_package_is_missing(bundle, tmp_path):
    reason, commands = refusal(bundle, PACKAGES['absent'], tmp_path)
    assert 'needs the Python package tensorrt: it is not installed here' in reason
    assert "pip install 'tensorrt>=8.6'" in reason
    assert drove_on(commands)


@NO_DRIVER
def test_the_driver_is_missing(bundle, tmp_path):
    reason, commands = refusal(bundle, PACKAGES['without its library'], tmp_path)
    assert 'no NVIDIA driver is installed here (libcuda.so.1' in reason
    assert drove_on(commands)


@NO_DRIVER
def test_the_driver_is_missing_under_a_real_tensorrt(bundle, tmp_path):
    pytest.importorskip('tensorrt_lean', reason='tensorrt-lean-cu13 is not installed here')
    reason, commands = refusal(bundle, PACKAGES['whole'], tmp_path)
    assert 'no NVIDIA driver is installed here (libcuda.so.1' in reason
    assert drove_on(commands)


@pytest.mark.skipif(not KERNEL_MODULE.exists(), reason='the driver is missing')
def test_the_library_is_missing(bundle, tmp_path):
    reason, commands = refusal(bundle, PACKAGES['without its library'], tmp_path)
    assert 'not the library of TensorRT: libnvinfer.so.10: cannot open' in reason
    assert drove_on(commands)
