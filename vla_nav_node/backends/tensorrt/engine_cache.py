"""
TensorRT's engines on the disk: each is built once, and loaded only if it is unchanged.

An engine is code for one GPU and one version of TensorRT, so it is not part of a bundle and no
other user's engine is trusted. The user's own cache directory has it under a name made from all
it depends on, with a header of its length and SHA-256. If anything differs, it is built again.
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
from typing import Any, Callable, Dict, Iterator, NamedTuple, Tuple, Union

from ...errors import BackendError
from ...system.atomic_files import flush
from ...system.user_cache import cache_root, cannot_write, is_own, own_directory

MAGIC = b'vla_nav engine 1\n'
MAX_HEADER = 1 << 16  # bytes
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
    recipe: int  # engine_graph.GRAPH_VERSION
    builder_optimization_level: int = 3  # TensorRT's own default
    max_aux_streams: int = -1  # as TensorRT decides

    @property
    def file_name(self) -> str:
        text = json.dumps(asdict(self), sort_keys=True)
        return f'{hashlib.sha256(text.encode()).hexdigest()[:32]}.engine'


class Engine(NamedTuple):
    """An engine and what its builder recorded about it."""

    plan: Bytes  # as TensorRT serialises it
    facts: Dict[str, Any]  # StepFacts, and the seconds of the build


class NoEngine(BackendError):
    """No engine for a key can be loaded; the message says why."""


def cache_directory() -> Path:
    """Return the directory of the engines."""
    return cache_root() / 'engines'


class EngineCache:
    """A directory of engines, which only this user can write."""

    def __init__(self, directory: Path) -> None:
        """Create the directory; raise BackendError if that fails or others can write it."""
        self.directory = own_directory(directory)

    def load(self, key: EngineKey) -> Engine:
        """Read the engine for `key`, or raise NoEngine with the reason."""
        path = self.directory / key.file_name
        try:
            with open(path, 'rb', opener=_open_file_only) as file:
                return _read(file, key)
        except FileNotFoundError:
            raise NoEngine('it has not been built yet') from None
        except OSError as error:
            raise NoEngine(f'{path.name} cannot be read ({error.strerror})') from None

    def load_or_build(self, key: EngineKey, build: Callable[[], Engine]) -> None:
        """
        Make sure that the directory has the engine; of several processes only one builds it.

        Raise BackendError if `build` does, or if the engine cannot be stored.
        """
        with self._lock(key):
            try:
                self.load(key)  # another process may have built it during the wait
            except NoEngine:
                self.store(key, build())

    def store(self, key: EngineKey, engine: Engine) -> None:
        """Write an engine atomically."""
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
        """Hold a lock between processes; it is released if its process dies."""
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


def headers(directory: Path) -> Iterator[Tuple[Path, Dict[str, Any]]]:
    """Yield the engines in a directory with what each depends on; {} for a damaged one."""
    for path in sorted(directory.glob('*.engine')):
        try:
            with open(path, 'rb', opener=_open_file_only) as file:
                header = _parse(file.readline(len(MAGIC)), file.readline(MAX_HEADER))
        except OSError:
            header = None
        yield path, header['key'] if header else {}


def _open_file_only(path: str, flags: int) -> int:
    """Open a file without following a link or waiting for a pipe."""
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)


def _read(file: Any, key: EngineKey) -> Engine:
    name, status = key.file_name, os.fstat(file.fileno())
    if not stat.S_ISREG(status.st_mode) or not is_own(status):
        raise NoEngine(f'{name} is not a file that only this user writes')
    header = _parse(file.readline(len(MAGIC)), file.readline(MAX_HEADER))
    if header is None:
        raise NoEngine(f'{name} does not begin with the header of an engine')
    if header['key'] != asdict(key):
        raise NoEngine(f'{name} is an engine of something else')
    left = status.st_size - file.tell()
    if left != header['bytes']:
        raise NoEngine(f'{name} has {left} bytes of engine instead of {header["bytes"]}')
    plan = file.read(left)
    if len(plan) != left or _digest(header['key'], header['facts'], plan) != header['sha256']:
        raise NoEngine(f'{name} is altered (its SHA-256 differs)')
    return Engine(plan, header['facts'])


def _parse(magic: bytes, line: bytes) -> Any:
    """Return the header, None if it is invalid."""
    if magic != MAGIC:
        return None
    try:
        header = json.loads(line)
    except (ValueError, RecursionError):
        return None
    kinds = {'key': dict, 'facts': dict, 'bytes': int, 'sha256': str}
    valid = isinstance(header, dict) and header.keys() == kinds.keys() and all(
        isinstance(header[name], kind) for name, kind in kinds.items())
    return header if valid else None


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
