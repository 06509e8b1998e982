"""`vla_nav tune` from end to end: only true settings, in the config, whatever goes wrong."""

from dataclasses import replace
import errno
import json
import math
import time

import pytest

for package in ('onnxruntime', 'onnx', 'psutil', 'torch', 'rich', 'matplotlib', 'ruamel.yaml'):
    pytest.importorskip(package)

import numpy as np  # noqa: E402, I100, they come after the checks above
from summing import write_sum  # noqa: E402
import tiny  # noqa: E402
from vla_nav_node import cli  # noqa: E402
from vla_nav_node.bench.models.runners.row_process import Budget  # noqa: E402
from vla_nav_node.bench.tuning import search  # noqa: E402
from vla_nav_node.bench.tuning.arena import Arena, BLOCK, Met, Pace  # noqa: E402
from vla_nav_node.bench.tuning.given import subjects  # noqa: E402
from vla_nav_node.bench.tuning.measured.paced_worker import Rollout  # noqa: E402
from vla_nav_node.bench.tuning.paired_blocks import Block, Pair  # noqa: E402
from vla_nav_node.bench.tuning.search import Entry, Search  # noqa: E402
from vla_nav_node.bench.tuning.truth import check_truth, differences  # noqa: E402
from vla_nav_node.bench.tuning.tune_journal import Journal  # noqa: E402
import yaml  # noqa: E402

PACE = Pace(5.0, 5, 20, patience_s=1.5)
INFO = {'name': 'onnx', 'library': 'onnxruntime', 'version': '1.32.0', 'device': 'cpu',
        'provider': 'CPUExecutionProvider', 'precision': 'fp32', 'layers': '', 'note': ''}


@pytest.fixture(scope='module')
def bundle(tmp_path_factory):
    """Write a tiny bundle."""
    return tiny.write_tiny(tmp_path_factory.mktemp('tune') / 'tiny')


@pytest.fixture(autouse=True)
def short_samples(monkeypatch):
    """Look at the machine for a moment only, and draw fewer samples."""
    monkeypatch.setattr('vla_nav_node.system.machine.SAMPLE_S', 0.05)
    monkeypatch.setattr('vla_nav_node.bench.tuning.paired_blocks.RESAMPLES', 300)


@pytest.fixture
def small(monkeypatch):
    """Search little: one start of a duel, two rounds."""
    monkeypatch.setattr(search, 'STARTS', 1)
    monkeypatch.setattr(search, 'MOST_STARTS', 1)
    monkeypatch.setattr(search, 'ROUNDS', 2)


@pytest.fixture
def trial(bundle, tmp_path):
    """Return the tiny bundle's defaults."""
    return subjects.open_bundle(str(bundle.directory), tmp_path, 'made', subjects.Wanted(
        ['onnx'], ['fp32'], 'cpu'), tmp_path).baseline


def arena_of(trial, tmp_path, seconds=60.0):
    """Return an arena with a new journal."""
    return Arena(trial, PACE, Budget(seconds), Journal(tmp_path / 'journal.json', {}, False))


def test_each_fault_is_a_row_and_the_search_goes_on(trial, tmp_path, small):
    def plant(text):
        return Entry(replace(trial, planted=text))
    entries = [plant('crash'), plant('hang'), plant('busy:6'), plant('busy:0'), Entry(
        trial.with_changes({'onnx_provider': 'cuda'}))]
    arena = arena_of(replace(trial, planted='busy:3'), tmp_path)
    begin_s = time.monotonic()
    winner = Search(arena, 8, lambda doing, rows: None).run(entries)
    crashed, hung, slow, quick, unsupported = entries
    assert winner is quick and quick.status == 'winner' and len(quick.duel) == 8
    assert slow.status == 'slower' and quick.found.p50.value < 0.5
    assert crashed.status == 'failed' and 'ended (exit status -6)' in crashed.reason
    assert hung.status == 'failed' and 'gave no answer within' in hung.reason
    assert unsupported.status == 'failed'
    assert 'onnx_provider cuda on device cpu' in unsupported.reason
    assert time.monotonic() - begin_s < 45.0


