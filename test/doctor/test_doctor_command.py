"""The verb, its documents and the plug-in of ros2 doctor."""

from importlib.util import find_spec
import json
import os
import subprocess
import sys

import pytest
from rooms import REPOSITORY
import tiny
from vla_nav_node import cli
from vla_nav_node.bundle.bundle import write_bundle
from vla_nav_node.commands import doctor
from vla_nav_node.doctor import ros_doctor_plugin
from vla_nav_node.doctor.checks import CHECKS
from vla_nav_node.doctor.checks.check import FAILED, OK, SKIPPED, WARNING
from vla_nav_node.doctor.checks.place import Place
from vla_nav_node.doctor.checks.policy import bundle_verdicts, control_loop, tuned_settings
from vla_nav_node.doctor.examination import run

DOCUMENT = REPOSITORY / 'docs' / 'doctor.md'


def test_the_document_lists_every_check_with_what_it_reads():
    rows = [line for line in DOCUMENT.read_text().splitlines() if line.startswith('| `')]
    assert rows == [f'| `{check.name}` | {check.applies} | {check.reads} |' for check in CHECKS]


def test_names_are_unique_and_listed(capsys):
    assert len({check.name for check in CHECKS}) == len(CHECKS)
    assert cli.main(['doctor', '--list']) == 0
    listed = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in listed] == [check.name for check in CHECKS]


def test_what_cannot_run_ends_with_2(capsys):
    assert cli.main(['doctor', '--only', 'nothing']) == 2
    assert cli.main(['doctor', '--live', '-1']) == 2
    assert 'no check is named nothing' in capsys.readouterr().err


def test_json_to_a_file_and_to_stdout(tmp_path, capsys):
    assert cli.main(['doctor', '--only', 'python', 'disk', '--json', str(tmp_path / 'x')]) == 0
    written = json.loads((tmp_path / 'x').read_text())
    assert written['schema'] == 1 and written['passed'] is True
    assert [check['name'] for check in written['checks']] == ['python', 'disk']
    assert 'ok' in capsys.readouterr().out
    assert cli.main(['doctor', '--only', 'python', '--json', '-']) == 0
    assert json.loads(capsys.readouterr().out)['checks'][0]['status'] == OK


def test_a_failure_ends_with_1(tmp_path, capsys):
    assert cli.main(['doctor', '--only', 'bundle', '--model', str(tmp_path)]) == 1
    shown = capsys.readouterr().out
    assert shown.startswith('failed') and 'expected:' in shown and 'fix:' in shown


def test_the_verb_loads_no_framework_and_no_ros():
    code = ('import sys\nfrom vla_nav_node import cli\nassert cli.main(["doctor"]) in (0, 1)\n'
            'bad = {"torch", "onnxruntime", "tensorrt", "rclpy"} & set(sys.modules)\n'
            'assert not bad, bad\n')
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True,
                          timeout=100, env={**os.environ, 'PYTHONPATH': str(REPOSITORY)},
                          check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert 'failed' not in done.stdout


@pytest.fixture
def bundle(tmp_path):
    return tiny.write_tiny(tmp_path / 'policy')


def judged(module, directory):
    return run(module.CHECK, Place(model=str(directory)))


@tiny.needs_torch
def test_a_sound_bundle(bundle):
    assert judged(bundle_verdicts, bundle.directory).status == OK
    loop = judged(control_loop, bundle.directory)
    assert loop.status in (OK, WARNING) and 'of 100 steps over 20 ms' in loop.worst.found


@tiny.needs_torch
def test_an_altered_file(bundle):
    (bundle.directory / 'policy.fp32.onnx').write_bytes(b'altered')
    result = judged(bundle_verdicts, bundle.directory)
    assert result.status == FAILED and 'policy.fp32.onnx' in result.worst.found
    assert judged(control_loop, bundle.directory).status == SKIPPED


@tiny.needs_torch
def test_a_graph_of_a_newer_ir(bundle, tmp_path):
    onnx = pytest.importorskip('onnx')
    model = onnx.load(str(bundle.file('policy.fp32.onnx')))
    model.ir_version = 99
    newer = tmp_path / 'newer.onnx'
    newer.write_bytes(model.SerializeToString())
    manifest = {key: value for key, value in bundle.manifest.items() if key != 'files'}
    written = write_bundle(tmp_path / 'newer', manifest, {
        'policy.fp32.onnx': newer, 'policy.safetensors': bundle.file('policy.safetensors')})
    loop = judged(control_loop, written.directory)
    assert loop.status == FAILED and 'IR version: 99' in loop.worst.found
    assert 'export the bundle again' in loop.worst.remedy
    verdicts = judged(bundle_verdicts, written.directory)
    assert 'verified with other files' in verdicts.worst.found
    assert verdicts.worst.remedy.startswith('vla_nav verify')


@tiny.needs_torch
def test_settings_that_were_tuned_elsewhere(bundle, tmp_path, monkeypatch):
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    assert judged(tuned_settings, bundle.directory).status == SKIPPED
    folder = tmp_path / 'vla_nav_node' / 'tuned' / bundle.directory.name
    folder.mkdir(parents=True)
    (folder / 'parameters.yaml').write_text(
        '/**:\n  ros__parameters:\n    tuned_for: "processor=an abacus; cores=2"\n')
    result = judged(tuned_settings, bundle.directory)
    assert result.status == WARNING and 'an abacus' in result.worst.found
    assert result.worst.remedy.startswith('vla_nav tune')


@pytest.mark.parametrize('times, status', [
    ([1.0] * 100, OK), ([1.0] * 98 + [21.0] * 2, WARNING), ([1.0] * 99 + [21.0], OK),
    ([25.0] * 100, FAILED)])
def test_late_steps(times, status):
    assert control_loop.judge(times, 20.0, 'onnx', 'here').status == status


def test_the_plug_in_is_light_until_it_is_called():
    code = ('import sys\nfrom vla_nav_node.doctor.ros_doctor_plugin import VlaNavCheck\n'
            'assert VlaNavCheck().category() == "vla_nav"\n'
            'assert not {"numpy", "ros2doctor", "vla_nav_node.doctor.checks"} & set(sys.modules)')
    subprocess.run([sys.executable, '-c', code], check=True, timeout=60,
                   env={**os.environ, 'PYTHONPATH': str(REPOSITORY)})


def test_the_plug_in_answers_as_ros2_doctor_expects(monkeypatch):
    if find_spec('ros2doctor') is None:
        pytest.skip('ros2doctor is not installed (it is not on PyPI)')
    from ros2doctor.api import Report, Result
    monkeypatch.setattr(ros_doctor_plugin, '_results', [run(CHECKS[0], Place())])
    assert isinstance(ros_doctor_plugin.VlaNavCheck().check(), Result)
    report = ros_doctor_plugin.VlaNavReport().report()
    assert isinstance(report, Report) and report.items[0][0] == 'python'


def test_the_example_is_one(capsys):
    with pytest.raises(SystemExit):
        cli.main(['doctor', '--help'])
    assert doctor.EXAMPLE in capsys.readouterr().out
