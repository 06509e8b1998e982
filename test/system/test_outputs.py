"""Reports replace no input and no file that is not a report."""

import argparse
import json
import os
from pathlib import Path
import threading

import numpy as np
import pytest
from vla_nav_node import cli
from vla_nav_node.errors import SettingError
from vla_nav_node.system.outputs import check_json, make_report_folder, write_json

NAMES = ('compare.json', 'compare.md', 'compare.npz')


def args(json=None, out=None, **others):
    """Return arguments as from argparse."""
    return argparse.Namespace(json=json, out=out, **others)


@pytest.mark.parametrize('content', [b'PK\x03\x04 weights', b'# my notes', b'x: 1', b'{"a": ',
                                     b'\x89PNG\r\n', b'[1, 2', b'\xff\xfe', b'"text"', b'0'])
def test_what_is_no_json_is_not_written_over(tmp_path, content):
    (tmp_path / 'mine').write_bytes(content)
    for path in (tmp_path / 'mine', tmp_path / 'link'):
        if path.name == 'link':
            path.symlink_to('mine')
        with pytest.raises(SettingError, match='something else'):
            check_json(args(path))


@pytest.mark.parametrize('others', [
    {'checkpoint': Path('{}')}, {'frames': '{}'}, {'models': ['shipped', '{}']},
    {'structure': '{}/../mine.json'}, {'a': '{}.link'}, {'template': Path('{}.hard')}])
def test_what_is_read_is_not_written_over_by_any_name(tmp_path, others):
    path = tmp_path / 'mine.json'
    path.write_text('{}')
    (tmp_path / 'mine.json.link').symlink_to(path)
    os.link(path, tmp_path / 'mine.json.hard')
    filled = {name: [one.format(path) for one in value] if isinstance(value, list)
              else type(value)(str(value).format(path).replace('/mine.json/..', ''))
              for name, value in others.items()}
    with pytest.raises(SettingError, match='is an input'):
        check_json(args(path, **filled))


@pytest.mark.parametrize('before', [None, b'', b'{"old": 1}', b' [1]\n', b'[]'])
def test_a_new_file_and_an_earlier_report_are_written(tmp_path, before):
    path = tmp_path / 'r.json'
    if before is not None:
        path.write_bytes(before.strip())
    check_json(args(path, frames='sim', model='x' * 5000, other='a\0b', number=3))
    write_json(path, {'new': [1]})
    assert json.loads(path.read_text()) == {'new': [1]}
    assert [one.name for one in tmp_path.iterdir()] == ['r.json']


def test_a_directory_is_no_file_for_a_report_and_a_pipe_is_one(tmp_path):
    with pytest.raises(SettingError, match='is a directory'):
        check_json(args(tmp_path))
    os.mkfifo(tmp_path / 'pipe')
    read = []
    thread = threading.Thread(target=lambda: read.append((tmp_path / 'pipe').read_text()))
    thread.start()
    check_json(args(tmp_path / 'pipe'))
    write_json(tmp_path / 'pipe', {'a': 1})
    thread.join(10)
    assert json.loads(read[0]) == {'a': 1}


def test_a_place_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / 'file').write_text('x')
    for path in (tmp_path / 'file' / 'r.json', tmp_path / ('x' * 300)):
        with pytest.raises(SettingError, match='cannot be written|File name too long'):
            write_json(path, {})


@pytest.mark.parametrize('there', [
    {'compare.npz': b'labelled'}, {'compare.md': b'notes'}, {'compare.json': b'no report'},
    {'compare.json': b'', 'compare.md': None}])
def test_a_folder_with_such_names_of_somebody_else_is_refused(tmp_path, there):
    (tmp_path / 'target').write_text('notes')
    for name, content in there.items():
        if content is None:
            (tmp_path / name).symlink_to('target')
        else:
            (tmp_path / name).write_bytes(content)
    with pytest.raises(SettingError, match='not of an earlier report'):
        make_report_folder(args(out=tmp_path), NAMES, NAMES[0])


