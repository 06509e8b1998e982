"""The Python that runs, and the packages that every install needs."""

from importlib import metadata
import re
import sys
from typing import Iterator, List

from ..check import Check, failed, Finding, ok
from ..place import Place
from ....system.install_lines import EXTRAS, pip_install

OLDEST = (3, 10)
REQUIREMENT = re.compile(r'([\w.-]+)>=([\d.]+)')
# Debian and ROS 2 install cv2 without a package that pip knows.
OTHER_NAMES = {'opencv-python-headless': ('opencv-python-headless', 'opencv-python',
                                          'opencv-contrib-python', 'opencv', 'cv2')}


def run(place: Place) -> Iterator[Finding]:
    """Compare versions."""
    version = '.'.join(map(str, sys.version_info[:3]))
    if sys.version_info[:2] < OLDEST:
        yield failed(f'Python {version}', 'Python 3.10 or newer', 'use the Python of Ubuntu 22.04 '
                     'or newer')
    for problem in problems():
        yield failed(problem, 'the packages that every install needs', pip_install(''))
    yield ok(f'Python {version} with ' + ', '.join(
        f'{name.split("-")[0]} {found}' for name, found in installed().items()))


def problems() -> List[str]:
    """Return which packages are missing or too old."""
    found = installed()
    return [f'{name} {found[name]} is installed' if name in found else f'{name} is missing'
            for name, oldest in needed() if name not in found or (
                found[name][:1].isdigit() and _numbers(found[name]) < _numbers(oldest))]


def needed():
    """Return name and oldest version of each package that every install needs."""
    return [match.groups() for match in map(REQUIREMENT.match, EXTRAS['']) if match]


def installed():
    """Return the versions of those that are installed."""
    return {name: version for name, _ in needed() for version in [_version(name)] if version}


def _version(name: str) -> str:
    for other in OTHER_NAMES.get(name, (name,)):
        try:
            return metadata.version(other)
        except metadata.PackageNotFoundError:
            pass
    from importlib import util
    return "of the system's" if name in OTHER_NAMES and util.find_spec('cv2') else ''


def _numbers(version: str) -> List[int]:
    return [int(part) for part in re.findall(r'\d+', version)[:3]]


CHECK = Check('python', 'everywhere', 'the version of Python and of what every install needs',
              run)