@pytest.mark.parametrize(('planted', 'problem'), [
    ('wrong', 'the outputs of 200 steps differ by 0.05 m/s; the limit is 0.0001'),
    ('drift', 'one input gives results that differ by 0.05')])
def test_what_computes_something_else_is_out(trial, tmp_path, planted, problem):
    arena = arena_of(trial, tmp_path)
    assert problem in check_truth(arena, replace(trial, planted=planted))


def test_what_computes_the_same_passes(trial, tmp_path):
    changed = trial.with_changes({'intra_op_num_threads': 2, 'enable_mem_pattern': False})
    assert check_truth(arena_of(trial, tmp_path), changed) == ''


def rollout(outputs, states=0.5):
    return Rollout(np.full((20, 2), outputs), np.full((20, 4), states))


@pytest.mark.parametrize(('precision', 'found', 'repeats', 'problem'), [
    ('fp32', rollout(0.3), 0.0, ''), ('int8', rollout(0.305, 0.505), 0.0, ''),
    ('fp32', rollout(0.305), 0.0, 'the outputs of 20 steps differ by 0.005 m/s'),
    ('fp32', rollout(0.3, 0.51), 0.0, 'the state differs by 0.02 of its size'),
    ('int8', rollout(0.32), 0.0, 'm/s (mean); the limit is 0.01'),
    ('fp32', rollout(math.nan), 0.0, 'a result is not finite'),
    ('fp32', rollout(0.3), 0.1, 'one input gives results that differ by 0.1'),
    ('', rollout(0.31), 0.0, 'of their size; the limit is 0.001'), ('', rollout(0.3), 1e-5, '')])
def test_limits_are_those_of_the_precision(precision, found, repeats, problem):
    said = '; '.join(differences(rollout(0.3), found, repeats, precision))
    assert problem in said and bool(said) == bool(problem)


def planted_bundle(monkeypatch, milliseconds=3):
    """Make the baseline slow; its runtime without that is a candidate."""
    original = subjects.open_bundle

    def opened(*arguments):
        model = original(*arguments)
        return model._replace(baseline=replace(model.baseline, planted=f'busy:{milliseconds}'),
                              runtimes=[model.baseline])
    monkeypatch.setattr(subjects, 'open_bundle', opened)


def quick(bundle, tmp_path, *more):
    """Return the arguments of a short tuning."""
    return ['tune', str(bundle.directory), '--output', str(tmp_path / 'out'), '--period-ms', '5',
            '--backends', 'onnx', '--device', 'cpu', '--runs', '20', '--warmup', '5', *more]


def test_a_winner_goes_into_the_config_with_what_is_expected_of_it(
        bundle, tmp_path, monkeypatch, small, capsys):
    planted_bundle(monkeypatch)
    monkeypatch.setattr(search, 'QUICK_DUEL_PAIRS', 6)
    monkeypatch.setattr('vla_nav_node.bench.tuning.tuning.singles', lambda place, quick: [
        {'rehearsal_ms': 2.0}, {'enable_mem_pattern': False}])
    monkeypatch.setattr('vla_nav_node.bench.tuning.tuning.starts_for', lambda *_: [])
    config = tmp_path / 'robot.yaml'
    config.write_text('# mine\n/**:\n  ros__parameters:\n    enable_mem_pattern: true  # so\n')
    assert cli.main(quick(bundle, tmp_path, '--quick', '--config', str(config), '--json',
                          str(tmp_path / 'also.json'), '--minutes', '0.6')) == 0
    said = capsys.readouterr().out
    report = json.loads((tmp_path / 'out' / 'tune.json').read_text())
    assert report['winner'] and report['answer'].startswith('Take onnx fp32')
    assert report == json.loads((tmp_path / 'also.json').read_text())
    written = yaml.safe_load(config.read_text())['/**']['ros__parameters']
    assert written['backend'] == 'onnx' and written['tuned_period_ms'] == 5.0
    assert 0.0 < written['tuned_p50_ms'] <= written['tuned_p99_ms'] < 50.0
    assert 'runtime=onnx:fp32' in written['tuned_for'] and 'date=20' in written['tuned_for']
    assert isinstance(written['enable_mem_pattern'], bool) and written['rehearsal_ms'] >= 0.0
    assert config.read_text().startswith('# mine\n') and '# so' in config.read_text()
    assert (tmp_path / 'robot.yaml.bak').exists() and '+    tuned_for:' in said
    page = (tmp_path / 'out' / 'tune.md').read_text()
    assert '| rank |' in page and '```diff' in page and 'do_copy_in_default_stream' in page
    assert (tmp_path / 'out' / 'tune.png').read_bytes()[:4] == b'\x89PNG'


