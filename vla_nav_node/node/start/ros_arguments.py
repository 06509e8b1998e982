"""Parse a node's command line: parameters, files, remappings, and arguments not for ROS."""

import argparse
from pathlib import Path
import re
import sys
from typing import Any, Iterator, List, NamedTuple, Sequence, Tuple

import yaml

from ...errors import SettingError
from ...system.machine import package_version

PARAMETERS = 'ros__parameters'
EVERY_NODE = '/**'
PARAMETER_FLAGS, REMAPPING_FLAGS = ('-p', '--param'), ('-r', '--remap')  # of rcl
FILE_FLAGS = ('--params-file',)
USAGE = ('pass parameters as --ros-args -p NAME:=VALUE, remappings as --ros-args -r FROM:=TO, '
         'files as --ros-args --params-file FILE')
# Only the names are needed, so all values stay text.
TEXT_LOADER = getattr(yaml, 'CBaseLoader', yaml.BaseLoader)


class Override(NamedTuple):
    """Parameters that one source sets for the nodes that match a section."""

    source: str  # as the user wrote it
    section: str  # a node name, or a pattern with * and **
    names: Tuple[str, ...]
    file: str = ''

    def matches(self, full_name: str) -> bool:
        """Return whether the section is for the node of this full name."""
        return matches(self.section, full_name)


class Remapping(NamedTuple):
    """One rule [NODE:]FROM:=TO."""

    rule: str
    node: str  # '' for all nodes
    match: str
    to: str


class Arguments(NamedTuple):
    """What a command line sets and remaps."""

    overrides: List[Override]
    remappings: List[Remapping]


def parse(arguments: Sequence[str]) -> Arguments:
    """Parse a command line that rcl has accepted; raise SettingError for a bad file."""
    ros, _ = split(arguments)

    def values(flags: Sequence[str]) -> List[str]:
        return [value for flag, value in zip(ros, ros[1:]) if flag in flags]
    overrides = [_override(rule) for rule in values(PARAMETER_FLAGS)]
    for path in values(FILE_FLAGS):
        overrides += sections(path)
    return Arguments(overrides, [_remapping(rule) for rule in values(REMAPPING_FLAGS)])


def split(arguments: Sequence[str]) -> Tuple[List[str], List[str]]:
    """Return the arguments between --ros-args and --, and the others."""
    ros: List[str] = []
    others: List[str] = []
    current = others
    for argument in arguments:
        if argument in ('--ros-args', '--'):
            current = ros if argument == '--ros-args' else others
        else:
            current.append(argument)
    return ros, others


def matches(section: str, full_name: str) -> bool:
    """Return whether a section is for a node; * matches one part of the name, ** any number."""
    parts = {'*': '/[^/]+', '**': '(/[^/]+)*'}
    pattern = ''.join(parts.get(part, f'/{re.escape(part)}')
                      for part in section.strip('/').split('/'))
    return re.fullmatch(pattern, full_name) is not None


def sections(path: str) -> List[Override]:
    """Return the sections of a parameters file, an empty one if it has none."""
    if not Path(path).is_file():  # a pipe such as <(...): ROS has already read it
        return [Override(path, EVERY_NODE, (), path)]
    try:
        trees = list(yaml.load_all(Path(path).read_bytes(), Loader=TEXT_LOADER))
    except (OSError, yaml.YAMLError) as error:
        raise SettingError(f'{path}: {" ".join(str(error).split())}',
                           'a parameters file in YAML') from None
    found = [Override(f'{path}, {section}', section, tuple(names), path)
             for tree in trees for section, names in _sections(tree)]
    return found or [Override(path, '', (), path)]


def readers_of(path: str, namespace: str, names: Sequence[str]) -> List[str]:
    """Return which nodes a parameters file is for; one for none goes to all, which refuse it."""
    prefix = f'/{namespace.strip("/")}'.rstrip('/')
    found = sections(path)
    return [name for name in names
            if any(section.matches(f'{prefix}/{name}') for section in found)] or list(names)


def refuse_non_ros(name: str, about: str, arguments: Sequence[str]) -> None:
    """Print --help or --version and exit; raise SettingError for other arguments not for ROS."""
    others = split(arguments)[1]
    if not others:
        return
    parser = argparse.ArgumentParser(
        name, usage=f'{name} [--help] [--version] [--ros-args ...]', allow_abbrev=False,
        description=about, epilog=USAGE, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--version', action='store_true', help='show the version and exit')
    known, unknown = parser.parse_known_args(others)
    if unknown:
        raise SettingError(f'unknown arguments: {", ".join(map(repr, unknown))}', fix=USAGE)
    if known.version:
        print(f'{name} version: {package_version()}')
        sys.exit(0)


def _override(rule: str) -> Override:
    node, _, name = rule.partition(':=')[0].rpartition(':')
    return Override(f'-p {rule}', node or EVERY_NODE, (name,))


def _remapping(rule: str) -> Remapping:
    left, _, to = rule.partition(':=')
    head, scheme, tail = left.partition('://')  # rostopic://FROM
    node, _, match = (tail if scheme else left).rpartition(':')
    return Remapping(f'-r {rule}', (head.rpartition(':')[0] if scheme else node), match, to)


def _sections(tree: Any, above: str = '') -> Iterator[Tuple[str, List[str]]]:
    """Yield sections with their parameter names; a namespace may be a level of its own."""
    for key, below in tree.items() if isinstance(tree, dict) else ():
        if key == PARAMETERS:
            yield above, list(_names(below))
        else:
            yield from _sections(below, f'{above}/{key.strip("/")}')


def _names(tree: Any, above: str = '') -> Iterator[str]:
    for key, below in tree.items() if isinstance(tree, dict) else ():
        if isinstance(below, dict):
            yield from _names(below, f'{above}{key}.')
        else:
            yield above + key
