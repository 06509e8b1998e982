"""The folder of a training run: its plan and its checkpoint. No other folder is taken."""

import json
import os
from pathlib import Path
from typing import Any, Dict

from .plan import Plan
from ...bundle.replaceable_files import replaceable
from ...errors import SettingError
from ...system.atomic_files import write_file

CHECKPOINT, PLAN = 'checkpoint.pt', 'plan.json'  # the plan marks a folder as a run's
FIXED = ('seed', 'scenes', 'epochs', 'first_episodes', 'first_steps')  # when a run is resumed
CHECKPOINT_KEYS = {'round', 'seeds', 'log', 'learner'}
MAX_LISTED = 5  # names in an error


def read_checkpoint(path: Path, device: str) -> Dict[str, Any]:
    """
    Return the checkpoint; {} if there is none.

    Raise SettingError if it is not a training's, or holds more than weights and plain values.
    """
    from pickle import UnpicklingError

    import torch
    if not path.exists():
        return {}
    try:
        state: Dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
        if not isinstance(state, dict) or set(state) != CHECKPOINT_KEYS:
            raise ValueError('it holds something else')
        return state
    except (UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        reason = ' '.join(str(error).split())[:200]
        raise SettingError(f'{path} is no checkpoint of a training: {reason}',
                           'weights and plain values, as vla_nav train wrote them',
                           'another --out, or remove the file') from None


def claim(folder: Path, plan: Plan) -> None:
    """Make the folder of a run, or take that of one; raise SettingError for any other folder."""
    path = folder / PLAN
    try:
        folder.mkdir(parents=True, exist_ok=True)
        names = sorted(os.listdir(folder))
    except OSError as error:
        raise SettingError(f'--out {folder}: {error.strerror}',
                           'a directory that you can write to') from None
    if names and path.name not in names:
        raise SettingError(f'{folder} has {", ".join(names[:MAX_LISTED])}, and no {path.name}',
                           'a new directory, or one of a training', 'name another --out')
    replaceable(folder / 'bundle')  # written last, checked first
    _write_plan(path, plan)


def _write_plan(path: Path, plan: Plan) -> None:
    """Write the plan; raise SettingError if the present one differs in what is done already."""
    if path.exists():
        before = _read_plan(path)
        if any(before.get(name) != getattr(plan, name) for name in FIXED):
            raise SettingError(f'{path.parent} holds a training with {json.dumps(before)}',
                               f'one with {json.dumps(vars(plan))}',
                               'another --out, or its arguments; only these may change: '
                               + ', '.join(sorted(vars(plan).keys() - set(FIXED))))
    write_file(path, json.dumps(vars(plan)).encode())


def _read_plan(path: Path) -> Dict[str, Any]:
    try:
        plan = json.loads(path.read_text())
        if not isinstance(plan, dict) or not plan.keys() >= set(FIXED):
            raise ValueError('it needs ' + ', '.join(FIXED))
        return plan
    except (OSError, ValueError) as error:
        raise SettingError(f'{path} is no plan of a training: {error}', 'a new directory, or one '
                           'of a training', 'name another --out') from None