def test_an_earlier_report_is_replaced_but_not_what_is_read_in_it(tmp_path):
    for name in NAMES:
        (tmp_path / name).write_text('{}')
    make_report_folder(args(out=tmp_path, frames='sim'), NAMES, NAMES[0])
    make_report_folder(args(out=tmp_path / 'new' / 'one'), NAMES, NAMES[0])
    with pytest.raises(SettingError, match='is an input'):
        make_report_folder(args(out=tmp_path, frames=str(tmp_path / NAMES[2])), NAMES, NAMES[0])
    (tmp_path / 'file').write_text('x')
    with pytest.raises(SettingError, match='--out'):
        make_report_folder(args(out=tmp_path / 'file'), NAMES, NAMES[0])


@pytest.mark.parametrize('verb', ['import {0} --json {0}', 'verify --frames {0} --json {0}',
                                  'export --json {0}', 'quantize --frames {0} --json {0}',
                                  'evaluate --json {0}', 'train --json {0}',
                                  'compare shipped {0} --json {0}', 'benchmark --json {0}'])
def test_no_verb_begins_with_a_report_over_another_file(tmp_path, capsys, verb):
    pytest.importorskip('torch')
    pytest.importorskip('mujoco')
    path = tmp_path / 'best.pth'
    path.write_bytes(b'two weeks of training')
    assert cli.main(verb.format(path).split()) == 2
    assert 'best.pth' in capsys.readouterr().err
    assert path.read_bytes() == b'two weeks of training'


def test_labels_that_would_be_written_over_are_told_before_anything_is_opened(tmp_path, capsys):
    pytest.importorskip('torch')
    labels = tmp_path / 'compare.npz'
    np.savez(labels, frames=np.zeros((2, 24, 32, 3), np.uint8), actions=np.zeros((2, 2)))
    before = labels.read_bytes()
    assert cli.main(['compare', 'shipped', 'shipped:int8', '--frames', str(labels), '--out',
                     str(tmp_path)]) == 2
    assert 'is an input' in capsys.readouterr().err
    assert labels.read_bytes() == before


def test_what_a_training_is_resumed_by_is_no_report(tmp_path, capsys):
    pytest.importorskip('torch')
    pytest.importorskip('mujoco')
    (tmp_path / 'plan.json').write_text('{"seed": 0}')
    assert cli.main(['train', '--out', str(tmp_path), '--json', f'{tmp_path}/./plan.json']) == 2
    assert 'is needed to resume the training' in capsys.readouterr().err
    assert (tmp_path / 'plan.json').read_text() == '{"seed": 0}'


@pytest.mark.parametrize('there', [
    {'checkpoint.pt': b''}, {'round0.safetensors': b'x'}, {'thesis.tex': b'x'}, {'.git': b'x'},
    {'plan.json': b'[]'}, {'plan.json': b'{'}, {'plan.json': b'{"name": "a package"}'},
    {'plan.json': None, 'bundle/policy.pth': b'x'}, {'plan.json': None, 'checkpoint.pt': b'x'}])
def test_a_training_takes_no_folder_of_something_else(tmp_path, capsys, there):
    torch = pytest.importorskip('torch')
    pytest.importorskip('mujoco')
    from vla_nav_node.sim.training.plan import Plan
    for name, content in there.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(json.dumps(vars(Plan())).encode() if content is None
                                      else content)
    if there.get('checkpoint.pt') == b'':
        torch.save({'model': {}}, tmp_path / 'checkpoint.pt')
    before = {path: path.read_bytes() for path in tmp_path.rglob('*') if path.is_file()}
    assert cli.main(['train', '--out', str(tmp_path), '--device', 'cpu', '--workers', '1']) == 2
    assert next(reversed(there)).split('/')[-1] in capsys.readouterr().err
    assert {path: path.read_bytes() for path in tmp_path.rglob('*') if path.is_file()} == before
