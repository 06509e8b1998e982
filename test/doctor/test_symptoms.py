"""Logs are explained by their kind: the cause first, nothing healthy accused, nothing slow."""

from itertools import chain
import json
from pathlib import Path
import subprocess
import sys
import time

from hypothesis import given, settings, strategies as st
import pytest
from vla_nav_node.doctor.symptoms import (
    as_json, explain, explain_file, explained, report_lines)
from vla_nav_node.doctor.symptoms.catalogue import catalogue
from vla_nav_node.errors import BackendError, SettingError
import yaml

HERE = Path(__file__).parent
LOGS, HEALTHY = HERE / 'logs', sorted((HERE / 'healthy').glob('*.log'))
ERROR_35 = 'CUDA initialization failure with error: 35. Please check your CUDA installation'


def rows():
    """Yield the expected explanation of each log, with its text."""
    for row in yaml.safe_load((HERE / 'explained.yaml').read_text()):
        yield pytest.param({**row, 'text': (LOGS / f'{row["log"]}.log').read_text()},
                           id=row['log'])
    for number, row in enumerate(yaml.safe_load((HERE / 'neighbours.yaml').read_text())):
        yield pytest.param(row, id=f'{row["symptom"]}-{number}')


def said(explanation):
    """Return the explanation without the lines of the log."""
    return ' '.join(text for finding in explanation.findings for text in (
        finding.cause, finding.remedy, *chain(*finding.platforms))).lower()


@pytest.mark.parametrize('row', list(rows()))
def test_every_log_is_explained_by_its_cause_and_remedy(row):
    explanation = explain(row['text'])
    assert [finding.name for finding in explanation.findings][:1] == [row['symptom']]
    text = said(explanation)
    assert [words for words in row['words']
            if not any(word.strip().lower() in text for word in words.split('|'))] == []
    assert all(finding.source and finding.line for finding in explanation.findings)


def test_there_are_the_25_logs_and_as_many_of_other_wording():
    assert len(list(LOGS.glob('*.log'))) == 25
    assert len(list(rows())) >= 50


@pytest.mark.parametrize('path', HEALTHY, ids=lambda path: path.stem)
def test_a_healthy_log_is_not_accused(path):
    explanation = explain(path.read_bytes())
    assert (explanation.findings, explanation.unknown) == ([], [])


def test_there_are_ten_healthy_logs():
    assert len(HEALTHY) >= 10


def names(text):
    """Return the names of the symptoms in the order of the explanation."""
    return [finding.name for finding in explain(text).findings]


def test_a_cause_stands_before_what_follows_from_it_even_if_its_line_comes_later():
    text = ('TypeError: pybind11::init(): factory function returned nullptr\n'
            f'[TRT] [E] {ERROR_35}\nbash: nvidia-smi: command not found\n')
    assert names(text) == ['no-nvidia-driver', 'cuda-driver-too-old', 'tensorrt-nullptr']
    last = explain(text).findings[-1]
    assert last.follows == ['cuda-driver-too-old', 'no-nvidia-driver']
    assert last.line_number == 1
    assert 'follows from cuda-driver-too-old' in '\n'.join(report_lines(explain(text)))


def test_what_is_harmless_comes_last():
    text = (LOGS / 'trt-resize-scales.log').read_text()
    assert names(text)[-1] == 'tensorrt-int64-warning'
    assert explain(text).findings[-1].harmless


@pytest.mark.parametrize('driver, tells', [
    ('', 'older than the CUDA'), ('Driver Version: 470.82.01', '470.82.01 serves CUDA 11 only'),
    ('Driver Version: 560.35.03', '560.35.03 serves CUDA 12'),
    ('Driver Version: 580.65.06', 'new enough even for CUDA 13'),
    ('torch 2.9.0+cu130, Driver Version: 550.54.14', 'needs driver 580'),
    ('nvidia-smi: command not found', 'No NVIDIA driver at all')])
def test_numbers_of_the_log_decide_what_error_35_means(driver, tells):
    found = {finding.name: finding for finding in explain(f'{driver}\n{ERROR_35}\n').findings}
    cause = found['cuda-driver-too-old'].cause
    assert tells in cause
    assert driver == '' or 'toolkit' in cause or '580.65' in driver


@pytest.mark.parametrize('cuda, version', [('11', '1.19'), ('12', '<1.27'), ('13', '1.27')])
def test_the_number_behind_so_names_the_onnxruntime_that_fits(cuda, version):
    finding, = explain(f'OSError: libcudart.so.{cuda}: cannot open shared object file').findings
    assert f'CUDA {cuda}' in finding.cause
    assert version in finding.remedy + finding.cause
    assert f'libcudart.so.{cuda}' in finding.cause


@pytest.mark.parametrize('change', [
    lambda text: text.replace('\n', '\r\n'), lambda text: f'\x1b[31m{text}\x1b[0m',
    lambda text: text.replace('error: 35', '\x1b[1;31merror\x1b[0m:  35'),
    lambda text: '\n'.join(f'[node-1] [ERROR] [1700000000.123456789] [a.b]: {line}'
                           for line in text.splitlines()),
    lambda text: '2026-01-01T00:00:00.1Z stderr F ' + text, lambda text: text.upper(),
    lambda text: 'x' * 40 + ' ' + text[:30] + '\n' + text[30:],
    lambda text: 'x' * 40 + ' ' + text[:33] + '\n' + text[33:].lstrip(),
    lambda text: 'ohne Fehler: äöü 오류\n' + text])
def test_colours_prefixes_wrapped_lines_and_line_ends_do_not_matter(change):
    assert names(change(ERROR_35)) == ['cuda-driver-too-old']


