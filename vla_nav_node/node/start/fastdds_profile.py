"""
Find the Fast DDS profile for large images, and put it into the environment of a process.

With Fast DDS's default settings most raw 640x480 images are lost between two processes. The
profile has to be in the environment before a process makes its first ROS 2 context, so the launch
file and the demo pass it to the processes that they start.
"""

import os
from pathlib import Path
import sys
from typing import Dict, Mapping, Optional
from xml.etree import ElementTree

from ...errors import VlaNavError

PROFILE = 'fastdds.xml'
ROOTS = ('dds', 'profiles')  # root elements that Fast DDS reads
# Humble and Jazzy read the first name, Kilted and later the second.
VARIABLES = ('FASTRTPS_DEFAULT_PROFILES_FILE', 'FASTDDS_DEFAULT_PROFILES_FILE')


def profile_path() -> Path:
    """Return the path of the profile, in the checkout or the installed package, or raise."""
    folders = list(_config_folders())
    for folder in folders:
        if (folder / PROFILE).is_file():
            return folder / PROFILE
    raise VlaNavError(
        f'no {PROFILE} in ' + ', '.join(map(str, folders)),
        'the Fast DDS profile of this package',
        'build the package again with colcon or pip, or set ' + ' and '.join(VARIABLES))


def environment(base: Optional[Mapping[str, str]] = None) -> Dict[str, str]:
    """
    Return a copy of `base`, by default of this process's environment, with the profile added.

    A profile that the user has set under either name is kept. Raise if Fast DDS cannot read it,
    since Fast DDS would ignore it.
    """
    result = dict(os.environ if base is None else base)
    check_profiles(result)
    if not any(result.get(name) for name in VARIABLES):
        result.update(dict.fromkeys(VARIABLES, str(profile_path())))
    return result


def check_profiles(environment: Mapping[str, str]) -> None:
    """Raise if a profile is set that Fast DDS cannot read: it would run without it."""
    rmw = environment.get('RMW_IMPLEMENTATION', '')
    for name in VARIABLES if not rmw or 'fastrtps' in rmw else ():
        problem = environment.get(name) and _problem(Path(environment[name]))
        if problem:
            raise VlaNavError(f'{name} is {environment[name]}: {problem}',
                              'an XML file of Fast DDS profiles',
                              f'unset {name}, or set it to {profile_path()}')


def _problem(path: Path) -> str:
    """Return why a file is not a Fast DDS profile; '' if it is one."""
    try:
        root = ElementTree.fromstring(path.read_bytes()).tag.rpartition('}')[2]
    except OSError as error:
        return error.strerror or str(error)
    except ElementTree.ParseError as error:
        return f'it is not XML ({error})'
    return '' if root in ROOTS else f'its root element is {root}, not {" or ".join(ROOTS)}'


def _config_folders():
    """Yield where config/ may be: first beside the sources, then in share/ of a prefix."""
    package = Path(__file__).resolve().parents[2]
    yield package.parent / 'config'
    prefixes = os.environ.get('AMENT_PREFIX_PATH', '').split(os.pathsep)
    # colcon installs to PREFIX/lib/pythonX.Y/site-packages, whether or not it was sourced.
    own = [str(package.parents[3])] if len(package.parents) > 3 else []
    for prefix in [*filter(None, prefixes), *own, sys.prefix]:
        yield Path(prefix) / 'share' / package.name / 'config'