class Fake:
    """Stands for the measuring, with one ratio for all; may be interrupted."""

    def __init__(self, monkeypatch, ratio=1.0, interrupt_at=0):
        self.measured, self._ratio, self._interrupt_at = [], ratio, interrupt_at
        monkeypatch.setattr(Arena, '_beside', self.beside)
        monkeypatch.setattr(Arena, 'baseline_info', lambda arena: dict(INFO))
        monkeypatch.setattr(search, 'check_truth', lambda arena, trial: '')

    def beside(self, trial, pairs, start):
        if len(self.measured) + 1 == self._interrupt_at:
            raise KeyboardInterrupt
        self.measured.append(trial.name)
        generator = np.random.default_rng(len(self.measured))

        def block(scale):
            return Block(scale * generator.lognormal(0.0, 0.05, BLOCK), scale)
        return Met([Pair(block(1.0), block(self._ratio), start) for _ in range(pairs)], 0.1, INFO)


def test_without_a_winner_the_config_stays_and_that_is_good(
        bundle, tmp_path, monkeypatch, capsys):
    Fake(monkeypatch)
    config = tmp_path / 'robot.yaml'
    assert cli.main(quick(bundle, tmp_path, '--config', str(config))) == 0
    assert 'no winner, the defaults stay' in capsys.readouterr().out and not config.exists()
    rows = json.loads((tmp_path / 'out' / 'tune.json').read_text())['rows']
    assert [row['status'] for row in rows].count('baseline') == 1
    assert all(row['status'] in ('baseline', 'equal within noise', 'not confirmed', 'slower')
               for row in rows)


def test_after_ctrl_c_resume_goes_on_from_what_is_measured(
        bundle, tmp_path, monkeypatch, capsys):
    first = Fake(monkeypatch, 0.8, interrupt_at=5)
    assert cli.main(quick(bundle, tmp_path)) == 2
    assert 'Interrupted: --resume goes on' in capsys.readouterr().out
    assert len(first.measured) == 4
    report = json.loads((tmp_path / 'out' / 'tune.json').read_text())
    assert len([row for row in report['rows'] if 'p50' in row]) == 5  # and the baseline
    second = Fake(monkeypatch, 0.8)
    assert cli.main(quick(bundle, tmp_path, '--resume')) == 0
    assert second.measured and first.measured[0] not in second.measured[:1]
    assert 'Take onnx fp32' in capsys.readouterr().out
    third = Fake(monkeypatch, 0.8)
    assert cli.main(quick(bundle, tmp_path, '--resume')) == 0  # nothing is left to measure
    assert third.measured == []


def test_resume_refuses_another_tuning(bundle, tmp_path, monkeypatch, capsys):
    Fake(monkeypatch)
    assert cli.main(quick(bundle, tmp_path)) == 0
    assert cli.main(quick(bundle, tmp_path, '--resume', '--quick')) == 2
    assert 'is of another tuning: quick was False, is True' in capsys.readouterr().err
    (tmp_path / 'out' / 'tune.journal.json').write_text('{"key": 1}')
    assert cli.main(quick(bundle, tmp_path, '--resume')) == 2
    assert 'tune.journal.json cannot be read' in capsys.readouterr().err
    assert cli.main([*quick(bundle, tmp_path / 'other', '--resume')]) == 2
    assert 'nothing to resume' in capsys.readouterr().err


def test_the_time_is_kept(bundle, tmp_path, capsys):
    begin_s = time.monotonic()
    assert cli.main(quick(bundle, tmp_path, '--quick', '--minutes', '0.25')) == 0
    assert time.monotonic() - begin_s < 0.25 * 60.0 * 1.1 + 2.0  # and the writing of tiny pages
    report = json.loads((tmp_path / 'out' / 'tune.json').read_text())
    assert [row for row in report['rows'] if row['reason'] == 'the time was over']


