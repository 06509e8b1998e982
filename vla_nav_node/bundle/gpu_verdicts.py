"""
The verdicts of `vla_nav verify` on this machine's GPUs, by which `device: auto` takes one or not.

A verdict covers one model on one kind of GPU with one version of a library. It belongs to this
machine and not to a bundle, so it is in the user's cache, in a file named by a hash of all that.
"""

import hashlib
import json
import logging
import os
from pathlib import Path
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence

from .bundle import Bundle
from .verdicts import decisive_hash, files_of, join_problems, THRESHOLDS
from ..errors import BackendError
from ..system.atomic_files import write_file
from ..system.user_cache import cache_root, cannot_write, is_own, own_directory
from ..types import BackendInfo

MOST_BYTES = 1 << 16  # of a file
LOG = logging.getLogger(__name__)


class GpuVerdict(NamedTuple):
    """Whether a model passed on a kind of GPU."""

    passed: bool
    problems: List[str]


class DeviceChoice(NamedTuple):
    """The device that `auto` takes; if it leaves a GPU unused, the reason and the fix."""

    device: str
    reason: str = ''
    command: str = ''  # to run for a verdict on that GPU

    @property
    def note(self) -> str:
        """Return reason and command in one line, '' if there is none."""
        return self.reason and f'{self.reason}; to drive on it: {self.command}'


def verdicts_directory() -> Path:
    """Return the directory of the verdicts."""
    return cache_root() / 'verdicts'


def key_of(bundle: Bundle, info: BackendInfo, gpu: str) -> Dict[str, str]:
    """Return everything that a verdict depends on; `gpu` is the GPU's model name."""
    judged = [files_of(bundle, info.name, info.precision), decisive_hash(bundle),
              THRESHOLDS[info.precision]]
    return {'model': hashlib.sha256(json.dumps(judged, sort_keys=True).encode()).hexdigest(),
            'backend': info.name, 'library': info.library, 'version': info.version, 'gpu': gpu,
            'precision': info.precision}


def gpu_of(info: BackendInfo) -> str:
    """Return the model name of the GPU that a backend runs on, '' for the CPU."""
    return info.device[len('cuda ('):-1] if info.device.startswith('cuda (') else ''


def save_verdict(bundle: Bundle, info: BackendInfo, problems: Sequence[str]) -> bool:
    """Save the verdict on a backend that ran on a GPU; return whether it did."""
    gpu = gpu_of(info)
    if not gpu:
        return False
    key, directory = key_of(bundle, info, gpu), own_directory(verdicts_directory(), 'verdict')
    document = {'key': key, 'passed': not problems, 'problems': list(problems)}
    try:
        write_file(directory / _name(key), json.dumps(document, indent=1).encode())
    except OSError as error:
        raise cannot_write(directory, error, 'verdict') from None
    return True


def find_verdict(key: Mapping[str, str]) -> Optional[GpuVerdict]:
    """Return the verdict with this key; None if there is none that can be trusted."""
    path = verdicts_directory() / _name(key)
    try:
        with open(path, 'rb', opener=_open_regular_file) as file:
            if not is_own(os.fstat(file.fileno())) or not is_own(os.stat(path.parent)):
                LOG.warning('%s can be written by other users, and is ignored', path)
                return None
            return _parsed(file.read(MOST_BYTES), key)
    except FileNotFoundError:
        return None
    except OSError as error:
        LOG.warning('%s cannot be read (%s), and is ignored', path, error.strerror)
        return None


def choose_device(bundle: Bundle, info: BackendInfo, gpus: Sequence[str]) -> DeviceChoice:
    """
    Return the device that `auto` takes for a backend.

    Of `info`, device and provider do not matter. `gpus` are the model names of this machine's
    GPUs; a backend runs on the first.
    """
    if not gpus:
        return DeviceChoice('cpu')
    verdict = find_verdict(key_of(bundle, info, gpus[0]))
    if verdict and verdict.passed:
        return DeviceChoice('cuda')
    why = f'did not pass there: {join_problems(verdict.problems)}' if verdict else \
        'has not been verified there'
    return DeviceChoice(
        'cpu', f'{gpus[0]} is here, but {info.name} {info.version} in {info.precision} {why}',
        f'vla_nav verify {bundle.directory} --backends {info.name} --precisions {info.precision} '
        '--device cuda')


def unverified_error(choice: DeviceChoice) -> BackendError:
    """Return the error for a backend that needs a GPU which `auto` must not take."""
    return BackendError(choice.reason, "a verdict 'passed' from this machine",
                        f"run '{choice.command}', or set device to cuda")


def _name(key: Mapping[str, str]) -> str:
    text = json.dumps(dict(key), sort_keys=True)
    return f'{hashlib.sha256(text.encode()).hexdigest()[:32]}.json'


def _open_regular_file(path: str, flags: int) -> int:
    """Open a file, but follow no link and do not wait for a pipe."""
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)


def _parsed(text: bytes, key: Mapping[str, str]) -> Optional[GpuVerdict]:
    try:
        document: Any = json.loads(text)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict) or document.get('key') != key or not isinstance(
            document.get('problems'), list):
        LOG.warning('a verdict on %s is damaged, and is ignored', key['gpu'])
        return None
    problems = document['problems']
    return GpuVerdict(document.get('passed') is True and not problems, problems)
