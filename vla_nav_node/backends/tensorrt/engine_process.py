"""Start the process that builds an engine, and pass on what it tells."""

from dataclasses import asdict
import json
import logging
import os
from pathlib import Path
import shutil
import signal
import subprocess
import sys
import tempfile
from typing import IO, List

from .engine_cache import EngineCache, EngineKey
from ...errors import BackendError

BUILDER = f'{__package__}.engine_builder'
ROOM = 2  # times the graph's size; an engine is about as large as its graph
LOG = logging.getLogger(__name__)


def build_engine(graph: Path, key: EngineKey, cache: EngineCache, name: str) -> None:
    """
    Have the engine for `key` built from `graph` and put into the cache; this takes minutes.

    Other threads go on meanwhile. Raise BackendError with the reason if it cannot be done.
    """
    _check_room(graph, cache.directory)
    LOG.info('building the TensorRT engine of %s (%s) for %s: minutes, but only once', name,
             key.precision, key.gpu)
    order = {'key': asdict(key), 'graph': str(graph), 'directory': str(cache.directory)}
    with tempfile.TemporaryFile() as errors:
        with subprocess.Popen([sys.executable, '-m', BUILDER], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE, stderr=errors, text=True,
                              env={**os.environ, 'PYTHONPATH': _search_path()}) as process:
            assert process.stdin and process.stdout
            # Unbuffered, and it stays open: when we are gone, it closes, and the builder ends.
            os.write(process.stdin.fileno(), json.dumps(order).encode() + b'\n')
            refusal = _listen(process.stdout, name)
        if process.returncode:
            raise BackendError(*refusal) if refusal else _died(process.returncode, errors)
    LOG.info('the TensorRT engine of %s (%s) is built', name, key.precision)


def _listen(lines: IO[str], name: str) -> List[str]:
    """Log the progress; give the three parts of an error, if there was one."""
    refusal: List[str] = []
    for line in lines:
        told = json.loads(line)
        if 'progress' in told:
            LOG.info('building the TensorRT engine of %s: %s', name, told['progress'])
        refusal = told.get('error', refusal)
    return refusal


def _search_path() -> str:
    """Have the process find this package, however we have found it."""
    return os.pathsep.join([str(Path(__file__).resolve().parents[3]),
                            *filter(None, [os.environ.get('PYTHONPATH')])])


def _died(status: int, errors: IO[bytes]) -> BackendError:
    errors.seek(0)
    said = errors.read()[-4096:].decode(errors='replace').strip().splitlines()
    how = (f'was killed by {signal.Signals(-status).name}' if status < 0
           else f'ended with status {status}')
    return BackendError(f'the process that builds the engine {how}: {said[-1] if said else ""}',
                        fix='free memory if it was killed; else report this')


def _check_room(graph: Path, directory: Path) -> None:
    wanted, free = ROOM * graph.stat().st_size, shutil.disk_usage(directory).free
    if free < wanted:
        raise BackendError(f'{directory} has {free / 1e6:.0f} MB left, too little for an engine',
                           f'about {wanted / 1e6:.0f} MB',
                           'free some space there, or set XDG_CACHE_HOME to another place')