def test_a_duel_that_the_time_cuts_short_makes_no_winner(trial, tmp_path, monkeypatch):
    Fake(monkeypatch, 0.8)
    arena, entry = arena_of(trial, tmp_path), Entry(trial)
    needs = iter([0.0, 0.0, 0.0, 1e9])  # before it, and before each start
    monkeypatch.setattr(arena, 'needs_s', lambda *_: next(needs))
    assert not Search(arena, 8, lambda doing, rows: None)._wins(entry)
    assert (entry.status, entry.reason) == ('not confirmed', 'the time was over in its duel')


def test_a_full_disk_is_one_clear_line(bundle, tmp_path, monkeypatch, capsys):
    def full(*_):
        raise OSError(errno.ENOSPC, 'No space left on device')
    Fake(monkeypatch)
    monkeypatch.setattr('vla_nav_node.system.atomic_files.flush', full)
    assert cli.main(quick(bundle, tmp_path)) == 2
    said = capsys.readouterr().err.strip().splitlines()
    assert len(said) == 1 and 'tune.journal.json cannot be written: No space left' in said[0]
    assert list((tmp_path / 'out').iterdir()) == []


def test_any_file_is_tuned_against_the_defaults_of_onnx_runtime(tmp_path, small, capsys):
    file = write_sum(tmp_path / 'sum.onnx')
    assert cli.main(['tune', str(file), '--output', str(tmp_path / 'out'), '--period-ms', '5',
                     '--dim', 'batch=1', '--input', 'x=random', '--quick', '--runs', '20',
                     '--minutes', '0.22']) == 0
    report = json.loads((tmp_path / 'out' / 'tune.json').read_text())
    assert "ONNX Runtime's own defaults" in [row['settings'] for row in report['rows']]
    assert report['notes'][-1] == 'Fed back: stateN into state.'
    assert bool(report['python']) == bool(report['winner']) and not report['diff']
    assert len([row for row in report['rows'] if 'p50' in row]) > 2


def test_a_dry_run_only_tells(bundle, tmp_path, capsys):
    assert cli.main(quick(bundle, tmp_path, '--dry-run')) == 0
    said = capsys.readouterr().out
    assert 'baseline: onnx fp32: the defaults' in said and 'try: onnx fp32: ' in said
    assert 'not: onnx int8: the bundle has no policy.int8.onnx' in said
    assert not (tmp_path / 'out').exists()


@pytest.mark.parametrize(('arguments', 'problem'), [
    (['nowhere'], 'no model nowhere'), (['shipped', '--minutes', '0'], 'nothing to measure'),
    (['shipped', '--period-ms', '0'], '1 to 1000'), (['shipped', '--runs', '1'], 'nothing to'),
    (['shipped', '--dim', 'a=1'], 'an .onnx file as MODEL'),
    (['shipped', '--backends', 'torch', '--precisions', 'fp16'], 'torch fp16: it has not been'),
    (['FILE', '--dim', 'batch=x'], 'a whole number above 0'),
    (['FILE', '--config', 'new.yaml'], 'the node runs no file'),
    (['FILE', '--device', 'cuda'], 'the CPU, for a file'),
    (['FILE'], 'give --dim batch=N --input x=random')])
def test_it_tells_in_one_line_why_it_cannot_run(tmp_path, monkeypatch, capsys, arguments, problem):
    monkeypatch.chdir(tmp_path)
    write_sum(tmp_path / 'FILE.onnx')
    words = [f'{word}.onnx' if word == 'FILE' else word for word in arguments]
    assert cli.main(['tune', *words]) == 2
    said = capsys.readouterr().err
    assert problem in said and said.count('\n') == 1


def test_an_untrained_policy_is_never_put_into_a_config(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(tiny, 'manifest', lambda *given, made=tiny.manifest: {
        **made(*given), 'training': {'trained': False}})
    bundle = tiny.write_tiny(tmp_path / 'tiny')
    assert cli.main(quick(bundle, tmp_path, '--config', str(tmp_path / 'a.yaml'))) == 2
    assert 'It is not trained' in capsys.readouterr().err
