"""`vla_nav export`: files that state what they are and compute what the network does."""

import json

import numpy as np
import pytest
import tiny

torch = pytest.importorskip('torch', reason='PyTorch is not installed')
onnx = pytest.importorskip('onnx', reason='onnx is not installed')
pytest.importorskip('onnxruntime', reason='ONNX Runtime is not installed')

from vla_nav_node.backends import open_backend  # noqa: E402
from vla_nav_node.backends.torch.network import load_network  # noqa: E402
from vla_nav_node.bundle.bundle import load_bundle, sha256_of  # noqa: E402
from vla_nav_node.cli import main  # noqa: E402
from vla_nav_node.convert.export.step_file import (  # noqa: E402
    check_step_file, export_bundle, marks_of)
from vla_nav_node.convert.structure import presets  # noqa: E402
from vla_nav_node.errors import BundleError  # noqa: E402
from vla_nav_node.policy.recurrent_policy import Policy  # noqa: E402

FLOAT, HALF = 1, 10  # onnx.TensorProto


@pytest.mark.parametrize('kind', ['LSTM', 'GRU', 'RNN'])
def test_half_weights_and_products_with_gates_and_state_in_fp32(tmp_path, kind):
    bundle = export_bundle(tiny.write_tiny(tmp_path / 'p', kind, layers=2), None, ['fp16'])
    model = onnx.shape_inference.infer_shapes(onnx.load(str(bundle.file('policy.fp16.onnx'))))
    types = {one.name: one.type.tensor_type.elem_type for one in
             (*model.graph.value_info, *model.graph.input, *model.graph.output)}
    constants = {one.name: one.data_type for one in model.graph.initializer}
    assert set(constants.values()) == {HALF}
    assert {types[name] for name in types if name.endswith(('_in', '_out'))} == {FLOAT}
    for node in model.graph.node:
        if node.op_type in ('Tanh', 'Sigmoid', 'Sub', 'Div'):
            assert types.get(node.input[0], FLOAT) in (FLOAT, 7), node.name  # 7: of shapes
        if node.op_type in ('Gemm', 'Conv'):
            assert types[node.output[0]] == HALF


def test_half_drives_as_fp32_does(tmp_path):
    bundle = export_bundle(tiny.write_tiny(tmp_path / 'p'), tmp_path / 'q', ['fp32', 'fp16'])
    assert bundle.precisions == ('fp32', 'fp16')
    assert load_bundle(tmp_path / 'p').precisions == ('fp32',)
    one, other = (Policy(open_backend('onnx', bundle, precision, 'cpu'), bundle.zero_state())
                  for precision in bundle.precisions)
    for image in tiny.images(50):
        assert other.act(image) == pytest.approx(one.act(image), abs=5e-3)


def test_a_file_says_what_it_is(tmp_path, capsys):
    bundle = tiny.write_tiny(tmp_path / 'p')
    assert main(['export', str(tmp_path / 'p'), '--json', str(tmp_path / 'r.json')]) == 0
    bundle = load_bundle(tmp_path / 'p')
    for precision in ('fp32', 'fp16'):
        path = bundle.file(f'policy.{precision}.onnx')
        marks = marks_of(path)
        assert marks == {'name': 'tiny_lstm', 'precision': precision, 'opset': '17',
                         'weights_sha256': sha256_of(bundle.file('policy.safetensors'))}
        assert onnx.load(str(path)).producer_name == 'vla_nav_node'
        report = json.loads((tmp_path / 'r.json').read_text())
        assert report[path.name]['sha256'] == sha256_of(path)
    assert 'not trained' not in capsys.readouterr().out


def test_a_file_of_other_weights_is_refused(tmp_path):
    one, other = (tiny.write_tiny(tmp_path / name, seed=seed) for name, seed in
                  (('p', 0), ('q', 1)))
    network = load_network(one.file('policy.safetensors'), one.architecture, one.mean, one.std)
    check_step_file(network, one.file('policy.fp32.onnx'), one.input, 'fp32')
    with pytest.raises(BundleError, match='off the network'):
        check_step_file(network, other.file('policy.fp32.onnx'), one.input, 'fp32')


