"""The ROS parameter file that tuned settings go into: comments, order and the old file stay."""

import difflib
import io
import os
from pathlib import Path
from typing import Any, Dict, List, Mapping, Tuple

from ..trial import Value
from ....errors import first_line, SettingError
from ....system.atomic_files import write_file

NODE = 'vla_nav_node'
ANY_NODE = ('/**', '/*', '**', '*')
PARAMETERS = 'ros__parameters'
MOST_BACKUPS = 1000
WIDTH = 10_000  # no line is folded
WANTED = f"a mapping 'NODE: {PARAMETERS}:' for {NODE} or /**"


class RosConfig:
    """A parameter file in memory; nothing is on the disk before `write`."""

    def __init__(self, path: Path) -> None:
        """Read the file, or begin a new one; raise SettingError if it cannot take settings."""
        self.path = Path(os.path.realpath(path))
        _check_writable(self.path)
        self.before = _read(self.path)
        self._yaml, self._tree = _parse(self.path, self.before)
        self._section = _section(self.path, self._tree)

    @property
    def values(self) -> Dict[str, Any]:
        """Return the parameters as they are."""
        return dict(self._section)

    def set(self, values: Mapping[str, Value]) -> None:  # noqa: A003, RUF100
        """
        Take new values; new names go to the end.

        Texts are quoted: ROS reads YAML 1.1, in which more of them mean something else.
        """
        from ruamel.yaml.scalarstring import DoubleQuotedScalarString
        for name, value in values.items():
            if not isinstance(value, str):
                self._section[name] = value
            elif self._section.get(name) != value:
                self._section[name] = DoubleQuotedScalarString(value)

    def text(self) -> str:
        """Return the file as it would be written."""
        stream = io.StringIO()
        self._yaml.dump(self._tree, stream)
        return stream.getvalue()

    def diff(self) -> str:
        """Return what changes, as diff -u."""
        return ''.join(difflib.unified_diff(
            self.before.splitlines(True), self.text().splitlines(True), str(self.path),
            f'{self.path} (tuned)'))

    def write(self) -> str:
        """Replace the file in one step -> the old one's name, '' if there was none."""
        try:
            backup = _keep(self.path)
            write_file(self.path, self.text().encode())
        except OSError as error:
            raise _unwritable(self.path, error) from None
        return backup


def _check_writable(path: Path) -> None:
    """Raise SettingError before any work if the file could not be replaced."""
    if path.is_dir():
        raise SettingError(f'--config {path} is a directory', 'a file', 'name one in it')
    if not path.parent.is_dir():
        raise SettingError(f'--config {path}: its directory does not exist', 'one that does')
    if path.exists() and (not path.is_file() or not path.stat().st_mode & 0o222
                          or not os.access(path, os.W_OK)):
        raise SettingError(f'{path} is read-only', 'a file that can be written',
                           f'chmod u+w {path}, or name another one')
    if not os.access(path.parent, os.W_OK):
        raise SettingError(f'{path.parent} is read-only', 'a directory that can be written')


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding='utf-8') if path.exists() else ''
    except (OSError, UnicodeDecodeError) as error:
        raise SettingError(f'{path} cannot be read: {first_line(error)}', 'a text file') from None


def _parse(path: Path, text: str) -> Tuple[Any, Any]:
    """Return the YAML reader, set up to write as the file is written, and its tree."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError
    from ruamel.yaml.util import load_yaml_guess_indent
    ruamel = YAML()  # reads texts, numbers, lists and mappings, and no other objects
    ruamel.width, ruamel.preserve_quotes = WIDTH, True
    if not text.strip():
        return ruamel, ruamel.load(f'/**:\n  {PARAMETERS}: {{}}\n')
    try:
        _, indent, offset = load_yaml_guess_indent(text)
        ruamel.indent(mapping=_mapping_indent(text), sequence=indent or 2, offset=offset or 0)
        return ruamel, ruamel.load(text)
    except (YAMLError, ValueError, TypeError, AttributeError) as error:
        raise SettingError(f'{path} is not YAML that can be read: {_where(error)}',
                           'a ROS parameter file') from None


def _mapping_indent(text: str) -> int:
    """Return by how many spaces the first nested line is indented."""
    lines = [line for line in text.splitlines() if line.strip() and line.strip()[0] != '#']
    return next((len(line) - len(line.lstrip()) for line in lines if line[0] == ' '), 2)


def _where(error: Exception) -> str:
    """Return a YAML error in one line, with its place."""
    mark = getattr(error, 'problem_mark', None)
    words = getattr(error, 'problem', None) or first_line(error)
    return f'line {mark.line + 1}: {words}' if mark else words


def _section(path: Path, tree: Any) -> Any:
    """Return the mapping of our node's parameters, the most specific one."""
    found = list(_sections(tree, ''))
    ours = [part for name, part in found if name.rpartition('/')[2] == NODE]
    general = [part for name, part in found if name in ANY_NODE or name.endswith(('/*', '/**'))]
    if not ours + general:
        names = ', '.join(name for name, _ in found)
        raise SettingError(f'{path} has parameters for {names or "no node"}', WANTED)
    return (ours + general)[0]


def _sections(tree: Any, prefix: str) -> List[Tuple[str, Any]]:
    """Return the names and parameters of all nodes; namespaces may be nested."""
    if not isinstance(tree, dict):
        return []
    found = []
    for name, part in tree.items():
        path = f'{prefix}/{name}'.replace('//', '/')
        parameters = part.get(PARAMETERS) if isinstance(part, dict) else None
        if isinstance(parameters, dict):
            found.append((path, parameters))
        elif isinstance(part, dict):
            found += _sections(part, path)
    return found


def _keep(path: Path) -> str:
    """Give the old file a second name that is new; no byte is copied where links work."""
    if not path.exists():
        return ''
    for number in range(MOST_BACKUPS):
        backup = path.with_name(f'{path.name}.bak{number or ""}')
        try:
            os.link(path, backup)
            return str(backup)
        except FileExistsError:
            continue
        except OSError:  # a file system without links
            if not os.path.lexists(backup):
                write_file(backup, path.read_bytes())
                return str(backup)
    raise SettingError(f'{path}.bak to .bak{MOST_BACKUPS - 1} exist', 'fewer old files')


def _unwritable(path: Path, error: OSError) -> SettingError:
    return SettingError(f'{path} cannot be written: {error.strerror}',
                        'a directory of your own, with free space', 'free some, or name another')
