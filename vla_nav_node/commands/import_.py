"""
`vla_nav import`: make a bundle from a trained checkpoint, with every weight or not at all.

What the file does not hold (strides, picture size, normalisation, limits) are required arguments.
"""

import argparse
from pathlib import Path
from typing import Any, Callable, Dict, Optional, Tuple, TYPE_CHECKING

from ..bundle.bundle import Bundle
from ..convert.structure.recipe import CHANNEL_COUNTS, InputRecipe
from ..errors import SettingError
from ..system.arguments import picture_size
from ..system.outputs import write_json
from ..system.progress import progress
from ..vision.preprocess import FITS, InputSpec, RESIZES, TURNS

if TYPE_CHECKING:  # --help must not import torch
    from ..convert.checkpoint.checkpoint import Checkpoint

EXAMPLE = """vla_nav import best.pth --structure simple --size 224x224 --fit stretch \\
    --resize linear --channels rgb --pixel-max 1 --mean 0.485 0.456 0.406 \\
    --std 0.229 0.224 0.225 --limits 0.5 0.5 --out out/imported"""
# What no checkpoint holds.
REQUIRED = (
    'structure', 'size', 'fit', 'resize', 'channels', 'pixel_max', 'mean', 'std', 'limits', 'out')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument('checkpoint', type=Path, help='.pth, .pt, .ckpt, .bin or .safetensors')
    parser.add_argument('--structure', help='strides, pools and activations: simple, accurate, '
                        'a bundle, or a YAML file (see --template)')
    parser.add_argument('--template', type=Path, metavar='FILE',
                        help='write the structure to FILE, as far as the weights determine it')
    parser.add_argument('--weights', type=_path, metavar='PATH',
                        help='the path of the weights in the file, such as ema_state_dict or '
                        'model.nets.policy, if that is not clear')
    parser.add_argument('--drop', nargs='+', action='extend', type=_path, default=[],
                        metavar='PREFIX', help='omit the tensors whose names start so: parts that '
                        'the policy does not need, such as critic or log_std')
    parser.add_argument('--map', nargs='+', action='extend', type=_rule, default=[],
                        metavar='OLD=NEW', help='rename parts to vision_encoder, rnn or actions')
    parser.add_argument('--size', type=picture_size, metavar='WxH', help='size of the '
                        'training pictures, such as 224x224')
    parser.add_argument('--fit', choices=FITS, help='how a camera picture of another shape '
                        'is fitted: crop its middle, or stretch it')
    parser.add_argument('--resize', choices=RESIZES, help='linear, as in most training, or '
                        'supersample (the mean of more pixels)')
    parser.add_argument('--rotation', type=int, choices=tuple(TURNS), default=0,
                        help="degrees clockwise by which the camera's pictures were turned first")
    parser.add_argument('--channels', choices=tuple(CHANNEL_COUNTS), help='in training: bgr as '
                        'OpenCV reads, gray as OpenCV or PIL converts, gray-mean the mean of RGB')
    parser.add_argument('--pixel-max', type=float, choices=(1.0, 255.0), metavar='{1,255}',
                        help='the value of white before --mean: 1 after ToTensor, else 255')
    parser.add_argument('--mean', nargs='+', type=float, metavar='C', help='subtracted from each '
                        'channel, in the order of --channels; one number for gray')
    parser.add_argument('--std', nargs='+', type=float, metavar='C',
                        help='the divisor of each channel after that')
    parser.add_argument('--limits', nargs=2, type=float, metavar=('X', 'Y'),
                        help='largest |linear_x| and |linear_y| in m/s, the unit of the actions')
    parser.add_argument('--name', help="of the policy (default: the file's)")
    parser.add_argument('--out', type=Path, help='directory of the new bundle')
    parser.add_argument('--json', type=Path, help='write a report to this file')


