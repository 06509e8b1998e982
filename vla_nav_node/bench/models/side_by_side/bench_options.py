"""Arguments that compare and benchmark share."""

import argparse
from pathlib import Path

from .bench_pictures import HELP
from ..runners.contestant import Recipe
from ....backends import DEVICES
from ....convert.structure.recipe import normalisation_problem
from ....errors import SettingError
from ....system.arguments import picture_size

LEAST_RUNS = 2  # or there is no deviation


def add_shared(parser: argparse.ArgumentParser, frames: str, count: int, out: str) -> None:
    """Declare what is measured on what, and where the report goes."""
    parser.add_argument('--frames', default=frames, metavar='SOURCE',
                        help=f'{HELP} (default: %(default)s)')
    parser.add_argument('--count', type=int, default=count, metavar='N',
                        help='frames at most (default: %(default)s)')
    parser.add_argument('--seed', type=int, default=0, metavar='S',
                        help='of the frames (default: %(default)s)')
    parser.add_argument('--warm-up', type=int, default=50, metavar='N',
                        help='steps before any that counts (default: %(default)s)')
    parser.add_argument('--runs', type=int, default=100, metavar='N',
                        help='steps that count, of each model and pace (default: %(default)s)')
    parser.add_argument('--device', default='auto', choices=DEVICES,
                        help='where all of them run; auto: a GPU where vla_nav verify has passed '
                        'on its kind here, else the CPU (default: %(default)s)')
    parser.add_argument('--out', type=Path, default=Path(out), metavar='DIR',
                        help='where the report goes, as .md, .json and .png (default: '
                        '%(default)s)')
    parser.add_argument('--json', type=Path, metavar='FILE', help='write the figures there too')


def add_recipe(parser: argparse.ArgumentParser) -> None:
    """Declare what model files do not say of their input."""
    unsaid = ', for model files (default: as the bundle on the other side)'
    parser.add_argument('--size', type=picture_size, metavar='WxH', help='of the picture' + unsaid)
    for name in ('mean', 'std'):
        parser.add_argument(f'--{name}', type=float, nargs=3, default=(), metavar=('R', 'G', 'B'),
                            help=f'{name} of each channel, 0..255' + unsaid)


def recipe(args: argparse.Namespace) -> Recipe:
    """Return the recipe as far as the user has said it."""
    problem = normalisation_problem(args.mean, args.std, 255.0)
    if problem:
        raise SettingError(f'--mean {args.mean} --std {args.std}: {problem}',
                           'those of pixels from 0 to 255, --std above 0')
    size = args.size and args.size[::-1]  # height and width, there
    return Recipe(size=size, mean=tuple(args.mean), std=tuple(args.std))


def check(args: argparse.Namespace) -> None:
    """Refuse numbers that measure nothing."""
    if args.count < 1 or args.runs < LEAST_RUNS or args.warm_up < 0:
        raise SettingError('nothing to measure', f'--count of at least 1, --runs of at least '
                           f'{LEAST_RUNS}, --warm-up of at least 0')
