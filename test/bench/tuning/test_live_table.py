"""The live table is drawn on a terminal only."""

import io
from pathlib import Path
import sys

import numpy as np
import pytest

for package in ('rich',):
    pytest.importorskip(package)

from vla_nav_node.bench.models.runners.row_process import Budget  # noqa: E402, I100
from vla_nav_node.bench.tuning.paired_blocks import Block, Pair  # noqa: E402
from vla_nav_node.bench.tuning.report.live_table import live_table  # noqa: E402
from vla_nav_node.bench.tuning.search import Entry  # noqa: E402
from vla_nav_node.bench.tuning.trial import Subject, Trial  # noqa: E402


@pytest.mark.parametrize('terminal', [True, False])
def test_it_shows_what_comes_next_the_time_and_the_best_rows(monkeypatch, terminal):
    stream = io.StringIO()
    stream.isatty = lambda: terminal
    monkeypatch.setattr(sys, 'stderr', stream)
    monkeypatch.setenv('TERM', 'xterm')
    monkeypatch.setenv('COLUMNS', '120')
    entry = Entry(Trial(Subject('a', 'onnx', Path('a.onnx'))).with_changes(
        {'dynamic_block_base': 4}))
    entry.add([Pair(Block(np.full(10, 2.0), 1.0), Block(np.full(10, 1.0), 1.0))] * 2)
    with live_table(Budget(125.0)) as show:
        show('round 2: that one', [entry])
    said = stream.getvalue()
    assert bool(said) == terminal
    for text in ('round 2: that one; at most 2:05 left', 'dynamic_block_base=4', '0.50'):
        assert (text in said) == terminal
