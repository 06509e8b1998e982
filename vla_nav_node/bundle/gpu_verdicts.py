"""
What `vla_nav verify` found on the GPUs of this machine: by that `device: auto` takes one, or not.

A verdict is about one model on one kind of GPU by one version of a library. It lies in the user's
own cache, since it is of this machine and no part of a bundle, in a file whose name is made from
all that.
"""

import hashlib
import json
import logging
import os
from pathlib import Path
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence

from .bundle import Bundle
from .verdicts import decisive_hash, files_of, GATES, problem_told
from ..errors import BackendError
from ..system.atomic_files import write_file
from ..system.user_cache import cache_root, cannot_write, is_own, own_directory
from ..types import BackendInfo

MOST_BYTES = 1 << 16  # of a file
LOG = logging.getLogger(__name__)


class GpuVerdict(NamedTuple):
    """What was found."""

    passed: bool
    problems: List[str]


class DeviceChoice(NamedTuple):
    """The device that `auto` takes; where it leaves a GPU alone, why and what to run."""

    device: str
    found: str = ''
    run: str = ''

    @property
    def note(self) -> str:
        """Return both in one line."""
        return self.found and f'{self.found}; to drive on it: {self.run}'


def verdicts_directory() -> Path:
    """Return the directory of the verdicts."""
    return cache_root() / 'verdicts'


def key_of(bundle: Bundle, info: BackendInfo, gpu: str) -> Dict[str, str]:
    """Return all that a verdict depends on; `gpu` is the name of the kind of GPU."""
    judged = [files_of(bundle, info.name, info.precision), decisive_hash(bundle),
              GATES[info.precision]]
    return {'model': hashlib.sha256(json.dumps(judged, sort_keys=True).encode()).hexdigest(),
            'backend': info.name, 'library': info.library, 'version': info.version, 'gpu': gpu,
            'precision': info.precision}


def gpu_of(info: BackendInfo) -> str:
    """Return the kind of GPU that a backend runs on, '' for the CPU."""
    return info.device[len('cuda ('):-1] if info.device.startswith('cuda (') else ''


def keep(bundle: Bundle, info: BackendInfo, problems: Sequence[str]) -> bool:
    """Write down what was found of a backend, if it ran on a GPU; tell whether it did."""
    gpu = gpu_of(info)
    if gpu:
        key, directory = key_of(bundle, info, gpu), own_directory(verdicts_directory(), 'verdict')
        found = {'key': key, 'passed': not problems, 'problems': list(problems)}
        try:
            write_file(directory / _name(key), json.dumps(found, indent=1).encode())
        except OSError as error:
            raise cannot_write(directory, error, 'verdict') from None
    return bool(gpu)


def find(key: Mapping[str, str]) -> Optional[GpuVerdict]:
    """Return the verdict on all of that, None where there is none that can be trusted."""
    path = verdicts_directory() / _name(key)
    try:
        with open(path, 'rb', opener=_open_nothing_else) as file:
            if not is_own(os.fstat(file.fileno())) or not is_own(os.stat(path.parent)):
                LOG.warning('%s can be written by others, and counts for nothing', path)
                return None
            return _parsed(file.read(MOST_BYTES), key)
    except FileNotFoundError:
        return None
    except OSError as error:
        LOG.warning('%s cannot be read (%s), and counts for nothing', path, error.strerror)
        return None


def choose(bundle: Bundle, info: BackendInfo, gpus: Sequence[str]) -> DeviceChoice:
    """
    Give what `device: auto` takes for a backend as `info` tells it, device and provider aside.

    `gpus` are the kinds of the GPUs that are here; a backend runs on the first.
    """
    if not gpus:
        return DeviceChoice('cpu')
    verdict = find(key_of(bundle, info, gpus[0]))
    if verdict and verdict.passed:
        return DeviceChoice('cuda')
    why = f'did not pass there: {problem_told(verdict.problems)}' if verdict else \
        'has not been verified there'
    return DeviceChoice(
        'cpu', f'{gpus[0]} is here, but {info.name} {info.version} in {info.precision} {why}',
        f'vla_nav verify {bundle.directory} --backends {info.name} --precisions {info.precision} '
        '--device cuda')


def unverified(choice: DeviceChoice) -> BackendError:
    """Return the error for what only a GPU can run, and `auto` must not."""
    return BackendError(choice.found, 'a verdict of this machine',
                        f"run '{choice.run}', or set device to cuda")


def _name(key: Mapping[str, str]) -> str:
    text = json.dumps(dict(key), sort_keys=True)
    return f'{hashlib.sha256(text.encode()).hexdigest()[:32]}.json'


def _open_nothing_else(path: str, flags: int) -> int:
    """Open a file, but follow no link and wait for no pipe."""
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)


def _parsed(text: bytes, key: Mapping[str, str]) -> Optional[GpuVerdict]:
    try:
        found: Any = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict) or found.get('key') != key or not isinstance(
            found.get('problems'), list):
        LOG.warning('a verdict on %s is damaged, and counts for nothing', key['gpu'])
        return None
    return GpuVerdict(found.get('passed') is True and not found['problems'], found['problems'])