def test_weights_that_are_too_large_for_half_are_refused(tmp_path):
    """A weight of 70000 is infinite in fp16; nothing is written then."""
    bundle = tiny.write_tiny(tmp_path / 'p')
    network = load_network(bundle.file('policy.safetensors'), bundle.architecture, bundle.mean,
                           bundle.std)
    with torch.no_grad():
        network.actions[0].weight[0, 0] = 70000.0
    from vla_nav_node.convert.export.step_file import write_step_file
    with pytest.raises(BundleError, match='drive without fp16'):
        write_step_file(network, tmp_path / 'x.onnx', bundle.input, 'x',
                        bundle.file('policy.safetensors'), 'fp16')


def test_a_broken_file_is_refused(tmp_path):
    bundle = tiny.write_tiny(tmp_path / 'p')
    network = load_network(bundle.file('policy.safetensors'), bundle.architecture, bundle.mean,
                           bundle.std)
    model = onnx.load(str(bundle.file('policy.fp32.onnx')))
    model.graph.node[3].input[0] = 'nowhere'
    onnx.save(model, str(tmp_path / 'x.onnx'))
    with pytest.raises(BundleError, match='not valid ONNX'):
        check_step_file(network, tmp_path / 'x.onnx', bundle.input, 'fp32')


def test_a_preset_is_written_with_weights_that_nobody_trained(tmp_path, monkeypatch, capsys):
    speck = tiny.architecture()
    speck['encoder'][3:] = [{'type': 'AdaptiveAvgPool2d', 'output_size': 1}, {'type': 'Flatten'},
                            {'type': 'Linear', 'in_features': 4, 'out_features': 16}]
    monkeypatch.setitem(presets.PRESETS, 'speck', speck)
    assert main(['export', 'speck', '--out', str(tmp_path / 'p')]) == 0
    bundle = load_bundle(tmp_path / 'p')
    assert bundle.precisions == ('fp32', 'fp16')
    assert bundle.manifest['training'] == {'trained': False}
    assert marks_of(bundle.file('policy.fp16.onnx'))['name'] == 'speck'
    assert 'may not drive' in capsys.readouterr().out


def test_a_preset_needs_a_directory(capsys):
    assert main(['export', 'simple']) == 2
    assert '--out DIR' in capsys.readouterr().err


def test_a_bundle_that_is_not_there_is_told(tmp_path, capsys):
    assert main(['export', str(tmp_path / 'nothing')]) == 2
    assert 'no bundle at' in capsys.readouterr().err


def test_a_place_that_cannot_be_written_is_told(tmp_path, capsys):
    tiny.write_tiny(tmp_path / 'p')
    (tmp_path / 'file').write_text('')
    assert main(['export', str(tmp_path / 'p'), '--out', str(tmp_path / 'file' / 'q')]) == 2
    assert 'nothing can be written beside' in capsys.readouterr().err
    (tmp_path / 'home').mkdir()
    (tmp_path / 'home' / 'diary.txt').write_text('mine')
    assert main(['export', str(tmp_path / 'p'), '--out', str(tmp_path / 'home')]) == 2
    assert 'has other files, such as diary.txt' in capsys.readouterr().err


def test_the_state_is_carried(tmp_path):
    """Or a half graph that forgets would pass on its first steps."""
    bundle = export_bundle(tiny.write_tiny(tmp_path / 'p'), None, ['fp16'])
    backend = open_backend('onnx', bundle, 'fp16', 'cpu')
    image = tiny.images(1)[0]
    first, state = backend.infer(image, bundle.zero_state())
    second, _ = backend.infer(image, state)
    assert np.abs(second - first).max() > 1e-4
