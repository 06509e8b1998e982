"""
The coverage-guided fuzzer of what cameras send (`make fuzz RUNS=10000000`).

Each worker is libFuzzer, by way of atheris, on fuzz_target.Target; they share a corpus, which is
kept for the next time. The exit status is 1 when there was a finding; what brought it about is
then a file in the folder that is printed; see it with `--replay FILE`.
"""

import argparse
import json
import os
from pathlib import Path
import re
import subprocess
import sys
import time
import traceback

from vla_nav_node.system.install_lines import pip_install

MOST_BYTES = 8192  # of an input
MOST_MIB = 2048  # of memory; more is a finding
MOST_S = 10  # for one input; more is a finding
COUNT_EVERY = 2000  # inputs between two notes of how many there were
MEASURED = ('vision.image_encodings', 'vision.compressed', 'vision.compressed_format',
            'vision.jpeg_png_header', 'vision.jpeg', 'vision.jpeg_structure', 'vision.preprocess',
            'node.cdr', 'driving.cycle', 'driving.frame_checks', 'driving.loop',
            'driving.command_limits')


def main() -> int:
    """Parse and run; 0 without a finding, 1 with one, 2 if it cannot run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument('--runs', type=int, default=100_000, help='inputs in all (%(default)s)')
    parser.add_argument('--workers', type=int, default=os.cpu_count() or 1)
    parser.add_argument('--out', type=Path, default=Path('out/fuzz'))
    parser.add_argument('--seed', type=int, default=1)
    parser.add_argument('--json', type=Path, help='write the figures there')
    parser.add_argument('--replay', type=Path, help='feed this one file only')
    parser.add_argument('--worker', type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    try:
        import atheris  # noqa: F401
    except ImportError:
        print(f'fuzz: atheris is missing; fix: {pip_install("fuzz")}', file=sys.stderr)
        return 2
    if args.worker is not None:
        return work(args)
    prepare(args.out)
    if args.replay:
        target(args.out).feed(args.replay.read_bytes())
        return 0
    return fuzz(args)


def prepare(out: Path) -> None:
    """Write a tiny policy and the seeds."""
    from fuzz_target import seeds
    from tiny import write_tiny
    (out / 'corpus').mkdir(parents=True, exist_ok=True)
    if not (out / 'tiny').exists():
        write_tiny(out / 'tiny')
    for number, data in enumerate(seeds()):
        (out / 'corpus' / f'seed{number:03d}').write_bytes(data)


def target(out: Path):
    """Open the tiny policy."""
    from fuzz_target import Target
    from vla_nav_node.bundle.bundle import load_bundle
    return Target(load_bundle(out / 'tiny'))


def fuzz(args: argparse.Namespace) -> int:
    """Run the workers, then report their findings and their progress."""
    for left in (*args.out.glob('worker*'), *args.out.glob('finding-*')):
        left.unlink()
    started = time.monotonic()
    workers = [start(args, number) for number in range(args.workers)]
    statuses = [worker.wait() for worker in workers]
    seconds = time.monotonic() - started
    counts = [json.loads(path.read_text()) for path in args.out.glob('worker*.json')]
    sums = {key: sum(count[key] for count in counts) for key in ('inputs', 'decoded', 'drove')}
    features = [int(n) for path in args.out.glob('worker*.log')
                for n in re.findall(rb' cov: (\d+) ', path.read_bytes())]
    figures = {**sums, 'workers': args.workers, 'seconds': round(seconds, 1),
               'inputs_per_second': round(sums['inputs'] / seconds),
               'corpus': len(list((args.out / 'corpus').iterdir())),
               'edges': max(features, default=0), 'lines': lines_reached(args.out),
               'findings': sorted(path.name for path in args.out.glob('finding-*')),
               'failed_workers': sum(status != 0 for status in statuses)}
    report(figures, args)
    return 1 if figures['findings'] or figures['failed_workers'] else 0


def start(args: argparse.Namespace, number: int) -> subprocess.Popen:
    """Start a worker; libFuzzer's output goes to a file."""
    runs = args.runs // args.workers + (number < args.runs % args.workers)
    command = [sys.executable, __file__, '--worker', str(number), '--runs', str(runs),
               '--seed', str(args.seed), '--out', str(args.out)]
    with open(args.out / f'worker{number}.log', 'wb') as log:
        return subprocess.Popen(command, stdout=log, stderr=log,
                                env={**os.environ, 'OPENCV_LOG_LEVEL': 'OFF'})


