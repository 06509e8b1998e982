"""
Finds the Fast DDS profile that large images need, and puts it into a process's environment.

With Fast DDS's own settings most raw 640x480 images are lost between two processes. The profile
has to be in the environment before the process makes its first ROS 2 context, so whoever starts
a camera or a node hands it over: the launch file and the demo do.
"""

import os
from pathlib import Path
import sys
from typing import Dict, Mapping, Optional
from xml.etree import ElementTree

from ...errors import VlaNavError

PROFILE = 'fastdds.xml'
ROOTS = ('dds', 'profiles')  # outermost elements that Fast DDS reads
# Humble and Jazzy read the first name, Kilted and later the second.
VARIABLES = ('FASTRTPS_DEFAULT_PROFILES_FILE', 'FASTDDS_DEFAULT_PROFILES_FILE')


def profile_path() -> Path:
    """Return the path of the profile: the checkout's, else that of the installed package."""
    folders = list(_config_folders())
    for folder in folders:
        if (folder / PROFILE).is_file():
            return folder / PROFILE
    raise VlaNavError(
        f'no {PROFILE} in ' + ', '.join(map(str, folders)),
        'the Fast DDS profile that comes with the package',
        'build the package again with colcon or pip, or set ' + ' and '.join(VARIABLES))


def environment(base: Optional[Mapping[str, str]] = None) -> Dict[str, str]:
    """
    Copy a process's environment, this one's by default, with the profile added.

    A profile of the user's own is left alone, under whichever of the names it was given; one that
    Fast DDS could not read, and would pass over, is refused.
    """
    result = dict(os.environ if base is None else base)
    check_profiles(result)
    if not any(result.get(name) for name in VARIABLES):
        result.update(dict.fromkeys(VARIABLES, str(profile_path())))
    return result


def check_profiles(environment: Mapping[str, str]) -> None:
    """Raise if Fast DDS cannot read a profile that is named: it would go on without."""
    rmw = environment.get('RMW_IMPLEMENTATION', '')
    for name in VARIABLES if not rmw or 'fastrtps' in rmw else ():
        problem = environment.get(name) and _problem(Path(environment[name]))
        if problem:
            raise VlaNavError(f'{name} is {environment[name]}: {problem}',
                              'an XML file of Fast DDS profiles',
                              f'unset {name}, or set it to {profile_path()}')


def _problem(path: Path) -> str:
    """Say why a file is no Fast DDS profile, '' if it is one."""
    try:
        root = ElementTree.fromstring(path.read_bytes()).tag.rpartition('}')[2]
    except OSError as error:
        return error.strerror or str(error)
    except ElementTree.ParseError as error:
        return f'it is no XML ({error})'
    return '' if root in ROOTS else f'its outermost element is {root}, not {" or ".join(ROOTS)}'


def _config_folders():
    """Yield where config/ may be, best first: beside the sources, in a prefix's share/."""
    package = Path(__file__).resolve().parents[2]
    yield package.parent / 'config'
    prefixes = os.environ.get('AMENT_PREFIX_PATH', '').split(os.pathsep)
    # colcon installs to PREFIX/lib/pythonX.Y/site-packages, whether or not it was sourced.
    own = [str(package.parents[3])] if len(package.parents) > 3 else []
    for prefix in [*filter(None, prefixes), *own, sys.prefix]:
        yield Path(prefix) / 'share' / package.name / 'config'
