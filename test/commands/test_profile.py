"""The profile of a cycle, on a real node and a tiny policy."""

import json
from pathlib import Path
import subprocess
import sys

from rig import environment
from tiny import write_tiny

from vla_nav_node.driving.latency_recorder import FIELDS


def profile(*arguments):
    """Run the verb as a user does."""
    return subprocess.run(
        [sys.executable, '-m', 'vla_nav_node.cli', 'profile', *map(str, arguments)], text=True,
        env=environment(), cwd=Path(__file__).parents[2], capture_output=True,
        timeout=100, check=False)


def test_it_tells_where_the_time_goes_and_what_recording_costs(tmp_path):
    bundle, figures = write_tiny(tmp_path / 'tiny'), tmp_path / 'figures.json'
    done = profile('--model', bundle.directory, '--frames', 100, '--json', figures)
    print(done.stdout)
    assert done.returncode == 0, done.stderr
    us = json.loads(figures.read_text())['us']
    assert set(FIELDS) <= set(us)
    assert us['cycle']['p50'] >= us['infer']['p50'] > 0.0
    assert us['deserialise']['p50'] > 0.0
    recording = us['record']['p50'] + us['publish ~/latency']['p50']
    assert recording < us['cycle']['p50']  # the figure itself is printed; 20 us on a free machine
    assert all(name in done.stdout for name in ('guard', 'hand over', 'collect garbage'))


def test_a_size_that_is_none_is_refused():
    done = profile('--size', 'large')
    assert done.returncode == 2
    assert "found 'large', expected a width and a height" in done.stderr
