"""
How often `vla_nav tune` answers rightly, with candidates of known speed.

  --plant 0      the defaults against themselves: right is "no winner"
  --plant 10     a candidate that is 10 % slower: right is "slower", and no winner
  --plant -10    one that is 10 % quicker: right is "winner"
"""

import argparse
from dataclasses import replace
import json
from pathlib import Path
import subprocess
import sys
import tempfile
import time

from vla_nav_node.bench.models.runners.row_process import Budget
from vla_nav_node.bench.tuning.arena import Arena, Pace
from vla_nav_node.bench.tuning.given.subjects import open_bundle, Wanted
from vla_nav_node.bench.tuning.paired_blocks import compare
from vla_nav_node.bench.tuning.search import DUEL_PAIRS, Entry, Search
from vla_nav_node.bench.tuning.tune_journal import Journal

RIGHT = {0: 'no winner', 10: 'slower', -10: 'winner'}


def main(argv=None):
    """Run tunings, print a line each, and the number that were right."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--plant', type=int, default=0, choices=RIGHT)
    parser.add_argument('--runs', type=int, default=20)
    parser.add_argument('--first', type=int, default=0, help='number of the first run')
    parser.add_argument('--model', default='shipped')
    parser.add_argument('--precision', default='int8')
    parser.add_argument('--candidates', type=int, default=1, help='equal ones')
    parser.add_argument('--duel-pairs', type=int, default=DUEL_PAIRS, help='of each start')
    parser.add_argument('--period-ms', type=float, default=20.0)
    parser.add_argument('--seconds', type=float, default=120.0, help='of each tuning')
    parser.add_argument('--burn', action='store_true', help='a core, meanwhile')
    args = parser.parse_args(argv)
    burner = subprocess.Popen([sys.executable, '-m', 'vla_nav_node.bench.node.burner']) \
        if args.burn else None
    try:
        answers = [one_tuning(args, number) for number in range(args.first,
                                                                args.first + args.runs)]
    finally:
        if burner:
            burner.kill()
    right = answers.count(RIGHT[args.plant])
    print(f'{right} of {len(answers)} right ({RIGHT[args.plant]})')
    return 0 if right >= 0.95 * len(answers) else 1


def one_tuning(args, number):
    """Tune once; return 'winner', 'slower' or 'no winner'."""
    begin_s = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        model = open_bundle(args.model, Path('out/presets'), 'made', Wanted(
            precisions=[args.precision], backends=['onnx']), Path(folder))
        baseline, candidates = planted(model.baseline, args.plant, args.candidates)
        arena = Arena(baseline, Pace(args.period_ms, runs=40), Budget(args.seconds),
                      Journal(Path(folder, 'journal.json'), {}, False))
        search = Search(arena, args.duel_pairs, lambda doing, entries: None)
        winner = search.run(candidates)
    answer = 'winner' if winner else 'no winner'
    if answer != 'winner' and args.plant and search.entries[0].status == 'slower':
        answer = 'slower'
    shown = [{'status': entry.status, 'duel': len(entry.duel), **{
        name: [round(float(value), 3) for value in ratio]
        for name, ratio in compare(entry.duel or entry.pairs)._asdict().items()}}
        for entry in search.entries if entry.pairs]
    print(json.dumps({'run': number, 'answer': answer, 'burn': args.burn, 'entries': shown,
                      'seconds': round(time.monotonic() - begin_s)}), flush=True)
    return answer


def planted(trial, percent, count):
    """Return a baseline and candidates, one of which has another speed, as shares of a step."""
    def slow(share):
        return replace(trial, planted=f'slower:{share:.4f}')
    if percent > 0:
        return trial, [Entry(slow(percent / 100))]
    if percent < 0:
        return slow(1 / (1 + percent / 100) - 1), [Entry(trial)]
    # slower:0 is the same trial under another name
    return trial, [Entry(replace(trial, planted=f'slower:0.{"0" * zeros}'))
                   for zeros in range(1, count + 1)]


if __name__ == '__main__':
    sys.exit(main())
