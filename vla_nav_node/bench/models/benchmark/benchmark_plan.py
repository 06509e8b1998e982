"""Which rows there are for a policy: every backend and precision, and what people had before."""

from dataclasses import dataclass
from itertools import product
import os
from pathlib import Path
from typing import Dict, Iterator, List, Sequence, Tuple

from ..runners.contestant import Contestant, recipe_of
from ....backends import BACKENDS, is_installed
from ....backends.options import BackendOptions
from ....bundle.bundle import Bundle, WEIGHTS
from ....bundle.verdicts import files_read

ONE_SHOT = 'one-shot export'


@dataclass(frozen=True)
class Entry:
    """A row to be: one contestant, or several of which the quickest stands for all."""

    label: str
    alternatives: Tuple[Contestant, ...]  # the same but for the number of threads


@dataclass(frozen=True)
class Plan:
    """The rows of one policy, and those it cannot have with the reason."""

    policy: str
    bundle: Bundle
    entries: List[Entry]
    absent: Dict[str, str]


def plan_rows(policy: str, bundle: Bundle, precisions: Sequence[str], device: str,
              one_shot: bool, folder: Path, torch_modes: Sequence[str] = ('auto',)) -> Plan:
    """List every backend and precision; `folder` is where a one-shot export may be written."""
    entries: List[Entry] = []
    absent: Dict[str, str] = {}
    for backend, precision, mode in _kinds(precisions, torch_modes):
        label = ' '.join([backend, precision, *([] if mode == 'auto' else [mode])])
        reason = absence(bundle, backend, precision)
        if reason:
            absent[label] = reason
        else:
            entries.append(Entry(label, _with_threads(
                Contestant(label, 'bundle', bundle.directory, precision, backend, device,
                           options=BackendOptions(torch_mode=mode)),
                _threads(backend, mode))))
    if one_shot and WEIGHTS not in bundle.manifest['files']:
        absent[ONE_SHOT] = f'the bundle has no {WEIGHTS}'
    elif one_shot:
        path = _write_one_shot(policy, bundle, folder)
        contestant = Contestant(ONE_SHOT, 'onnx', path, device=device, recipe=recipe_of(bundle))
        entries.append(Entry(ONE_SHOT, _with_threads(contestant, (0, 1))))
    return Plan(policy, bundle, entries, absent)


def absence(bundle: Bundle, backend: str, precision: str) -> str:
    """Say why there can be no such row; empty when there can."""
    if not is_installed(backend):
        return f'the Python package {BACKENDS[backend].package} is not installed'
    name, = files_read(bundle, backend, precision)
    if name not in bundle.manifest['files']:
        return f'the bundle has no {name}'
    return 'torch has no int8 here' if (backend, precision) == ('torch', 'int8') else ''


def _kinds(precisions: Sequence[str],
           torch_modes: Sequence[str]) -> Iterator[Tuple[str, str, str]]:
    """Return backend, precision and torch_mode of each row."""
    for backend in BACKENDS:
        yield from product([backend], precisions, torch_modes if backend == 'torch' else ['auto'])


def _threads(backend: str, mode: str) -> Sequence[int]:
    """
    Give on how many threads to try a row; 0 for what the backend chose.

    torch at its best, since it is what the others are held against; a backend of ours has chosen
    already, and compiled code is for the number that it was compiled with.
    """
    return _thread_choices() if backend == 'torch' and mode != 'compile' else (0,)


def _with_threads(contestant: Contestant, choices: Sequence[int]) -> Tuple[Contestant, ...]:
    return tuple(Contestant(**{**vars(contestant), 'threads': threads}) for threads in choices)


def _thread_choices() -> Tuple[int, ...]:
    """Return 1, 2, 4 and so on, and all cores that we may use."""
    cores = len(os.sched_getaffinity(0))
    powers = (1 << power for power in range(cores.bit_length()))
    return tuple(sorted({*(threads for threads in powers if threads <= cores), cores}))


def _write_one_shot(policy: str, bundle: Bundle, folder: Path) -> Path:
    """Export it anew from the bundle's own weights, so that it cannot be of others."""
    from ....convert.export.one_shot import export_one_shot
    from ....backends.torch.network import load_network
    path = folder / f'{Path(policy).name}.one_shot.onnx'
    network = load_network(bundle.file(WEIGHTS), bundle.architecture, bundle.mean,
                           bundle.std)
    export_one_shot(network, path, bundle.input)
    return path
