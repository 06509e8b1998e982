"""
The lines that install what is missing, for the Python that runs.

They name the packages themselves: PyPI has no vla_nav_node, and so no extras of it.
"""

from importlib import metadata, util
from pathlib import Path
import re
import shlex
import shutil
import sys
import sysconfig
from typing import Dict, List, Tuple

# The extras of setup.py that a message names, and as '' what every install has;
# test_install_lines.py compares them.
EXTRAS: Dict[str, Tuple[str, ...]] = {
    '': ('numpy>=1.21', 'opencv-python-headless>=4.5', 'pyyaml>=5.4', 'simplejpeg>=1.8'),
    'onnx': ('onnxruntime>=1.16',),
    'tensorrt': ('tensorrt>=8.6', 'onnx>=1.14'),
    'torch': ('torch>=2.0', 'safetensors>=0.4'),
    'sim': ('mujoco>=3.0', 'scipy>=1.8'),
    'demo': ('rich>=12', 'matplotlib>=3.5'),
    'bags': ('rosbags>=0.10',),
    'bench': ('onnxruntime>=1.16', 'torch>=2.0', 'safetensors>=0.4', 'rich>=12',
              'matplotlib>=3.5', 'psutil>=5.9', 'pillow>=9.1', 'ruamel.yaml>=0.16'),
    'nvtx': ('nvtx>=0.2.10',),
    'convert': ('torch>=2.1', 'safetensors>=0.4', 'onnxruntime>=1.16', 'psutil>=5.9',
                'onnx>=1.14', 'rich>=12'),
    'fuzz': ('atheris>=2.3', 'coverage>=6'),
}
# The extra that brings a missing module: the first that has its package.
SEARCHED = ('', 'sim', 'torch', 'onnx', 'demo', 'bags', 'convert', 'bench')
# Other names.
PACKAGES = {'PIL': 'pillow', 'cv2': 'opencv-python-headless', 'yaml': 'pyyaml',
            'ruamel': 'ruamel.yaml'}
NAME = re.compile(r'[\w.-]+')
KEEP_NUMPY_1 = 'numpy<2'


def pip_install(*extras: str) -> str:
    """Return the line that installs the packages of extras of setup.py."""
    return pip_line(*(requirement for extra in extras for requirement in EXTRAS[extra]))


def pip_install_module(module: str) -> str:
    """Return the line for the extra that brings a missing module, or nothing if none does."""
    package = PACKAGES.get(module.partition('.')[0], module.partition('.')[0])
    for extra in SEARCHED:
        if package in map(_name, EXTRAS[extra]):
            return pip_install(extra)
    return ''


def pip_replace(new: str, *old: str) -> str:
    """Return the line that installs a package in place of others."""
    allow = ' --break-system-packages' if is_externally_managed() else ''
    return f'{pip()} uninstall{allow} {" ".join(old)} && {pip_line(new)}'


def pip_line(*requirements: str) -> str:
    """
    Return the line that installs packages; of several lower bounds the highest counts.

    Where NumPy 1 is installed, keep it: Debian's and ROS's OpenCV and cv_bridge are built for it
    and do not start under NumPy 2, which pip would bring along with a newer scipy or onnxruntime.
    """
    wanted: Dict[str, str] = {}
    for requirement in requirements:
        name = _name(requirement)
        if name not in wanted or _bound(requirement) > _bound(wanted[name]):
            wanted[name] = requirement
    packages = dict.fromkeys([*wanted.values(), *_numpy_1()])
    line = ' '.join([pip(), 'install', *_options(), *map(shlex.quote, packages)])
    return line if util.find_spec('pip') else f'sudo apt-get install python3-pip && {line}'


def pip() -> str:
    """Return how to call pip for the Python that runs."""
    usual = shutil.which('python3')
    same = usual and Path(usual).parent.resolve() == Path(sys.executable).parent.resolve()
    return 'python3 -m pip' if same else f'{shlex.quote(sys.executable)} -m pip'


def is_externally_managed() -> bool:
    """Return whether pip refuses to install here (PEP 668): Debian 12, Ubuntu 24.04 and later."""
    marker = Path(sysconfig.get_path('stdlib')) / 'EXTERNALLY-MANAGED'
    return sys.prefix == sys.base_prefix and marker.is_file()


def _options() -> List[str]:
    # For this user only: the distribution's own packages stay as they are.
    return ['--user', '--break-system-packages'] if is_externally_managed() else []


def _name(requirement: str) -> str:
    return ''.join(NAME.findall(requirement)[:1])


def _numpy_1() -> List[str]:
    try:
        return [KEEP_NUMPY_1] if metadata.version('numpy').startswith('1.') else []
    except metadata.PackageNotFoundError:
        return []


def _bound(requirement: str) -> List[int]:
    return [int(part) for part in re.findall(r'\d+', requirement.partition('>=')[2])]
