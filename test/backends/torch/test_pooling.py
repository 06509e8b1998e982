"""An adaptive pool of any size is the same in torch, in every step graph and after quantising."""

import numpy as np
import pytest
import tiny

torch = pytest.importorskip('torch', reason='PyTorch is not installed')
onnx = pytest.importorskip('onnx', reason='onnx is not installed')
pytest.importorskip('onnxruntime', reason='ONNX Runtime is not installed')

from hypothesis import given, settings, strategies as st  # noqa: E402, I100
from safetensors.torch import save_file  # noqa: E402
from vla_nav_node.backends import open_backend  # noqa: E402
from vla_nav_node.backends.options import BackendOptions  # noqa: E402
from vla_nav_node.backends.tensorrt.engine_graph import read_for_tensorrt  # noqa: E402
from vla_nav_node.backends.torch.network import bin_means, PolicyNetwork  # noqa: E402
from vla_nav_node.bundle.bundle import write_bundle  # noqa: E402
from vla_nav_node.convert.export.step_file import export_bundle, write_step_file  # noqa: E402
from vla_nav_node.convert.int8.fixed_scales import write_fixed_scales  # noqa: E402
from vla_nav_node.convert.int8.int8_graph import quantise  # noqa: E402
from vla_nav_node.convert.verify.drift import Reference, StepFile  # noqa: E402
from vla_nav_node.errors import BundleError  # noqa: E402
from vla_nav_node.policy.recurrent_policy import Policy  # noqa: E402
from vla_nav_node.vision.preprocess import InputSpec  # noqa: E402

SPEC = InputSpec(tiny.HEIGHT, tiny.WIDTH)
# Of maps of 12x16: what divides, what does not, larger ones, axes that stay, each in its form.
SIZES = [3, 5, [5, 7], [3, 4], [1, 5], [None, 5], [5, None], [None, None], 13, [24, 5]]


def architecture(size):
    """Describe a network whose pool lies between convolutions."""
    heights, widths = size if isinstance(size, list) else (size, size)
    return {
        'encoder': [
            {'type': 'Conv2d', 'in_channels': 3, 'out_channels': 16, 'kernel_size': 5,
             'stride': 2, 'padding': 2}, {'type': 'ReLU'},
            {'type': 'AdaptiveAvgPool2d', 'output_size': size},
            {'type': 'Conv2d', 'in_channels': 16, 'out_channels': 16, 'kernel_size': 3,
             'padding': 1}, {'type': 'ReLU'}, {'type': 'Flatten'},
            {'type': 'Linear', 'in_features': 16 * (heights or 12) * (widths or 16),
             'out_features': 16}],
        'recurrent': {'type': 'LSTM', 'input_size': 16, 'hidden_size': 32, 'num_layers': 1},
        'head': [8]}


def written(directory, size):
    """Write a bundle with this pool."""
    described = {**tiny.manifest(), 'architecture': architecture(size)}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = PolicyNetwork(described['architecture'], tiny.MEAN, tiny.STD).eval()
    weights, graph = (directory.with_name(name) for name in
                      ('policy.safetensors', 'policy.fp32.onnx'))
    save_file(network.state_dict(), weights)
    write_step_file(network, graph, SPEC, 'pool', weights)
    return write_bundle(directory, described, {path.name: path for path in (weights, graph)})


def rollout(bundle, backend, precision='fp32', **options):
    """Drive 20 steps with carried state."""
    opened = open_backend(backend, bundle, precision, 'cpu', options=BackendOptions(**options))
    policy = Policy(opened, bundle.zero_state())
    return np.array([policy.act(image) for image in tiny.images(20)])


@given(st.integers(1, 40), st.integers(1, 40))
@settings(max_examples=200, deadline=None)
def test_the_means_are_those_of_torchs_own_bins(side, size):
    values = np.random.default_rng(side * 41 + size).normal(size=side).astype(np.float32)
    wanted = torch.nn.functional.adaptive_avg_pool1d(torch.from_numpy(values)[None], size)[0]
    assert bin_means(side, size) @ values == pytest.approx(wanted.numpy(), abs=1e-6)


@pytest.mark.parametrize('size', SIZES, ids=str)
def test_every_size_drives_alike_in_torch_and_onnx(tmp_path, size):
    bundle = written(tmp_path / 'p', size)
    expected = rollout(bundle, 'torch')
    assert rollout(bundle, 'onnx') == pytest.approx(expected, abs=1e-6)
    bundle = export_bundle(bundle, None, ['fp16'])
    assert rollout(bundle, 'onnx', 'fp16') == pytest.approx(expected, abs=5e-3)
    read_for_tensorrt(bundle.file('policy.fp32.onnx'))


def test_int8_of_both_kinds_leaves_the_pool_in_float(tmp_path):
    bundle = written(tmp_path / 'p', [5, 7])
    frames = tiny.scenes(40)
    quantise(bundle, frames, tmp_path / 'int8.onnx', by_time=False)
    write_fixed_scales(bundle, frames, tmp_path / 'qdq.onnx')
    reference = Reference(StepFile(bundle.file('policy.fp32.onnx')), frames)
    for name in ('int8.onnx', 'qdq.onnx'):
        model = onnx.load(str(tmp_path / name))
        assert sum(node.op_type == 'MatMul' for node in model.graph.node) == 2
        assert reference.drift(StepFile(tmp_path / name)).rollout_mean < 0.01
    read_for_tensorrt(tmp_path / 'qdq.onnx')


def test_torchscript_has_it_too(tmp_path):
    """Its oneDNN takes torch's own layer only where the bins are of one size."""
    bundle = written(tmp_path / 'p', [5, 7])
    found = rollout(bundle, 'torch', torch_mode='script')
    assert found == pytest.approx(rollout(bundle, 'torch'), abs=1e-5)


@pytest.mark.parametrize('layer, reason', [
    (torch.nn.AdaptiveMaxPool2d((5, 7)), 'p.onnx cannot be exported: Unsupported'),
    (torch.nn.AvgPool2d(3, 1, 1, divisor_override=3), 'something else in ONNX than in torch')])
def test_what_the_exporter_cannot_write_is_told_in_one_line(tmp_path, capfd, layer, reason):
    """It prints the whole network otherwise, dozens of lines, beside its own error."""
    network = PolicyNetwork(architecture([5, 7] if 'Max' in str(layer) else [12, 16]),
                            tiny.MEAN, tiny.STD).eval()
    network.vision_encoder[2] = layer
    save_file(network.state_dict(), tmp_path / 'w.safetensors')
    with pytest.raises(BundleError) as refusal:
        write_step_file(network, tmp_path / 'p.onnx', SPEC, 'x', tmp_path / 'w.safetensors')
    assert reason in str(refusal.value) and '\n' not in str(refusal.value)
    assert 'Caused by' not in str(refusal.value) and len(str(refusal.value)) < 400
    assert capfd.readouterr() == ('', '')