def test_bytes_that_are_no_text_do_not_matter():
    assert [finding.name for finding in explain(
        b'\xff\xfe\x80' + ERROR_35.encode() + b'\n\xc3(').findings] == ['cuda-driver-too-old']
    assert [finding.name for finding in explain(
        ERROR_35.encode('utf-16')).findings] == ['cuda-driver-too-old']


def test_unknown_errors_are_listed_and_not_guessed():
    explanation = explain('all good\nFooError: the frobnicator is upset\n'
                          'FooError: the frobnicator is upset\n0 errors, 3 warnings\n')
    assert not explanation.findings
    assert explanation.unknown == ['FooError: the frobnicator is upset']
    assert report_lines(explanation) == [
        'no known symptom', 'not known:', '  FooError: the frobnicator is upset']


def test_an_error_that_is_known_is_not_listed_again():
    explanation = explain(f'{ERROR_35}\n' * 5 + 'error: something else\n')
    assert explanation.unknown == ['error: something else']


@settings(max_examples=150, deadline=None)
@given(st.one_of(st.binary(max_size=3000), st.text(max_size=3000)))
def test_whatever_the_bytes_it_answers(data):
    explanation = explain(data)
    json.dumps(as_json(explanation))
    report_lines(explanation)


def hostile():
    """Yield long texts that hold the fixed words of every pattern and match few of them."""
    words = [pattern.words for symptom in catalogue().symptoms.values()
             for pattern in symptom.patterns]
    yield ' '.join(words_of[0] for words_of in words) * 60
    yield from ('a' * 1_000_000, ('lib' + 'x' * 80 + '.so.1' * 20) * 5000, "'(" * 400_000,
                '1.' * 400_000, '\n' * 400_000, '\x1b[' * 400_000)
    yield '\n'.join(' '.join(pieces) + 'x' * 100 for pieces in words) * 8


@pytest.mark.parametrize('text', list(hostile()), ids=lambda text: f'{len(text)}-{text[:8]!r}')
def test_a_text_made_to_hurt_takes_seconds(text):
    started = time.process_time()
    explain(text)
    assert time.process_time() - started < 20  # as long as it is not minutes


def test_a_long_log_is_read_in_pieces(tmp_path):
    path = tmp_path / 'long.log'
    line = b'[INFO] [1700000000.123] [camera]: cuda frame 12345 took 3.2 ms\n'
    path.write_bytes(line * 120_000 + ERROR_35.encode() + b'\n')
    finding, = explain_file(str(path)).findings
    assert finding.line_number == 120_001


def test_a_long_log_that_repeats_itself_hides_nothing():
    many = ''.join(f'[{number}.5] frame {number} took {number / 7:.3f} ms, error: {number % 50}\n'
                   for number in range(90_000))
    assert 'gpu-lost' not in names(many)
    assert names(f'{many}CUDA error: 2\nCUDA error: 35\n') == [
        'gpu-out-of-memory', 'cuda-driver-too-old']


def test_a_backends_error_is_explained_unless_it_explains_itself():
    error = RuntimeError(ERROR_35)
    assert 'driver 580' in explained(error, f'RuntimeError: {error}')
    itself = BackendError(ERROR_35, fix='update the driver')
    assert explained(itself, str(itself)) == str(itself)
    assert 'fix: ' in explained(BackendError(ERROR_35), ERROR_35)
    for plain in (SettingError(ERROR_35), ValueError('nothing known')):
        assert explained(plain, str(plain)) == str(plain)


def run(*arguments, text=''):
    """Run the module as a program."""
    return subprocess.run([sys.executable, '-m', 'vla_nav_node.doctor.symptoms', *arguments],
                          input=text, capture_output=True, text=True, timeout=60, check=False,
                          cwd=HERE.parents[1])


def test_the_module_explains_a_file_and_standard_input(tmp_path):
    done = run('-', text=ERROR_35)
    assert done.returncode == 1
    assert done.stdout.startswith('1. cuda-driver-too-old\n')
    document = json.loads(run('--json', str(LOGS / 'onnx-ir-10.log')).stdout)
    assert document['schema'] == 1
    assert document['symptoms'][0]['name'] == 'onnx-ir-too-new'
    assert run('-', text='all is well').returncode == 0
    absent = run(str(tmp_path / 'absent'))
    assert (absent.returncode, 'cannot be read' in absent.stderr) == (2, True)
    assert run().returncode == 2


def test_a_real_file_of_a_newer_format_and_a_real_pickled_checkpoint(tmp_path):
    onnx = pytest.importorskip('onnx', reason='onnx is not installed')
    runtime = pytest.importorskip('onnxruntime', reason='ONNX Runtime is not installed')
    x = onnx.helper.make_tensor_value_info('x', 1, [1])
    y = onnx.helper.make_tensor_value_info('y', 1, [1])
    graph = onnx.helper.make_graph([onnx.helper.make_node('Relu', ['x'], ['y'])], 'g', [x], [y])
    for changes, symptom in (({'ir_version': 99}, 'onnx-ir-too-new'),
                             ({'opset_imports': [onnx.helper.make_opsetid('', 99)]},
                              'onnx-opset-too-new')):
        model = onnx.helper.make_model(graph, **{'ir_version': 8, **changes})
        with pytest.raises(Exception) as raised:  # a type of the runtime's own
            runtime.InferenceSession(model.SerializeToString())
        assert names(str(raised.value))[:1] == [symptom]
    (tmp_path / 'cut.onnx').write_bytes(model.SerializeToString()[:20])
    with pytest.raises(Exception) as raised:
        runtime.InferenceSession(str(tmp_path / 'cut.onnx'))
    assert names(str(raised.value)) == ['onnx-file-damaged']
