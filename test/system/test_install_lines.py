"""The lines that a message tells: real packages, and options that this Python's pip accepts."""

import os
from pathlib import Path
import re
import shlex
import subprocess
import sys

import pytest
from vla_nav_node.system import install_lines
from vla_nav_node.system.install_lines import (
    EXTRAS, pip_install, pip_install_module, pip_line, pip_replace)

ROOT = Path(__file__).parents[2]
DEBIAN = '/usr/bin/python3'
ASK = ('from vla_nav_node.system.install_lines import is_externally_managed, pip_install\n'
       'print(is_externally_managed()); print(pip_install("sim"))')


def words(line):
    """Return the packages of a line."""
    return set(shlex.split(line.partition(' install ')[2])) - {
        '--user', '--break-system-packages', 'numpy<2'}


def extras_of_setup():
    """Return the extras that setuptools reads in setup.py; the highest of several bounds."""
    pytest.importorskip('setuptools', reason='setuptools is not in this environment')
    code = ('import setuptools; setuptools.setup = lambda **k: print('
            '{**k["extras_require"], "": k["install_requires"]})\n'
            'exec(compile(open("setup.py").read(), "setup.py", "exec"), '
            '{"__file__": "setup.py", "__name__": "__main__"})')
    printed = subprocess.run([sys.executable, '-c', code], cwd=ROOT, capture_output=True,
                             text=True, check=True).stdout
    return {extra: words(pip_line(*packages)) for extra, packages in eval(printed).items()}


def test_extras_are_those_of_setup_py():
    extras = extras_of_setup()
    assert {extra: set(packages) for extra, packages in EXTRAS.items()} == {
        extra: extras[extra] for extra in EXTRAS}


@pytest.mark.parametrize('folder', ['vla_nav_node', 'docs', 'launch', 'config', 'docker'])
def test_no_message_and_no_page_asks_pip_for_what_pypi_does_not_have(folder):
    asks = re.compile(r'pip3? install [^\n`]*vla.nav.node\b')
    assert [str(path) for path in (ROOT / folder).rglob('*')
            if path.suffix in ('.py', '.md', '.yaml', '.cuda', '')
            and path.is_file() and asks.search(path.read_text(errors='ignore'))] == []
    assert not asks.search((ROOT / 'README.md').read_text())


def test_a_line_names_each_package_once_with_its_highest_bound():
    assert words(pip_install('torch', 'convert')) == set(EXTRAS['convert'])
    assert words(pip_line('torch>=2.9', 'torch>=2.10')) == {'torch>=2.10'}
    assert words(pip_line('onnxruntime-gpu[cuda,cudnn]')) == {'onnxruntime-gpu[cuda,cudnn]'}


def test_a_missing_module_brings_its_extra():
    assert words(pip_install_module('mujoco')) == set(EXTRAS['sim'])
    assert words(pip_install_module('cv2')) == set(EXTRAS[''])
    assert words(pip_install_module('PIL.Image')) == set(EXTRAS['bench'])
    assert pip_install_module('rclpy') == pip_install_module('') == ''


def test_numpy_1_stays_where_opencv_and_cv_bridge_are_built_for_it(tmp_path, monkeypatch):
    for version, kept in (('1.26.4', True), ('2.3.0', False)):
        known = tmp_path / version / f'numpy-{version}.dist-info'
        known.mkdir(parents=True)
        (known / 'METADATA').write_text(
            f'Metadata-Version: 2.1\nName: numpy\nVersion: {version}\n')
        monkeypatch.syspath_prepend(str(tmp_path / version))
        assert ("'numpy<2'" in pip_install('sim')) == kept
        assert ("'numpy<2'" in pip_install('')) == kept


def test_the_python_of_a_virtual_environment_is_named_and_takes_no_options():
    if sys.prefix == sys.base_prefix:
        pytest.skip('these tests do not run in a virtual environment')
    line = pip_install('onnx')
    assert '--user' not in line and 'apt-get' not in line
    assert '--break-system-packages' not in pip_replace('onnxruntime-gpu', 'onnxruntime')
    python = shlex.split(install_lines.pip())[0]
    prefix = subprocess.run([python, '-c', 'import sys; print(sys.prefix)'],
                            capture_output=True, text=True, check=True).stdout.strip()
    assert prefix == sys.prefix


def run(python, *arguments):
    """Run another Python with this package, and none of this environment."""
    environment = {name: value for name, value in os.environ.items()
                   if name not in ('LD_LIBRARY_PATH', 'VIRTUAL_ENV')}
    return subprocess.run([python, *arguments], text=True, timeout=60, capture_output=True,
                          check=False, env={**environment, 'PYTHONPATH': str(ROOT)})


@pytest.mark.skipif(not list(Path('/usr/lib').glob('python3*/EXTERNALLY-MANAGED'))
                    or not Path(DEBIAN).exists(), reason='no Python here has the PEP 668 marker')
def test_an_externally_managed_python_gets_a_line_that_its_pip_accepts(tmp_path):
    managed, line = run(DEBIAN, '-c', ASK).stdout.splitlines()
    assert managed == 'True'
    assert 'install --user --break-system-packages' in line
    if 'apt-get' not in line:  # nothing is fetched: what counts is that pip does not refuse
        done = run(DEBIAN, '-m', 'pip', 'install', '--no-index', '--find-links', str(tmp_path),
                   '--dry-run', '--user', '--break-system-packages', 'vla-nav-node-is-nowhere')
        assert 'externally-managed' not in done.stderr and 'No matching' in done.stderr
    run(DEBIAN, '-m', 'venv', '--without-pip', str(tmp_path / 'venv'))
    if (tmp_path / 'venv' / 'bin' / 'python').exists():
        assert run(tmp_path / 'venv' / 'bin' / 'python', '-c', ASK).stdout.startswith('False')