def run(args: argparse.Namespace) -> int:
    """Import, or write the template; return 0."""
    from ..convert.checkpoint.checkpoint import read_checkpoint, refuse_foreign
    from ..convert.checkpoint.containers import Selection
    checkpoint = read_checkpoint(args.checkpoint,
                                 Selection(args.weights or '', args.drop, dict(args.map)))
    refuse_foreign(checkpoint)
    if args.template:
        _write_template(checkpoint, args.template, args.channels)
        return 0
    _require_arguments(checkpoint, args)
    width, height = args.size
    recipe = InputRecipe(
        args.name or args.checkpoint.stem,
        InputSpec(height, width, args.fit, args.resize, args.rotation), args.channels,
        args.pixel_max, args.mean, args.std, args.limits)
    bundle, report = import_checkpoint(checkpoint, args.structure, recipe, args.out)
    if args.json:
        write_json(args.json, report)
    _print_report(bundle, report)
    return 0


def import_checkpoint(checkpoint: 'Checkpoint', structure: str, recipe: InputRecipe,
                      directory: Path) -> Tuple[Bundle, Dict[str, Any]]:
    """
    Write the bundle of a checkpoint to `directory`; return it and a report.

    `structure` is a preset's name, a bundle or a YAML file.
    """
    from ..convert.structure.conversion import convert
    from ..convert.structure.structure import complete
    from ..convert.structure.structure_file import read_structure
    architecture = complete(read_structure(structure), checkpoint, recipe.depth)
    with progress() as bar:
        def step(title: str, work: Callable[[], Any]) -> Any:
            advance = bar(title, 1)
            result = work()
            advance(1)
            return result
        bundle, report = convert(checkpoint, recipe, architecture, directory, step)
    return bundle, {**report, 'notes': checkpoint.notes + report['notes'],
                    'dropped': checkpoint.dropped}


def _require_arguments(checkpoint: 'Checkpoint', args: argparse.Namespace) -> None:
    missing = [name for name in REQUIRED if getattr(args, name) is None]
    if not missing:
        return
    options = ', '.join('--' + name.replace('_', '-') for name in missing)
    raise SettingError(f'{checkpoint.path.name} does not hold {options}',
                       'all of them, as in training',
                       (_offer_structures(checkpoint, args.channels)
                        if 'structure' in missing else '')
                       + 'see --help')


def _offer_structures(checkpoint: 'Checkpoint', channels: Optional[str]) -> str:
    """Print the template, and return the fix for the error."""
    from ..convert.structure.presets import PRESETS
    from ..convert.structure.structure import fits
    from ..convert.structure.template import template_of
    print(template_of(checkpoint, channels or 'rgb'), end='')
    alike = [f'--structure {name} has its shapes' for name, preset in PRESETS.items()
             if fits(preset, checkpoint)]
    return ', '.join([*alike, 'fill in the structure printed above (--template FILE writes it), '])


def _write_template(checkpoint: 'Checkpoint', path: Path, channels: Optional[str]) -> None:
    from ..convert.structure.template import template_of
    text = template_of(checkpoint, channels or 'rgb')
    if path.exists():  # it may have been filled in
        raise SettingError(f'{path} exists', 'a new file', 'name another one')
    path.write_text(text, encoding='utf-8')
    print(f'written: {path}; fill it in, then --structure {path}')


def _print_report(bundle: Bundle, report: Dict[str, Any]) -> None:
    imported = report['imported']
    figures = ', '.join(f'{name} {imported[name]:g}' for name in ('val_mae', 'epoch')
                        if imported[name] is not None)
    cell = report['architecture']['recurrent']
    print(f'imported: all {report["tensors"]} tensors of {imported["file"]}, '
          f'{report["parameters"]:,} weights' + (f' ({figures})' if figures else ''))
    print(f'recurrent: {cell["type"]}, {cell["num_layers"]} x {cell["hidden_size"]}')
    for note in report['notes']:
        print(f'note: {note}')
    print(f'written: {bundle.directory}, its step graph checked against torch')


def _path(text: str) -> str:
    if not text.strip('.'):
        raise argparse.ArgumentTypeError('a path or a prefix with no name in it')
    return text.strip('.')


def _rule(text: str) -> Tuple[str, str]:
    old, equals, new = text.partition('=')
    if not old or not equals:
        raise argparse.ArgumentTypeError(f'found {text!r}, expected OLD=NEW, such as head=actions')
    return old.strip('.'), new.strip('.')
