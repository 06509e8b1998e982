"""The data of the symptoms is checked, installed with the package, and what the page says."""

from pathlib import Path
import re
import subprocess
import sys
import zipfile

import pytest
import trouble
from vla_nav_node.doctor.symptoms.catalogue import catalogue, DATA, SymptomError

REPOSITORY = Path(__file__).resolve().parents[2]
GOOD = {'name': 'a', 'patterns': "['it is broken']", 'cause': 'c', 'remedy': 'r', 'source': 's'}


def load(folder, **changes):
    """Return the catalogue of one symptom."""
    rows = {**GOOD, **changes}
    (folder / 'x.yaml').write_text('title: X\nsymptoms:\n- ' + '\n  '.join(
        f'{key}: {value}' for key, value in rows.items() if value is not None) + '\n')
    return catalogue(folder)


@pytest.mark.parametrize('changes, problem', [
    ({'remedy': None}, 'a: remedy is missing'), ({'source': None}, 'a: source is missing'),
    ({'colour': 'red'}, 'unknown key colour'), ({'follows': '[b]'}, 'a follows b, which is not'),
    ({'follows': '[a]'}, 'in a circle'), ({'patterns': "['(unclosed words']"}, 'a: (unclosed'),
    ({'patterns': "['(?:ab|cd)+ long word']"}, 'without a bound'),
    ({'patterns': "['(?P<x>.*)']"}, 'no fixed word'), ({'patterns': "['long|words']"}, 'no fixed'),
    ({'cause': '"the {number}"'}, 'may be unknown: name it in when'),
    ({'cases': '[{when: {colour: red}}]'}, 'no fact colour')])
def test_wrong_data_is_refused_with_what_is_wrong(tmp_path, changes, problem):
    with pytest.raises(SymptomError, match=re.escape(problem)):
        load(tmp_path, **changes)


def test_a_symptom_is_added_without_code(tmp_path):
    row = load(tmp_path, patterns="['code (?P<code>\\d+) is broken']", remedy='"mend {code}"')
    assert row.symptoms['a'].case({}).remedy == 'mend {code}'


def test_every_symptom_says_what_to_do():
    for symptom in catalogue().symptoms.values():
        assert symptom.patterns, symptom.name
        assert all(len(case.cause) > 30 and len(case.remedy) > 12 for case in symptom.cases)


@pytest.mark.parametrize('path', sorted(DATA.glob('*.yaml')), ids=lambda path: path.name)
def test_a_file_of_data_is_short_enough_to_read(path):
    assert len(path.read_text().splitlines()) <= 300


def test_the_page_is_of_this_data():
    text = trouble.PAGE.read_text(encoding='utf-8')
    assert text == trouble.page(text), 'write it again: make trouble'


def test_the_page_begins_with_the_first_day_lost():
    first, second = re.findall(
        r'^## (.*)', trouble.PAGE.read_text(encoding='utf-8'), re.MULTILINE)[:2]
    assert first == 'CUDA initialization failure with error: 35'
    assert second == 'NVIDIA driver and CUDA'


def test_a_wheel_has_the_data(tmp_path):
    pytest.importorskip('wheel', reason='the package wheel is not in this environment')
    done = subprocess.run(
        [sys.executable, '-W', 'ignore', 'setup.py', '-q', 'egg_info', '-e', str(tmp_path),
         'build', '-b', str(tmp_path / 'build'), 'bdist_wheel', '-d', str(tmp_path)],
        cwd=REPOSITORY, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr[-500:]
    wheel, = tmp_path.glob('*.whl')
    inside = zipfile.ZipFile(wheel).namelist()
    assert {f'vla_nav_node/doctor/symptoms/data/{path.name}' for path in DATA.glob('*')} <= set(
        inside)
