"""Start the process that builds an engine, and report its progress and its end."""

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
from ...system.machine import with_package

BUILDER = f'{__package__}.engine_builder'
ROOM = 2  # times the graph's size; an engine is about as large as its graph
LOG = logging.getLogger(__name__)


def build_engine(graph: Path, key: EngineKey, cache: EngineCache, name: str) -> None:
    """
    Build the engine for `key` from `graph` into the cache; this takes minutes.

    Other threads go on meanwhile. Raise BackendError with the reason if the build fails.
    """
    _check_room(graph, cache.directory)
    LOG.info('building the TensorRT engine of %s (%s) for %s: minutes, but only once', name,
             key.precision, key.gpu)
    order = {'key': asdict(key), 'graph': str(graph), 'directory': str(cache.directory)}
    with tempfile.TemporaryFile() as errors:
        with subprocess.Popen([sys.executable, '-m', BUILDER], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE, stderr=errors, text=True,
                              env=with_package(os.environ)) as process:
            assert process.stdin and process.stdout
            # Unbuffered, and left open: it closes when this process ends, and so the builder ends.
            os.write(process.stdin.fileno(), json.dumps(order).encode() + b'\n')
            refusal = _follow(process.stdout, name)
            process.wait()  # leaving the block closes its input, which ends a builder at once
        if process.returncode:
            raise BackendError(*refusal) if refusal else _died(process.returncode, errors)
    LOG.info('the TensorRT engine of %s (%s) is built', name, key.precision)


def _follow(lines: IO[str], name: str) -> List[str]:
    """Log the progress; return the three parts of an error, if there was one."""
    refusal: List[str] = []
    for line in lines:
        message = json.loads(line)
        if 'progress' in message:
            LOG.info('building the TensorRT engine of %s: %s', name, message['progress'])
        refusal = message.get('error', refusal)
    return refusal


def _died(status: int, errors: IO[bytes]) -> BackendError:
    errors.seek(0)
    output = errors.read()[-4096:].decode(errors='replace').strip().splitlines()
    how = (f'was killed by {signal.Signals(-status).name}' if status < 0
           else f'ended with status {status}')
    return BackendError(
        f'the process that builds the engine {how}: {output[-1] if output else ""}',
        fix='free memory if it was killed; else report this')


def _check_room(graph: Path, directory: Path) -> None:
    needed, free = ROOM * graph.stat().st_size, shutil.disk_usage(directory).free
    if free < needed:
        raise BackendError(f'{directory} has {free / 1e6:.0f} MB left, too little for an engine',
                           f'about {needed / 1e6:.0f} MB',
                           'free some space there, or set XDG_CACHE_HOME to another place')