def work(args: argparse.Namespace) -> int:
    """Fuzz; libFuzzer ends the process."""
    import atheris
    import cv2  # noqa: F401  # not to be instrumented
    with atheris.instrument_imports(include=['vla_nav_node']):
        fed = target(args.out)
    counted = args.out / f'worker{args.worker}.json'

    def count() -> None:
        counted.write_text(json.dumps({'inputs': fed.fed, 'decoded': fed.decoded,
                                       'drove': fed.drove}))

    def one(data: bytes) -> None:
        try:
            fed.feed(data)
        except BaseException:
            (args.out / f'finding-{args.worker}.txt').write_text(traceback.format_exc())
            count()
            raise
        if fed.fed % COUNT_EVERY == 0 or fed.fed >= args.runs:
            count()

    # The decoders' own warnings, one for each broken picture, would fill the disk: mask 2.
    atheris.Setup([sys.argv[0], str(args.out / 'corpus'), f'-runs={args.runs}', '-reload=1',
                   f'-seed={args.seed + args.worker}', f'-max_len={MOST_BYTES}',
                   f'-rss_limit_mb={MOST_MIB}', f'-timeout={MOST_S}', '-close_fd_mask=2',
                   f'-artifact_prefix={args.out}/finding-{args.worker}-'], one)
    atheris.Fuzz()
    return 0


def lines_reached(out: Path) -> dict:
    """Replay the corpus; return [lines reached, lines] of each module that it runs."""
    code = ('import coverage, json, sys; from pathlib import Path; out = Path(sys.argv[1])\n'
            'cov = coverage.Coverage(data_file=None, source=["vla_nav_node"]); cov.start()\n'
            'from fuzz_images import MEASURED, target; import importlib.util as u\n'
            'fed = target(out)\n'
            'for path in sorted((out / "corpus").iterdir()): fed.feed(path.read_bytes())\n'
            'cov.stop(); found = {}\n'
            'for name in MEASURED:\n'
            '    spec = u.find_spec("vla_nav_node." + name)\n'
            '    _, lines, _, missing, _ = cov.analysis2(spec.origin)\n'
            '    found[name] = [len(lines) - len(missing), len(lines), missing]\n'
            'print(json.dumps(found))')
    here = Path(__file__).resolve().parent
    done = subprocess.run(
        [sys.executable, '-c', code, str(out)], check=False, capture_output=True, text=True,
        env={**os.environ, 'OPENCV_LOG_LEVEL': 'OFF', 'PYTHONPATH': os.pathsep.join(
            [str(here), str(here.parent), os.environ.get('PYTHONPATH', '')])})
    if done.returncode:
        return {'not measured': [0, 0, (done.stderr.splitlines() or ['?'])[-1]]}
    return json.loads(done.stdout)


def report(figures: dict, args: argparse.Namespace) -> None:
    """Print the figures."""
    if args.json:
        args.json.write_text(json.dumps(figures, indent=1))
    print(f'{figures["inputs"]} inputs in {figures["seconds"]} s by {figures["workers"]} workers '
          f'({figures["inputs_per_second"]} a second); {figures["decoded"]} decoded, '
          f'{figures["drove"]} drove')
    print(f'corpus: {figures["corpus"]} inputs that reach {figures["edges"]} edges')
    for name, (reached, lines, missing) in figures['lines'].items():
        print(f'  {name}: {reached} of {lines} lines; not {missing}')
    print(f'findings: {", ".join(figures["findings"]) or "none"} '
          f'({figures["failed_workers"]} workers failed)')
    if figures['findings'] or figures['failed_workers']:
        print(f'see {args.out}; make fuzz ARGS="--replay {args.out}/finding-..." shows it again')


if __name__ == '__main__':
    sys.exit(main())
