"""Findings, results, and probes that crash, hang or talk nonsense."""

from pathlib import Path
import time

import pytest
from vla_nav_node.doctor.checks.check import (
    Check, FAILED, failed, Finding, OK, ok, Result, SKIPPED, skipped, WARNING, warning)
from vla_nav_node.doctor.checks.child import ask
from vla_nav_node.doctor.checks.place import Place
from vla_nav_node.doctor.examination import examine, run
from vla_nav_node.doctor.screen import document, lines, summary
from vla_nav_node.errors import BackendError


@pytest.mark.parametrize('status', [WARNING, FAILED])
@pytest.mark.parametrize('expected, remedy', [('', ''), ('a disk', ''), ('', 'free it'),
                                              ('a disk', '  ')])
def test_what_is_not_well_cannot_be_said_without_its_remedy(status, expected, remedy):
    with pytest.raises(TypeError):
        Finding(status, 'it is full', expected, remedy)
    with pytest.raises(TypeError):
        failed('it is full')


@pytest.mark.parametrize('status, found', [('fine', 'all'), (OK, ''), (SKIPPED, ' ')])
def test_findings_have_a_known_status_and_a_text(status, found):
    with pytest.raises(TypeError):
        Finding(status, found)


def check(*findings, name='disk'):
    return Check(name, 'here', 'files', lambda place: iter(findings))


def test_the_worst_finding_is_the_line_and_the_details_follow():
    result = run(check(ok('large'), warning('small', 'big', 'grow'), failed('full', 'room', 'rm')),
                 Place())
    assert result.status == FAILED
    assert [text.split() for _, text in lines(result, 4)] == [
        ['failed', 'disk', 'full'], ['expected:', 'room'], ['fix:', 'rm'],
        ['small'], ['expected:', 'big'], ['fix:', 'grow']]
    assert run(check(skipped('no'), ok('yes')), Place()).status == OK


def raising(error):
    def work(place):
        raise error
        yield
    return Check('bad', 'here', 'nothing', work)


def test_a_check_that_breaks_fails_and_hides_no_other():
    results = examine([raising(KeyError('x')), raising(BackendError('no', 'yes', 'do')), check(),
                       check(ok('fine'))], Place())
    assert [result.status for result in results] == [FAILED] * 3 + [OK]
    assert "KeyError: 'x'" in results[0].worst.found
    assert (results[1].worst.found, results[1].worst.remedy) == ('no', 'do')
    told = document(results, 1.0)
    assert told['schema'] == 1 and told['passed'] is False and len(told['checks']) == 4
    assert summary(results, 1.0) == '3 failed, 1 ok; 1.0 s'
    assert isinstance(results[0], Result)


def answer_of(tmp_path, code, limit_s=20.0):
    (tmp_path / 'odd_probe.py').write_text(
        'import sys\nfrom vla_nav_node.doctor.probes.telling import answer\n'
        f'def look(tell, *given):\n    {code}\n'
        'answer(look, sys.argv[1:])\n')
    return ask('odd_probe', ['7'], {**Place().environment, 'PYTHONPATH': str(tmp_path)}, limit_s)


def test_a_crash_is_an_answer_with_what_was_told_before(tmp_path):
    answer = answer_of(tmp_path, 'tell(a=1, step="jumping"); import ctypes; ctypes.string_at(0)')
    assert answer.facts['a'] == 1
    assert answer.problem == 'crashed with SIGSEGV (jumping)'


def test_a_hang_is_an_answer_and_ends_with_all_its_children(tmp_path):
    answer = answer_of(
        tmp_path, 'import subprocess, time; child = subprocess.Popen(["sleep", "60"]); '
        'tell(child=child.pid, step="waiting"); time.sleep(60)', limit_s=2.0)
    assert answer.problem == 'gave no answer within 2 s (waiting)'
    status = Path(f'/proc/{answer.facts["child"]}/stat')
    deadline = time.monotonic() + 10.0
    while status.exists() and status.read_text().split()[2] != 'Z':
        assert time.monotonic() < deadline, 'its child goes on'
        time.sleep(0.05)


def test_an_exception_is_told_and_prints_do_not_disturb(tmp_path):
    answer = answer_of(tmp_path, 'print("noise"); tell(b=given); raise ValueError("odd")')
    assert answer.facts == {'b': ['7'], 'error': ['ValueError: odd', '', '']}
    assert answer.problem == '' and 'noise' in answer.stderr


def test_probes_run_at_the_lowest_priority_and_once_for_all_checks(tmp_path):
    (tmp_path / 'nice_probe.py').write_text(
        'import os, sys, time\nfrom vla_nav_node.doctor.probes.telling import answer\n'
        'answer(lambda tell: tell(nice=os.nice(0), at=time.time_ns()), sys.argv[1:])\n')
    place = Place(environment={**Place().environment, 'PYTHONPATH': str(tmp_path)})
    assert place.heavy('nice_probe').facts['nice'] == 19
    assert place.heavy('nice_probe') is place.heavy('nice_probe')
