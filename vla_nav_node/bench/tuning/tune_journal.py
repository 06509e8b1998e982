"""What is measured so far, on the disk: after Ctrl-C, --resume goes on from there."""

import json
from pathlib import Path
from typing import Any, Callable, Dict, Mapping

from ...errors import BackendError, SettingError
from ...system.outputs import write_json

NAME = 'tune.journal.json'
FAILED = 'failed'


class Journal:
    """Measurements by name; each is taken once, and survives the process."""

    def __init__(self, path: Path, key: Mapping[str, str], resume: bool) -> None:
        """Start a new one, or continue that at `path`; raise SettingError if it is another's."""
        self._path, self._key = path, dict(key)
        self._entries: Dict[str, Any] = {}
        self.spent_s = 0.0
        if resume:
            self._read()

    def once(self, name: str, measure: Callable[[], Any]) -> Any:
        """Return a measurement from the journal, or take it now; BackendError is kept, too."""
        if name not in self._entries:
            try:
                self._entries[name] = measure()
            except BackendError as error:
                self._entries[name] = {FAILED: [error.found, error.expected, error.fix]}
            self._write()
        found = self._entries[name]
        if isinstance(found, dict) and FAILED in found:
            raise BackendError(*found[FAILED])
        return found

    def has(self, name: str) -> bool:
        """Return whether something has been measured."""
        return name in self._entries

    def _write(self) -> None:
        write_json(self._path, {'key': self._key, 'spent_s': self.spent_s,
                                'entries': self._entries}, indent=None)

    def _read(self) -> None:
        try:
            found = json.loads(self._path.read_text(encoding='utf-8'))
            key, entries = dict(found['key']), dict(found['entries'])
            self.spent_s = float(found['spent_s'])
        except FileNotFoundError:
            raise SettingError(f'nothing to resume in {self._path.parent}', 'the folder of an '
                               'interrupted tuning', 'leave out --resume') from None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise SettingError(f'{self._path} cannot be read: {error}', 'a journal of this verb',
                               'leave out --resume') from None
        other = [f'{name} was {key.get(name)}, is {value}' for name, value in self._key.items()
                 if key.get(name) != value]
        if other:
            raise SettingError(f'{self._path} is of another tuning: ' + '; '.join(other),
                               'the same model, machine and options',
                               'leave out --resume, or name another --output')
        self._entries = entries
