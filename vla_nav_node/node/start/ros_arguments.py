"""What a node's command line says: parameters, files, remappings, and what ROS has no part in."""

import argparse
from pathlib import Path
import re
import sys
from typing import Any, Dict, Iterator, List, NamedTuple, Sequence, Tuple

import yaml

from ...errors import SettingError
from ...system.machine import package_version

PARAMETERS = 'ros__parameters'
EVERY_NODE = '/**'
# Of rcl: the flags whose value is looked at here.
KINDS = {'-p': 'rules', '--param': 'rules', '--params-file': 'files', '-r': 'remaps',
         '--remap': 'remaps'}
HOW = ('give parameters as --ros-args -p NAME:=VALUE, remappings as --ros-args -r FROM:=TO, files '
       'as --ros-args --params-file FILE')
# Whether text is a number or a truth is the node's business: all of it stays text.
TEXTS_ONLY = getattr(yaml, 'CBaseLoader', yaml.BaseLoader)


class Override(NamedTuple):
    """Parameters that one source sets for one kind of nodes."""

    source: str  # as the user wrote it
    section: str  # which nodes: a name, or a pattern with * and **
    names: Tuple[str, ...]
    file: str = ''

    def fits(self, full_name: str) -> bool:
        """Tell whether a node is meant, by its name with its namespace."""
        return fits(self.section, full_name)


class Remapping(NamedTuple):
    """One rule [NODE:]FROM:=TO."""

    rule: str
    node: str  # '' for all
    match: str
    to: str


class Arguments(NamedTuple):
    """A command line, taken apart as rcl does it."""

    overrides: List[Override]
    remappings: List[Remapping]
    others: List[str]  # for whoever wrote the program


def read(arguments: Sequence[str]) -> Arguments:
    """Take a command line apart that rcl has accepted."""
    found: Dict[str, List[str]] = {'rules': [], 'files': [], 'remaps': []}
    ros, others = split(arguments)
    for flag, value in zip(ros, ros[1:]):
        if flag in KINDS:
            found[KINDS[flag]].append(value)
    overrides = [_override(rule) for rule in found['rules']]
    for path in found['files']:
        overrides += sections(path)
    return Arguments(overrides, [_remapping(rule) for rule in found['remaps']], others)


def split(arguments: Sequence[str]) -> Tuple[List[str], List[str]]:
    """Return what stands between --ros-args and --, and the rest."""
    ros: List[str] = []
    others: List[str] = []
    now = others
    for argument in arguments:
        if argument in ('--ros-args', '--'):
            now = ros if argument == '--ros-args' else others
        else:
            now.append(argument)
    return ros, others


def fits(section: str, full_name: str) -> bool:
    """Tell whether a section of a parameters file is for a node: * is one part, ** any number."""
    parts = {'*': '/[^/]+', '**': '(/[^/]+)*'}
    pattern = ''.join(parts.get(part, f'/{re.escape(part)}')
                      for part in section.strip('/').split('/'))
    return re.fullmatch(pattern, full_name) is not None


def sections(path: str) -> List[Override]:
    """Return the sections of a parameters file; one without any gives an empty one."""
    if not Path(path).is_file():  # a pipe, as of <(...): ROS has read it, nobody can again
        return [Override(path, EVERY_NODE, (), path)]
    try:
        trees = list(yaml.load_all(Path(path).read_bytes(), Loader=TEXTS_ONLY))
    except (OSError, yaml.YAMLError) as error:
        raise SettingError(f'{path}: {" ".join(str(error).split())}',
                           'a parameters file in YAML') from None
    found = [Override(f'{path}, {section}', section, tuple(names), path)
             for tree in trees for section, names in _sections(tree)]
    return found or [Override(path, '', (), path)]


def readers_of(path: str, namespace: str, names: Sequence[str]) -> List[str]:
    """Return which nodes a parameters file is for; one for nobody goes to all, who refuse it."""
    prefix = f'/{namespace.strip("/")}'.rstrip('/')
    found = sections(path)
    return [name for name in names
            if any(section.fits(f'{prefix}/{name}') for section in found)] or list(names)


def only_ros(name: str, about: str, arguments: Sequence[str]) -> None:
    """Print what --help or --version asks for and exit; raise for any other argument of no use."""
    others = split(arguments)[1]
    if not others:
        return
    parser = argparse.ArgumentParser(
        name, usage=f'{name} [--help] [--version] [--ros-args ...]', allow_abbrev=False,
        description=about, epilog=HOW, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--version', action='store_true', help='show the version and exit')
    asked, left = parser.parse_known_args(others)
    if left:
        raise SettingError(f'nobody takes {", ".join(map(repr, left))}', fix=HOW)
    if asked.version:
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
    """Find what is below ros__parameters; a namespace may be written as a level of its own."""
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
