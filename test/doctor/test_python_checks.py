"""What is installed, on planted packages."""

import sys

import pytest
from vla_nav_node.doctor.checks.check import FAILED, OK
from vla_nav_node.doctor.checks.place import Place
from vla_nav_node.doctor.checks.python import interpreter, numpy_abi, onnxruntime_packages
from vla_nav_node.doctor.examination import run
from vla_nav_node.doctor.probes.extensions_probe import (
    extensions, is_for_numpy_1, NUMPY_1, NUMPY_2)


@pytest.fixture
def packages(tmp_path, monkeypatch):
    """Return a folder of packages that Python finds first."""
    folder = tmp_path / 'site-packages'
    folder.mkdir()
    monkeypatch.setattr(sys, 'path', [str(folder), *sys.path])
    return folder


def install(folder, name, version):
    info = folder / f'{name.replace("-", "_")}-{version}.dist-info'
    info.mkdir()
    (info / 'METADATA').write_text(f'Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n')


def test_this_python_has_what_every_install_needs():
    result = run(interpreter.CHECK, Place())
    assert result.status == OK and 'numpy' in result.worst.found


def test_an_old_package_fails_with_the_line_that_installs_all(packages):
    install(packages, 'simplejpeg', '1.2.0')
    result = run(interpreter.CHECK, Place())
    assert result.status == FAILED and 'simplejpeg 1.2.0' in result.worst.found
    assert "'simplejpeg>=1.8'" in result.worst.remedy


def test_two_packages_of_onnx_runtime(packages):
    install(packages, 'onnxruntime', '1.32.0')
    install(packages, 'onnxruntime-gpu', '1.31.1')
    result = run(onnxruntime_packages.CHECK, Place())
    assert result.status == FAILED
    assert 'onnxruntime 1.32.0 and onnxruntime-gpu 1.31.1 are both' in result.worst.found
    assert 'uninstall' in result.worst.remedy
    assert result.worst.remedy.rstrip().endswith('onnxruntime-gpu')


@pytest.mark.parametrize('content, old', [
    (NUMPY_1, True), (NUMPY_2 + b'\0' + NUMPY_1, False), (b'no NumPy', False), (b'', False)])
def test_which_numpy_a_file_asks_for(tmp_path, content, old):
    path = tmp_path / 'x.so'
    path.write_bytes(content)
    assert is_for_numpy_1(path) is old


def test_an_extension_for_the_other_numpy(packages):
    (packages / 'cv_bridge').mkdir()
    (packages / 'cv_bridge' / 'boost.so').write_bytes(b'xx' + NUMPY_1 + b'xx')
    (packages / 'cv_bridge' / 'libplain.so').write_bytes(NUMPY_1)
    assert [path.name for path in extensions(packages)] == ['boost.so']
    environment = {**Place().environment, 'PYTHONPATH': str(packages)}
    result = run(numpy_abi.CHECK, Place(environment=environment))
    assert result.status == FAILED
    assert 'cv_bridge is compiled for NumPy 1' in result.worst.found
    assert "'numpy<2'" in result.worst.remedy


def test_a_numpy_that_does_not_start(packages):
    (packages / 'numpy').mkdir()
    (packages / 'numpy' / '__init__.py').write_text('raise ImportError("no libblas")')
    result = run(numpy_abi.CHECK, Place(
        environment={**Place().environment, 'PYTHONPATH': str(packages)}))
    assert result.status == FAILED and 'no libblas' in result.worst.found
