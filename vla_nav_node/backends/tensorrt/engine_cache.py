"""
TensorRT's engines on the disk: each built once, and loaded only if it is that very one.

An engine is code for one GPU and one version of TensorRT, so it is no part of a bundle and is
taken from nobody: it lies in the user's own cache directory, under a name that is made from all it
depends on, behind a header with its length and SHA-256. What does not fit is built again.
"""

from contextlib import contextmanager
from dataclasses import asdict, dataclass
import fcntl
import hashlib
import json
import logging
import os
from pathlib import Path
import stat
import tempfile
from typing import Any, Callable, Dict, Iterator, NamedTuple, Union

from ...errors import BackendError
from ...system.atomic_files import flush
from ...system.user_cache import cache_root, cannot_write, is_own, own_directory

MAGIC = b'vla_nav engine 1\n'
MOST_HEADER = 1 << 16  # bytes
BLOCK = 1 << 24
LOG = logging.getLogger(__name__)
Bytes = Union[bytes, bytearray, memoryview]


@dataclass(frozen=True)
class EngineKey:
    """All that an engine depends on."""

    model: str  # SHA-256 of the graph it is built from
    tensorrt: str  # version
    gpu: str  # name
    capability: str
    uuid: str  # of the GPU
    precision: str
    shapes: str  # of the graph's inputs and outputs
    recipe: int  # how we build; counted up when that changes

    @property
    def file_name(self) -> str:
        """Return the name of its file."""
        text = json.dumps(asdict(self), sort_keys=True)
        return f'{hashlib.sha256(text.encode()).hexdigest()[:32]}.engine'


class Engine(NamedTuple):
    """An engine and what its builder found out about it."""

    plan: Bytes  # as TensorRT serialises it
    facts: Dict[str, Any]


class NoEngine(BackendError):
    """There is no engine for a key that may be loaded; the message says why."""


def cache_directory() -> Path:
    """Return the directory of the engines."""
    return cache_root() / 'engines'


class EngineCache:
    """One directory of engines, which belongs to this user and in which nobody else writes."""

    def __init__(self, directory: Path) -> None:
        """Make the directory, or raise BackendError if it cannot be trusted or made."""
        self.directory = own_directory(directory)

    def load(self, key: EngineKey) -> Engine:
        """Read the engine for `key`, or raise NoEngine with why there is none to be used."""
        path = self.directory / key.file_name
        try:
            with open(path, 'rb', opener=_open_nothing_else) as file:
                return _read(file, key)
        except FileNotFoundError:
            raise NoEngine('it has not been built yet') from None
        except OSError as error:
            raise NoEngine(f'{path.name} cannot be read ({error.strerror})') from None

    def load_or_build(self, key: EngineKey, build: Callable[[], Engine]) -> None:
        """
        Have an engine for `key` in the directory; of several processes only one builds it.

        Raise BackendError if `build` does, or if the engine cannot be kept.
        """
        with self._lock(key):
            try:
                self.load(key)  # someone else may have built it while we waited
            except NoEngine:
                self.store(key, build())

    def store(self, key: EngineKey, engine: Engine) -> None:
        """Write an engine, whole or not at all."""
        path, temporary = self.directory / key.file_name, None
        try:
            with tempfile.NamedTemporaryFile(dir=self.directory, prefix='.', suffix='.part',
                                             delete=False) as file:
                temporary = Path(file.name)
                _write(file, key, engine)
            os.replace(temporary, path)
            flush(self.directory)
        except OSError as error:
            if temporary is not None:
                temporary.unlink(missing_ok=True)
            raise cannot_write(self.directory, error, size=len(engine.plan)) from None

    def forget(self, key: EngineKey) -> None:
        """Remove the engine for `key`, if there is one."""
        try:
            (self.directory / key.file_name).unlink(missing_ok=True)
        except OSError as error:
            raise cannot_write(self.directory, error) from None

    @contextmanager
    def _lock(self, key: EngineKey) -> Iterator[None]:
        """Hold what only one process at a time can hold; it is free again if that one dies."""
        path = self.directory / f'{key.file_name}.lock'
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise cannot_write(self.directory, error) from None
        with open(handle, 'rb'):
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                LOG.info('another process is building the same engine; waiting for it')
                fcntl.flock(handle, fcntl.LOCK_EX)
            yield


def _open_nothing_else(path: str, flags: int) -> int:
    """Open a file, but follow no link and wait for no pipe."""
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)


def _read(file: Any, key: EngineKey) -> Engine:
    name, found = Path(key.file_name).name, os.fstat(file.fileno())
    if not stat.S_ISREG(found.st_mode) or not is_own(found):
        raise NoEngine(f'{name} is not a file that only this user writes')
    header = _parse(file.readline(len(MAGIC)), file.readline(MOST_HEADER))
    if header is None:
        raise NoEngine(f'{name} does not begin as an engine of ours does')
    if header['key'] != asdict(key):
        raise NoEngine(f'{name} is an engine of something else')
    left = found.st_size - file.tell()
    if left != header['bytes']:
        raise NoEngine(f'{name} has {left} bytes of engine instead of {header["bytes"]}')
    plan = file.read(left)
    if len(plan) != left or _digest(header['key'], header['facts'], plan) != header['sha256']:
        raise NoEngine(f'{name} is altered (its SHA-256 differs)')
    return Engine(plan, header['facts'])


def _parse(magic: bytes, line: bytes) -> Any:
    """Return the header, None if it is none."""
    if magic != MAGIC:
        return None
    try:
        header = json.loads(line)
    except (ValueError, RecursionError):
        return None
    kinds = {'key': dict, 'facts': dict, 'bytes': int, 'sha256': str}
    sound = isinstance(header, dict) and header.keys() == kinds.keys() and all(
        isinstance(header[name], kind) for name, kind in kinds.items())
    return header if sound else None


def _write(file: Any, key: EngineKey, engine: Engine) -> None:
    header = {'key': asdict(key), 'facts': engine.facts, 'bytes': len(engine.plan),
              'sha256': _digest(asdict(key), engine.facts, engine.plan)}
    file.write(MAGIC + json.dumps(header).encode() + b'\n')
    plan = memoryview(engine.plan)
    for start in range(0, len(plan), BLOCK):
        file.write(plan[start:start + BLOCK])
    file.flush()
    os.fsync(file.fileno())


def _digest(key: Dict[str, Any], facts: Dict[str, Any], plan: Bytes) -> str:
    digest = hashlib.sha256(json.dumps([key, facts], sort_keys=True).encode())
    digest.update(plan)
    return digest.hexdigest()
