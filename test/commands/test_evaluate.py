"""Evaluation counts real outcomes, on seeds not used in training."""

import json
import os
from pathlib import Path
import subprocess
import sys

import pytest
import tiny
from vla_nav_node import cli
from vla_nav_node.bundle.bundle import load_bundle, write_bundle
from vla_nav_node.sim.evaluation.success_rate import shortcomings, summarise, wilson_interval
from vla_nav_node.sim.evaluation.trials import plan_trials, Result, run_trials, Trial

pytest.importorskip('mujoco', reason='MuJoCo is not installed')
pytest.importorskip('torch', reason='PyTorch, which writes the tiny bundle, is not installed')


@pytest.fixture(scope='module')
def bundle(tmp_path_factory):
    """Write an untrained policy."""
    return tiny.write_tiny(tmp_path_factory.mktemp('models') / 'tiny')


def test_the_expert_arrives_and_an_ignorant_policy_does_not(bundle):
    """Each episode is in its row, under its seed, with the requested scenario."""
    trials = [Trial('expert', 'expert', ''), Trial('policy', 'policy', 'onnx')]
    results = run_trials(bundle, trials, [41], '1_box_crosswise_left', 1)
    assert [results[trial][0].outcome == 'reached' for trial in trials] == [True, False]
    assert {one.scenario for rows in results.values() for one in rows} == {
        '1_box_crosswise_left'}


def test_the_verb_writes_its_figures_into_the_manifest(bundle, tmp_path, capsys):
    """A bad verdict exits with 1, gives the reason, and is in policy.yaml and the JSON."""
    out = tmp_path / 'report.json'
    status = cli.main(['evaluate', '--model', str(bundle.directory), '--episodes', '1',
                       '--seed', '77', '--quick', '--workers', '1', '--write',
                       '--json', str(out)])
    assert status == 1
    assert 'under 97%' in capsys.readouterr().out
    written = load_bundle(bundle.directory).manifest['verification']
    assert written['closed_loop']['seeds'] == [77, 77]
    assert written['tolerance'] == {'fp32': 0.0001}
    assert json.loads(out.read_text())['episodes']['onnx, 30 Hz'][0]['seed'] == 77


def test_seeds_that_were_trained_on_are_refused(bundle, tmp_path, capsys):
    """One overlapping seed is enough."""
    manifest = {**bundle.manifest, 'training': {'seeds': {'first': 100, 'last': 199}}}
    manifest.pop('files')
    write_bundle(tmp_path / 'b', manifest,
                 {name: bundle.file(name) for name in bundle.manifest['files']})
    assert cli.main(['evaluate', '--model', str(tmp_path / 'b'), '--seed', '95',
                     '--episodes', '6']) == 2
    assert 'trained on' in capsys.readouterr().err


def test_wilsons_interval():
    """Values from the formula, by hand; never outside of 0 to 1."""
    assert wilson_interval(194, 200) == pytest.approx((0.9361, 0.9862), abs=1e-4)
    assert wilson_interval(200, 200)[1] == pytest.approx(1.0) and wilson_interval(0, 10)[0] == 0.0


def _figures(reached, trial):
    rows = [Result(i, 'random', 'reached' if i < reached else 'contact', 6.0, 0.3, float('nan'))
            for i in range(100)]
    return summarise(trial, rows)


def test_the_verdict_names_every_row_that_falls_short():
    """Too few, or too far from the rate at 30 Hz; expert and cleared state do not count."""
    trials = plan_trials(['onnx'], quick=False)
    good = [_figures(98, trial) for trial in trials]
    assert shortcomings(good) == []
    bad = [_figures(90 if trial.frame_rate == 15.0 else 98, trial) for trial in trials]
    assert len(shortcomings(bad)) == 1 and '15 Hz' in shortcomings(bad)[0]
    assert '96' in shortcomings([_figures(96, trials[0])])[0]


def test_the_command_line_helps_and_refuses():
    """Help has an example; a missing verb is a usage error."""
    for verb in ('train', 'evaluate', 'demo'):
        with pytest.raises(SystemExit) as end:
            cli.main([verb, '--help'])
        assert end.value.code == 0
    with pytest.raises(SystemExit) as end:
        cli.main(['fly'])
    assert end.value.code == 2


@pytest.mark.parametrize('verb', ['evaluate', 'train'])
def test_without_a_renderer_it_says_so_and_ends(verb, tmp_path):
    done = subprocess.run(
        [sys.executable, '-m', 'vla_nav_node.cli', verb, '--episodes', '1'], cwd=tmp_path,
        env={**os.environ, 'MUJOCO_GL': 'abacus', 'PYTHONPATH': str(Path(__file__).parents[2])},
        capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert 'MuJoCo cannot render here: abacus' in done.stderr
