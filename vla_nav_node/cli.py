"""The command `vla_nav VERB`."""

import argparse
import importlib
import logging
import sys
from typing import List, Optional

from .errors import VlaNavError
from .system.install_lines import pip_install_module
from .system.outputs import check_json

VERBS = {
    'benchmark': ('commands.benchmark', 'measure every backend and precision on this machine'),
    'compare': ('commands.compare', 'compare two models: quality and cost'),
    'demo': ('commands.demo', 'drive the simulated robot over ROS 2, with a live view'),
    'doctor': ('commands.doctor', 'what is wrong here, why, and what mends it'),
    'evaluate': ('commands.evaluate', 'count how often a policy reaches the cup'),
    'export': ('commands.export', 'write the step graphs of a policy, in fp32 and fp16'),
    'gpu-bench': ('commands.gpu_bench', 'parity and times of every backend, on a GPU'),
    'import': ('commands.import_', 'make a bundle from a trained checkpoint'),
    'latency': ('commands.latency', 'measure the node, an idiomatic one and an echo'),
    'profile': ('commands.profile', 'measure where the time of one cycle goes'),
    'quantize': ('commands.quantize', 'write the int8 step graph of a policy'),
    'train': ('commands.train', 'train a policy in the simulated arena'),
    'tune': ('commands.tune', 'find the fastest settings for this machine'),
    'verify': ('commands.verify', 'compare a converted policy with the trained one'),
}
CANNOT_RUN = 2


def main(argv: Optional[List[str]] = None) -> int:
    """Run one verb; return 0 for a good result, 1 for a bad one, 2 if it could not run."""
    arguments = sys.argv[1:] if argv is None else argv
    _show_log()
    try:
        args = _parser(arguments).parse_args(arguments)
        check_json(args)
        return args.run(args)
    except VlaNavError as error:
        print(f'vla_nav: {error}', file=sys.stderr)
    except ModuleNotFoundError as error:
        _explain_missing(error)
    except KeyboardInterrupt:
        print('vla_nav: interrupted', file=sys.stderr)
    return CANNOT_RUN


def _show_log() -> None:
    """Show the package's log, such as the building of an engine, on stderr."""
    log = logging.getLogger(__package__)
    log.setLevel(logging.INFO)
    log.handlers[:] = [logging.StreamHandler()]


def _parser(arguments: List[str]) -> argparse.ArgumentParser:
    """Return the parser; only the requested verb is imported."""
    parser = argparse.ArgumentParser('vla_nav', description=__doc__)
    verbs = parser.add_subparsers(title='verbs', metavar='VERB', required=True)
    for name, (module, summary) in VERBS.items():
        verb = verbs.add_parser(name, help=summary, description=summary,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
        if name in arguments[:1]:
            implementation = importlib.import_module(f'.{module}', __package__)
            verb.epilog = f'example: {implementation.EXAMPLE}'
            implementation.add_arguments(verb)
            verb.set_defaults(run=implementation.run)
    return parser


def _explain_missing(error: ModuleNotFoundError) -> None:
    """Name the package that a verb needs; re-raise if a module of this package is missing."""
    if error.name and error.name.startswith(__package__):
        raise error
    fix = pip_install_module(error.name or '') or 'install it, or source the setup.bash of ROS 2'
    print(f'vla_nav: the Python package {error.name} is missing; fix: {fix}', file=sys.stderr)


if __name__ == '__main__':
    sys.exit(main())
