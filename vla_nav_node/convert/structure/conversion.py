"""Convert a checkpoint that fits its architecture to a bundle: weights, graph, manifest."""

from pathlib import Path
from typing import Any, Callable, Dict, List, Tuple

from safetensors.torch import save_file
import torch
from torch import Tensor

from .channels import change_to_rgb, NOTES, rgb_problems
from .recipe import InputRecipe
from .structure import build_on_meta, check_shapes, misfit
from ..checkpoint.checkpoint import Checkpoint
from ..checkpoint.paths import listed
from ..export.rewrite import folder_beside, refuse_inside
from ..export.step_file import write_step_file
from ...backends.torch.network import load_network
from ...bundle.bundle import Bundle, graph_name, sha256_of, WEIGHTS, write_bundle
from ...bundle.manifest import AXES, problems_of, UNIT
from ...errors import BundleError

Step = Callable[[str, Callable[[], Any]], Any]  # runs some work under a title


def convert(checkpoint: Checkpoint, recipe: InputRecipe, architecture: Dict[str, Any],
            directory: Path, step: Step) -> Tuple[Bundle, Dict[str, Any]]:
    """
    Write the bundle at `directory`; return it and a report of the import.

    Raise CheckpointError or BundleError, with nothing written, if something does not fit.
    """
    check_shapes(checkpoint, architecture, recipe.input, recipe.depth)
    weights, notes = _weights(checkpoint, architecture)
    architecture = _reading_rgb(checkpoint, architecture, weights, recipe.channels)
    notes += [*recipe.notes(), *filter(None, [NOTES.get(recipe.channels)])]
    manifest = _manifest(checkpoint, recipe, architecture)
    problems = problems_of({**manifest, 'files': {}})
    if problems:
        raise BundleError('the bundle would be invalid: ' + '; '.join(problems))
    refuse_inside(directory, checkpoint.path)
    target = directory.expanduser().resolve()
    with folder_beside(target) as folder:
        files = [folder / name for name in (WEIGHTS, graph_name('fp32'))]
        step('writing weights', lambda: save_file(weights, files[0]))
        step('exporting', lambda: _export(manifest, recipe, *files))
        imported = manifest['training']['imported']
        imported['sha256'] = step('hashing', lambda: sha256_of(checkpoint.path))
        bundle = step('writing the bundle', lambda: write_bundle(
            target, manifest, {file.name: file for file in files}))
    return bundle, {
        'bundle': bundle.name, 'imported': imported, 'tensors': len(weights), 'notes': notes,
        'parameters': sum(weight.numel() for name, weight in weights.items()
                          if weight.is_floating_point() and '.running_' not in name),
        'architecture': architecture, 'files': bundle.manifest['files']}


def _manifest(checkpoint: Checkpoint, recipe: InputRecipe,
              architecture: Dict[str, Any]) -> Dict[str, Any]:
    mean, std = recipe.normalisation()
    return {
        'format': 1, 'name': recipe.name, 'architecture': architecture,
        'input': {**vars(recipe.input), 'mean': mean, 'std': std},
        'action': {'names': list(AXES), 'unit': UNIT, 'limits': dict(zip(AXES, recipe.limits))},
        'training': {'trained': True, 'imported': {
            'file': checkpoint.path.name, 'sha256': '', **checkpoint.figures}}}


def _weights(checkpoint: Checkpoint,
             architecture: Dict[str, Any]) -> Tuple[Dict[str, Tensor], List[str]]:
    """Return the tensors in the network's types, and notes on those that were rounded."""
    expected = build_on_meta(architecture).state_dict()
    found = checkpoint.tensors
    problems = [f'{name} is {found[name].dtype}' for name, wanted in expected.items()
                if found[name].is_floating_point() != wanted.is_floating_point()]
    if problems:
        raise misfit(checkpoint, problems)
    rounded = [name for name in expected if found[name].dtype == torch.float64]
    notes = [f'rounded from float64 to float32: {listed(rounded, 4)}'] if rounded else []
    weights = {name: found[name].to(wanted.dtype).contiguous().clone()
               for name, wanted in expected.items()}
    problems = [f'{name} is too large for float32' for name, weight in weights.items()
                if weight.is_floating_point() and not bool(torch.isfinite(weight).all())]
    if problems:
        raise misfit(checkpoint, problems)
    return weights, notes


def _reading_rgb(checkpoint: Checkpoint, architecture: Dict[str, Any],
                 weights: Dict[str, Tensor], channels: str) -> Dict[str, Any]:
    """Change `weights` to take RGB pictures; return the architecture that does."""
    first, *others = architecture['encoder']
    problems = rgb_problems(first, channels)
    if problems:
        raise misfit(checkpoint, problems)
    return {**architecture, 'encoder': [change_to_rgb(first, weights, channels), *others]}


def _export(manifest: Dict[str, Any], recipe: InputRecipe, weights: Path, graph: Path) -> None:
    """Export from the weights file of the bundle, read as for driving."""
    network = load_network(weights, manifest['architecture'], manifest['input']['mean'],
                           manifest['input']['std'])
    write_step_file(network, graph, recipe.input, recipe.name, weights)
