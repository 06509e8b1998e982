"""Whether packages of ONNX Runtime lie over one another: all are the module onnxruntime."""

from contextlib import suppress
from importlib import metadata, util
from typing import Dict, Iterator

from ..check import Check, failed, Finding, ok, skipped
from ..place import Place
from ....system.install_lines import pip_line, pip_replace

PACKAGES = ('onnxruntime', 'onnxruntime-gpu', 'onnxruntime-training', 'onnxruntime-openvino',
            'onnxruntime-directml', 'ort-nightly', 'ort-nightly-gpu')


def run(place: Place) -> Iterator[Finding]:
    """Count the packages."""
    found = installed()
    wanted = next((name for name in found if name.endswith('-gpu')), 'onnxruntime')
    if len(found) > 1:
        yield failed(
            ' and '.join(f'{name} {version}' for name, version in found.items()) + ' are both '
            'installed: they share the directory onnxruntime, and the last one lies over the '
            'others', 'one of them', pip_replace(wanted, *found))
    elif found and not is_whole():
        yield failed(f'pip lists {", ".join(found)}, but the module onnxruntime is not whole: '
                     'another package of the same directory was uninstalled', 'the module',
                     pip_line('--force-reinstall', *found))
    elif not found and not util.find_spec('onnxruntime'):
        yield skipped('ONNX Runtime is not installed')
    else:
        yield ok(', '.join(f'{name} {version}' for name, version in found.items())
                 or 'ONNX Runtime of the system')


def is_whole() -> bool:
    """Return whether the module has its __init__.py, without importing it."""
    spec = util.find_spec('onnxruntime')
    return spec is not None and spec.origin is not None


def installed() -> Dict[str, str]:
    """Return the installed packages with their versions."""
    found = {}
    for name in PACKAGES:
        with suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


CHECK = Check('onnxruntime', 'where ONNX Runtime is installed', 'the packages that pip lists', run)
