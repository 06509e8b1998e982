"""Reports of the verbs: they replace earlier reports, but no input and no other file."""

import argparse
import json
import os
from pathlib import Path
from typing import Any, Container, Iterable, Iterator, Sequence

from .atomic_files import write_file
from ..errors import SettingError


def check_json(args: argparse.Namespace) -> None:
    """Raise SettingError if --json names a file that must not be replaced; before any work."""
    path = getattr(args, 'json', None)
    if path is None:
        return
    _refuse_inputs(path, args)
    if os.path.isdir(path):
        raise SettingError(f'--json {path} is a directory', 'a file', 'name one in it')
    if os.path.isfile(path) and not _is_report(path):
        raise SettingError(f'--json {path} is a file of something else',
                           'a new file, or a JSON file to replace', 'name another one')


def write_json(path: Path, document: Any, **how: Any) -> None:
    """Write a document in one step; raise SettingError on failure. `how` is for json.dumps."""
    text = json.dumps(document, **{'indent': 1, **how}) + '\n'
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and not path.is_file():  # a pipe, a terminal
            path.write_text(text, encoding='utf-8')
        else:
            write_file(path.resolve(), text.encode())
    except OSError as error:
        raise SettingError(f'{path} cannot be written: {error.strerror}',
                           'a directory of your own, with free space',
                           'name another one') from None


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]],
                texts: Container[str]) -> None:
    """Print a table; columns named in `texts` are aligned left, the others right."""
    from rich.console import Console
    from rich.table import Table
    table = Table(title=title)
    for column in columns:
        table.add_column(column, justify='left' if column in texts else 'right')
    for row in rows:
        table.add_row(*row)
    Console().print(table)


def make_report_folder(args: argparse.Namespace, names: Sequence[str], proof: str) -> None:
    """
    Create the folder --out for a report in files of these names; before any work.

    Existing ones are replaced only if `proof`, which every report writes first, is there, too.
    Raise SettingError for a file that must not be replaced.
    """
    folder = args.out
    present = [name for name in names if os.path.lexists(folder / name)]
    for name in present:
        _refuse_inputs(folder / name, args)
    has_report = (folder / proof).is_file() and (
        not proof.endswith('.json') or _is_report(folder / proof))
    foreign = [name for name in present if not has_report or os.path.islink(folder / name)]
    if foreign:
        raise SettingError(f'{folder} has {", ".join(foreign)}, and not of an earlier report',
                           'a new directory, or one with an earlier report',
                           'move your own files away, or name another one with --out')
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingError(f'--out {folder}: {error.strerror}', 'a directory of your own') \
            from None


def _refuse_inputs(path: Path, args: argparse.Namespace) -> None:
    for name, value in vars(args).items():
        for other in _texts(value) if name not in ('json', 'out') else ():
            if os.path.exists(path) and os.path.exists(other) and os.path.samefile(path, other):
                raise SettingError(f'{path} would be overwritten, and is an input',
                                   'another file', 'name another one')


def _texts(value: Any) -> Iterator[str]:
    """Yield the texts of an argument's value, which may be names of files."""
    if isinstance(value, (list, tuple)):
        for item in value:
            yield from _texts(item)
    elif isinstance(value, (str, Path)):
        yield str(value)


def _is_report(path: Path) -> bool:
    """Return whether a file is empty or a JSON document."""
    try:
        with open(path, 'rb') as file:
            start = file.read(1)
            if start in (b'{', b'['):
                file.seek(0)
                json.load(file)
                return True
            return not start
    except (OSError, ValueError, RecursionError):
        return False
