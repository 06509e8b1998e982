"""Reports of the verbs: never over what a verb reads, nor over anything but an earlier report."""

import argparse
import json
import os
from pathlib import Path
from typing import Any, Iterator, Sequence

from .atomic_files import write_file
from ..errors import SettingError


def check_json(args: argparse.Namespace) -> None:
    """Raise SettingError where --json names what must not be replaced; before any work."""
    path = getattr(args, 'json', None)
    if path is None:
        return
    _refuse_inputs(path, args)
    if os.path.isdir(path):
        raise SettingError(f'--json {path} is a directory', 'a file', 'name one in it')
    if os.path.isfile(path) and not _is_report(path):
        raise SettingError(f'--json {path} is a file of something else',
                           'a new file, or one of JSON, which is replaced', 'name another one')


def write_json(path: Path, document: Any, **how: Any) -> None:
    """Write a document, whole or not at all, or raise SettingError; see json.dumps for `how`."""
    text = json.dumps(document, **{'indent': 1, **how}) + '\n'
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and not path.is_file():  # a pipe, a terminal
            path.write_text(text, encoding='utf-8')
        else:
            write_file(path.resolve(), text.encode())
    except OSError as error:
        raise SettingError(f'{path} cannot be written: {error.strerror}',
                           'a place that is yours, with space', 'name another one') from None


def make_report_folder(args: argparse.Namespace, names: Sequence[str], proof: str) -> None:
    """
    Make the folder --out for a report in files of these names; before any work.

    Those that are there are replaced only beside `proof`, the one that is written first. Raise
    SettingError for what must not be replaced.
    """
    folder = args.out
    there = [name for name in names if os.path.lexists(folder / name)]
    for name in there:
        _refuse_inputs(folder / name, args)
    ours = (folder / proof).is_file() and (
        not proof.endswith('.json') or _is_report(folder / proof))
    strange = [name for name in there if not ours or os.path.islink(folder / name)]
    if strange:
        raise SettingError(f'{folder} has {", ".join(strange)}, and not of an earlier report',
                           'a new directory, or one with an earlier report',
                           'move what is yours away, or name another one with --out')
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingError(f'--out {folder}: {error.strerror}', 'a directory that is yours') \
            from None


def _refuse_inputs(path: Path, args: argparse.Namespace) -> None:
    for name, value in vars(args).items():
        for other in _texts(value) if name not in ('json', 'out') else ():
            if os.path.exists(path) and os.path.exists(other) and os.path.samefile(path, other):
                raise SettingError(f'{path} would be written over, and is what is read',
                                   'another file', 'name another one')


def _texts(value: Any) -> Iterator[str]:
    """Return what an argument says, which may be the name of a file."""
    if isinstance(value, (list, tuple)):
        for item in value:
            yield from _texts(item)
    elif isinstance(value, (str, Path)):
        yield str(value)


def _is_report(path: Path) -> bool:
    """Tell whether a file is empty, or one JSON document."""
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
