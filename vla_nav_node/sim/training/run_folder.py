"""The folder of a training: its plan, and how far it has come. Nothing else is written over."""

import json
import os
from pathlib import Path
from typing import Any, Dict

from .plan import Plan
from ...bundle.bundle_files import replaceable
from ...errors import SettingError
from ...system.atomic_files import write_file

CHECKPOINT, PLAN = 'checkpoint.pt', 'plan.json'  # without the second it is no run
BEGINNING = ('seed', 'scenes', 'epochs', 'first_episodes', 'first_steps')  # of a plan
KEYS = {'round', 'seeds', 'log', 'learner'}  # of a checkpoint
MOST_TOLD = 5


def read_checkpoint(path: Path, device: str) -> Dict[str, Any]:
    """Read weights and plain values, if any; what would run code when loaded is refused."""
    from pickle import UnpicklingError

    import torch
    if not path.exists():
        return {}
    try:
        state: Dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
        if not isinstance(state, dict) or set(state) != KEYS:
            raise ValueError('it holds something else')
        return state
    except (UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        reason = ' '.join(str(error).split())[:200]
        raise SettingError(f'{path} is no checkpoint of a training: {reason}',
                           'weights and plain values, as vla_nav train wrote them',
                           'another --out, or remove the file') from None


def claim(folder: Path, plan: Plan) -> None:
    """Make the folder of a run; one that was there is taken if it is a run, and nothing else."""
    path = folder / PLAN
    try:
        folder.mkdir(parents=True, exist_ok=True)
        there = sorted(os.listdir(folder))
    except OSError as error:
        raise SettingError(f'--out {folder}: {error.strerror}', 'a directory that is yours') \
            from None
    if there and path.name not in there:
        raise SettingError(f'{folder} has {", ".join(there[:MOST_TOLD])}, and no {path.name}',
                           'a new directory, or one of a training', 'name another --out')
    replaceable(folder / 'bundle')  # what is written last, found out first
    _keep_plan(path, plan)


def _keep_plan(path: Path, plan: Plan) -> None:
    """Write the plan down; one that was there may differ in what is still to come only."""
    if path.exists():
        before = _read_plan(path)
        if any(before.get(name) != getattr(plan, name) for name in BEGINNING):
            raise SettingError(f'{path.parent} holds a training with {json.dumps(before)}',
                               f'one with {json.dumps(vars(plan))}',
                               'another --out, or its arguments; only these may change: '
                               + ', '.join(sorted(vars(plan).keys() - set(BEGINNING))))
    write_file(path, json.dumps(vars(plan)).encode())


def _read_plan(path: Path) -> Dict[str, Any]:
    try:
        found = json.loads(path.read_text())
        if not isinstance(found, dict) or not found.keys() >= set(BEGINNING):
            raise ValueError('it does not say ' + ', '.join(BEGINNING))
        return found
    except (OSError, ValueError) as error:
        raise SettingError(f'{path} is no plan of a training: {error}', 'a new directory, or one '
                           'of a training', 'name another --out') from None
