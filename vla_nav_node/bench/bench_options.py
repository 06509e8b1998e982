"""Arguments that compare, benchmark and gpu-bench share."""

import argparse
from pathlib import Path
from typing import Sequence

from .models.candidate import Recipe, SHIPPED_NAME
from .models.frame_sets import HELP
from ..backends import DEVICES, PRECISIONS
from ..convert.structure.presets import PRESETS
from ..convert.structure.recipe import normalisation_problem
from ..errors import SettingError
from ..system.arguments import picture_size

LEAST_RUNS = 2  # or there is no deviation
MODELS = (SHIPPED_NAME, *PRESETS)


def add_frames(parser: argparse.ArgumentParser, frames: str, count: int, out: str) -> None:
    """Declare what compare and benchmark measure, on which frames, and where the report goes."""
    parser.add_argument('--frames', default=frames, metavar='SOURCE',
                        help=f'{HELP} (default: %(default)s)')
    parser.add_argument('--count', type=int, default=count, metavar='N',
                        help='most frames to use (default: %(default)s)')
    parser.add_argument('--seed', type=int, default=0, metavar='S',
                        help='of the frames (default: %(default)s)')
    parser.add_argument('--warm-up', type=int, default=50, metavar='N',
                        help='steps before those that count (default: %(default)s)')
    parser.add_argument('--runs', type=int, default=100, metavar='N',
                        help='steps that count, of each model and pace (default: %(default)s)')
    parser.add_argument('--device', default='auto', choices=DEVICES,
                        help='where all of them run; auto: a GPU if vla_nav verify has passed '
                        'on its kind here, else the CPU (default: %(default)s)')
    parser.add_argument('--out', type=Path, default=Path(out), metavar='DIR',
                        help='directory of the report, as .md, .json and .png (default: '
                        '%(default)s)')
    parser.add_argument('--json', type=Path, metavar='FILE',
                        help='also write the figures to this file')


def add_models(parser: argparse.ArgumentParser, models: Sequence[str], period_ms: float) -> None:
    """Declare which policies and precisions benchmark and gpu-bench measure, and the pace."""
    parser.add_argument('models', nargs='*', default=list(models), metavar='MODEL',
                        help='shipped, a preset (' + ', '.join(PRESETS) + '; written to --bundles '
                        'the first time, accurate takes 2 GB there), or a bundle directory '
                        '(default: ' + ' '.join(models) + ')')
    parser.add_argument('--period', type=float, default=period_ms, metavar='MS',
                        help='interval between the starts of paced steps (default: %(default)s)')
    parser.add_argument('--precisions', nargs='+', default=list(PRECISIONS), choices=PRECISIONS)
    parser.add_argument('--bundles', type=Path, default=Path('out/presets'), metavar='DIR',
                        help='where presets are kept (default: %(default)s)')


def add_recipe(parser: argparse.ArgumentParser) -> None:
    """Declare the input recipe of model files."""
    default = ', for model files (default: that of the bundle on the other side)'
    parser.add_argument('--size', type=picture_size, metavar='WxH', help='of the image' + default)
    for name in ('mean', 'std'):
        parser.add_argument(f'--{name}', type=float, nargs=3, default=(), metavar=('R', 'G', 'B'),
                            help=f'{name} of each channel, 0..255' + default)


def recipe(args: argparse.Namespace) -> Recipe:
    """Return the input recipe as far as it is given, or raise SettingError."""
    problem = normalisation_problem(args.mean, args.std, 255.0)
    if problem:
        raise SettingError(f'--mean {args.mean} --std {args.std}: {problem}',
                           'those of pixels from 0 to 255, --std above 0')
    size = args.size and args.size[::-1]  # height and width, there
    return Recipe(size=size, mean=tuple(args.mean), std=tuple(args.std))


def check(args: argparse.Namespace) -> None:
    """Raise SettingError for numbers that measure nothing."""
    if args.count < 1 or args.runs < LEAST_RUNS or args.warm_up < 0:
        raise SettingError('nothing to measure', f'--count of at least 1, --runs of at least '
                           f'{LEAST_RUNS}, --warm-up of at least 0')
