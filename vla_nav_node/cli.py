"""`vla_nav VERB`: parses, calls, prints."""

import argparse
import importlib
import logging
import sys
from typing import List, Optional

from .errors import VlaNavError
from .system.outputs import check_json

VERBS = {
    'benchmark': ('commands.benchmark', 'measure every backend and precision, here'),
    'compare': ('commands.compare', 'set two models side by side: quality and cost'),
    'demo': ('commands.demo', 'drive the simulated robot before your eyes, over ROS 2'),
    'evaluate': ('commands.evaluate', 'count how often a policy reaches the cup'),
    'export': ('commands.export', 'write the step graphs of a policy, in fp32 and fp16'),
    'gpu-bench': ('commands.gpu_bench', 'parity and times of every backend, on a GPU'),
    'import': ('commands.import_', 'make a bundle of a trained checkpoint'),
    'latency': ('commands.latency', 'measure the node beside an idiomatic one and an echo'),
    'profile': ('commands.profile', 'tell where the time of one cycle goes'),
    'quantize': ('commands.quantize', 'write the int8 step graph of a policy'),
    'train': ('commands.train', 'train a policy in the simulated arena'),
    'verify': ('commands.verify', 'hold a converted policy against the trained one'),
}
CANNOT_RUN = 2


def main(argv: Optional[List[str]] = None) -> int:
    """Run one verb: 0 is good, 1 a bad verdict, 2 could not run."""
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
    """Print what takes long, such as the building of an engine, beside the results."""
    ours = logging.getLogger(__package__)
    ours.setLevel(logging.INFO)
    ours.handlers[:] = [logging.StreamHandler()]  # the errors' stream


def _parser(arguments: List[str]) -> argparse.ArgumentParser:
    """Build the parser; only the verb that is asked for is imported."""
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
    """Name the package that an optional verb needs; a missing module of ours is our bug."""
    if error.name and error.name.startswith(__package__):
        raise error
    print(f'vla_nav: the Python package {error.name} is missing; fix: '
          "pip install 'vla_nav_node[sim,onnx,torch,demo,convert]', or that package",
          file=sys.stderr)


if __name__ == '__main__':
    sys.exit(main())
