"""`vla_nav gpu-bench`: parity and times of all backends x precisions x policies, on a GPU."""

import argparse
import os
from pathlib import Path
import time
from typing import Any, Dict, List

from ..backends import BACKENDS, PRECISIONS
from ..backends.onnx.onnx_cuda import NO_TF32
from ..bench.models.benchmark.presets_on_disk import PRESETS
from ..bench.models.gpu.gpu_plan import MODES
from ..bench.models.runners.contestant import SHIPPED_NAME
from ..errors import SettingError, VlaNavError
from ..system.machine import on_this_machine
from ..system.outputs import make_report_folder, write_json

EXAMPLE = 'vla_nav gpu-bench simple accurate --limit 420 --out out/gpu-bench'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of this verb."""
    everything = [*PRESETS, SHIPPED_NAME]
    parser.add_argument('models', nargs='*', default=everything, metavar='MODEL',
                        help='presets, shipped, or bundle directories (default: '
                        + ' '.join(everything) + ')')
    parser.add_argument('--limit', type=float, default=420.0, metavar='S',
                        help='for everything; what no longer fits is named (default: %(default)s)')
    parser.add_argument('--device', default='cuda', choices=('cuda', 'cpu'),
                        help='cpu is for trying this out (default: %(default)s)')
    parser.add_argument('--backends', nargs='+', default=list(BACKENDS), choices=tuple(BACKENDS))
    parser.add_argument('--precisions', nargs='+', default=list(PRECISIONS), choices=PRECISIONS)
    parser.add_argument('--modes', nargs='+', default=list(MODES), choices=MODES,
                        help="of torch's steps and onnx's providers (default: all)")
    parser.add_argument('--frames', default='auto', metavar='SOURCE',
                        help='as of vla_nav verify, or made (a painted wall; needs nothing); '
                        "auto: the simulator's for who was trained in it, where it can be had")
    parser.add_argument('--count', type=int, default=120, metavar='N',
                        help='different frames (default: %(default)s)')
    parser.add_argument('--runs', type=int, default=500, metavar='N',
                        help='steps of each row back to back (default: %(default)s)')
    parser.add_argument('--paced-runs', type=int, default=100, metavar='N',
                        help='and paced (default: %(default)s)')
    parser.add_argument('--period', type=float, default=10.0, metavar='MS',
                        help='a paced step begins every so often (default: %(default)s)')
    parser.add_argument('--bundles', type=Path, default=Path('out/presets'), metavar='DIR',
                        help='where presets are kept (default: %(default)s)')
    parser.add_argument('--out', type=Path, default=Path('out/gpu-bench'), metavar='DIR',
                        help='where gpu-bench.json goes (default: %(default)s)')


def run(args: argparse.Namespace) -> int:
    """Measure, print and write the report: 0; 1 for a missed target; 2 without any row."""
    _check(args)
    make_report_folder(args, ('gpu-bench.json',), 'gpu-bench.json')
    # All fp32 rows are without TF32; of ONNX Runtime's TensorRT provider only this takes it away.
    os.environ.setdefault(NO_TF32, '0')
    from ..bench.models.gpu import gpu_report as told
    from ..bench.processes import sigterm_as_interrupt
    with sigterm_as_interrupt():
        report = _measure(args)
    write_json(args.out / 'gpu-bench.json', report, allow_nan=False)
    for table in told.tables(report):
        table.print()
    print('\n'.join(told.lines(report)))
    told.targets_table(report).print()
    print(f'report: {args.out}/gpu-bench.json')
    if not report['rows']:
        return 2
    return 1 if any(one['met'] is False for one in report['targets']) else 0


def _check(args: argparse.Namespace) -> None:
    if min(args.limit, args.period) <= 0.0 or min(args.runs, args.paced_runs, args.count) < 2:
        raise SettingError('nothing to measure', '--limit and --period above 0; --runs, '
                           '--paced-runs and --count of at least 2')
    if not args.models:
        raise SettingError('no model')


def _measure(args: argparse.Namespace) -> Dict[str, Any]:
    from ..bench.models.gpu.budget import Budget
    from ..bench.models.gpu.gpu import gpu_told
    from ..bench.models.gpu.targets import targets
    from .benchmark import short_names
    from ..system.progress import progress
    budget, begin_s = Budget(args.limit), time.monotonic()
    rows: List[Dict[str, Any]] = []
    absent: Dict[str, Dict[str, str]] = {}
    names = short_names(args.models)
    with on_this_machine() as machine:
        # All of them first, so that the time that this takes is not one policy's alone; it may
        # show bars of its own.
        made = {name: policy for model, name in names.items()
                if (policy := _made(args, model, absent.setdefault(name, {})))}
        with progress() as bar:
            for number, (name, policy) in enumerate(made.items()):
                part = budget.share(len(made) - number)
                rows += _rows(args, name, policy, part, bar, absent[name])
    return {
        'plan': {key: getattr(args, key) for key in (
            'runs', 'paced_runs', 'period', 'frames', 'count', 'device')},
        'limit_s': args.limit, 'took_s': time.monotonic() - begin_s, 'machine': machine,
        'gpu': gpu_told(), 'rows': rows, 'absent': absent,
        'untrained': [name for name, policy in made.items() if not policy.trained],
        'targets': [one._asdict() for one in targets(tuple(names.values()), rows, absent)]}


def _made(args: argparse.Namespace, model: str, absent: Dict[str, str]) -> Any:
    """Return a policy with its frames, None where it cannot be had."""
    from ..bench.models.gpu.gpu_policies import make_policy
    fixed_scales = ((args.device, 'int8' in args.precisions, 'tensorrt' in args.backends)
                    == ('cuda', True, True))
    try:
        return make_policy(model, args.bundles, args.precisions, args.frames, args.count,
                           fixed_scales)
    except VlaNavError as error:
        absent['all'] = str(error)


def _rows(args: argparse.Namespace, name: str, policy: Any, budget: Any, bar: Any,
          absent: Dict[str, str]) -> List[Dict[str, Any]]:
    """Return the rows of a policy; what there is not goes to `absent` with the reason."""
    from ..bench.models.gpu.gpu_plan import plan_rows, Wanted
    from ..bench.models.gpu.gpu_session import measure
    from ..bench.models.benchmark.benchmark_session import Pace
    wanted = Wanted(args.backends, args.precisions, args.modes, args.device)
    plan = plan_rows(name, policy.bundle, wanted)
    pace = Pace(50, args.runs, args.period, args.paced_runs)
    try:
        rows, missing = measure(plan, pace, policy, budget, bar)
    except VlaNavError as error:
        absent['all'] = str(error)
        return []
    absent.update(missing)
    return rows
