"""`vla_nav gpu-bench`: parity and times of all backends x precisions x policies, on a GPU."""

import argparse
import os
from pathlib import Path
import time
from typing import Any, Dict, List, Optional

from .benchmark import short_names
from ..backends import BACKENDS
from ..backends.onnx.onnx_cuda import NO_TF32
from ..bench import bench_options
from ..bench.models.matrix import MODES
from ..errors import SettingError, VlaNavError
from ..system.machine import on_this_machine
from ..system.outputs import make_report_folder

EXAMPLE = 'vla_nav gpu-bench simple accurate --limit 420 --out out/gpu-bench'
WARM_UP = 50  # steps
PLAN = ('runs', 'paced_runs', 'period', 'frames', 'count', 'device')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of this verb."""
    shipped, *presets = bench_options.MODELS
    bench_options.add_models(parser, [*presets, shipped], 10.0)
    parser.add_argument('--limit', type=float, default=420.0, metavar='S',
                        help='for everything; what no longer fits is named (default: %(default)s)')
    parser.add_argument('--device', default='cuda', choices=('cuda', 'cpu'),
                        help='cpu is for trying this out (default: %(default)s)')
    parser.add_argument('--backends', nargs='+', default=list(BACKENDS), choices=tuple(BACKENDS))
    parser.add_argument('--modes', nargs='+', default=list(MODES), choices=MODES,
                        help="of torch's steps and onnx's providers (default: all)")
    parser.add_argument('--frames', default='auto', metavar='SOURCE',
                        help='as of vla_nav verify, or made (a painted wall; needs nothing); '
                        "auto: the simulator's for a policy trained in it, if it runs here")
    parser.add_argument('--count', type=int, default=120, metavar='N',
                        help='different frames (default: %(default)s)')
    parser.add_argument('--runs', type=int, default=500, metavar='N',
                        help='steps of each row back to back (default: %(default)s)')
    parser.add_argument('--paced-runs', type=int, default=100, metavar='N',
                        help='and paced (default: %(default)s)')
    parser.add_argument('--out', type=Path, default=Path('out/gpu-bench'), metavar='DIR',
                        help='directory of gpu-bench.json (default: %(default)s)')


def run(args: argparse.Namespace) -> int:
    """Measure, print and write the report; return 0, 1 for a missed target, 2 without any row."""
    if min(args.limit, args.period) <= 0.0 or min(args.runs, args.paced_runs, args.count) < 2:
        raise SettingError('nothing to measure', '--limit and --period above 0; --runs, '
                           '--paced-runs and --count of at least 2')
    if not args.models:
        raise SettingError('no model')
    make_report_folder(args, ('gpu-bench.json',), 'gpu-bench.json')
    # No fp32 row uses TF32; ONNX Runtime's TensorRT provider reads this variable only.
    os.environ.setdefault(NO_TF32, '0')
    from ..bench.models import matrix_report
    from ..bench.processes import sigterm_as_interrupt
    with sigterm_as_interrupt():
        report = _measure(args)
    matrix_report.publish(args, 'gpu-bench', report, matrix_report.gpu_tables(report),
                          matrix_report.gpu_lines(report))
    matrix_report.targets_table(report).print()
    print(f'report: {args.out}/gpu-bench.json')
    if not report['rows']:
        return 2
    return 1 if any(target['met'] is False for target in report['targets']) else 0


def _measure(args: argparse.Namespace) -> Dict[str, Any]:
    from ..bench.hardware import gpu_report
    from ..bench.models.runners.row_process import Budget
    from ..bench.models.targets import targets
    from ..system.progress import progress
    budget, begin_s = Budget(args.limit), time.monotonic()
    rows: List[Dict[str, Any]] = []
    absent: Dict[str, Dict[str, str]] = {}
    names = short_names(args.models)
    with on_this_machine() as machine:
        # All of them first, so that no single policy pays for this time; a source of frames may
        # show bars of its own.
        policies = {name: policy for model, name in names.items()
                    if (policy := _policy(args, model, absent.setdefault(name, {})))}
        with progress() as bar:
            for number, (name, policy) in enumerate(policies.items()):
                part = budget.share(len(policies) - number)
                rows += _rows(args, name, policy, part, bar, absent[name])
    return {
        'plan': {key: getattr(args, key) for key in PLAN},
        'limit_s': args.limit, 'took_s': time.monotonic() - begin_s, 'machine': machine,
        'gpu': gpu_report(), 'rows': rows, 'absent': absent,
        'untrained': [name for name, policy in policies.items() if not policy.trained],
        'targets': [target._asdict() for target in targets(tuple(names.values()), rows, absent)]}


def _policy(args: argparse.Namespace, model: str, absent: Dict[str, str]) -> Optional[Any]:
    """Return a policy with its frames, or None with the reason in `absent`."""
    from ..bench.models.policies import make_gpu_policy
    fixed_scales = (args.device == 'cuda' and 'int8' in args.precisions
                    and 'tensorrt' in args.backends)
    try:
        return make_gpu_policy(model, args.bundles, args.precisions, args.frames, args.count,
                               fixed_scales)
    except VlaNavError as error:
        absent['all'] = str(error)
        return None


def _rows(args: argparse.Namespace, name: str, policy: Any, budget: Any, bar: Any,
          absent: Dict[str, str]) -> List[Dict[str, Any]]:
    """Return the rows of a policy; add the absent ones to `absent` with the reason."""
    from ..bench.models.matrix import gpu_kinds, plan_rows
    from ..bench.models.measure import measure_policy, Pace
    kinds = gpu_kinds(args.backends, args.precisions, args.modes)
    plan = plan_rows(name, policy.bundle, kinds, args.device, quick=True)
    pace = Pace(WARM_UP, args.runs, args.period, args.paced_runs)
    try:
        rows, missing = measure_policy(plan, pace, policy, bar, budget, gates=True)
    except VlaNavError as error:
        absent['all'] = str(error)
        return []
    absent.update(missing)
    return rows
