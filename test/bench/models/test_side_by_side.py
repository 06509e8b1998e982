"""Rows of the matrix: every kind of model opens, or says why it does not."""

import json
import mmap
import multiprocessing
import os
import signal

from hypothesis import given, settings, strategies as st
import numpy as np
import pytest

for package in ('onnxruntime', 'torch', 'rich'):
    pytest.importorskip(package)

import tiny  # noqa: E402, I100, they come after the checks above
import torch  # noqa: E402
from vla_nav_node.backends import open_backend  # noqa: E402
from vla_nav_node.backends.torch.network import load_network, StepGraph  # noqa: E402
from vla_nav_node.bench import process_memory  # noqa: E402
from vla_nav_node.bench.hardware import read_bandwidths  # noqa: E402
from vla_nav_node.bench.models import agreement  # noqa: E402
from vla_nav_node.bench.models.candidate import (  # noqa: E402
    Candidate, complete, parse, Recipe, recipe_of)
from vla_nav_node.bench.models.frame_sets import load_frame_set  # noqa: E402
from vla_nav_node.bench.models.measure import latency, take_turns  # noqa: E402
from vla_nav_node.bench.models.runners.row_process import RowProcess  # noqa: E402
from vla_nav_node.bench.models.runners.runners import open_runner  # noqa: E402
from vla_nav_node.bench.models.runners.worker import Span  # noqa: E402
from vla_nav_node.bench.tables import shown, Table  # noqa: E402
from vla_nav_node.convert.export.step_graph import export_one_shot, OneShot  # noqa: E402
from vla_nav_node.errors import BackendError, SettingError, VlaNavError  # noqa: E402
from vla_nav_node.policy.recurrent_policy import Policy  # noqa: E402
from vla_nav_node.vision.preprocess import InputSpec  # noqa: E402

# Exporters and TorchScript that torch means to replace are what people have.
pytestmark = [pytest.mark.filterwarnings('ignore::DeprecationWarning'),
              pytest.mark.filterwarnings('ignore::torch.jit.TracerWarning'),
              pytest.mark.filterwarnings('ignore:Exporting a model to ONNX:UserWarning')]
SPEC = InputSpec(tiny.HEIGHT, tiny.WIDTH)
NORMALISED = Recipe((tiny.HEIGHT, tiny.WIDTH), mean=tuple(tiny.MEAN), std=tuple(tiny.STD))


@pytest.fixture(scope='module', params=['LSTM', 'RNN'])
def bundle(request, tmp_path_factory):
    """Write a tiny bundle."""
    return tiny.write_tiny(tmp_path_factory.mktemp('sides') / 'tiny', request.param, layers=2)


@pytest.fixture(scope='module')
def lstm(tmp_path_factory):
    """Write a tiny LSTM bundle."""
    return tiny.write_tiny(tmp_path_factory.mktemp('lstm') / 'tiny')


def outside(lstm, path, location):
    """Write the step graph with its weights in a file beside it."""
    onnx = pytest.importorskip('onnx')
    model = onnx.load(str(lstm.file('policy.fp32.onnx')))
    onnx.save(model, str(path), save_as_external_data=True, location='w.bin', size_threshold=0)
    if location != 'w.bin':
        for tensor in model.graph.initializer:
            for entry in tensor.external_data:
                entry.value = location if entry.key == 'location' else entry.value
        path.write_bytes(model.SerializeToString())


def test_weights_in_a_file_of_their_own_count_by_whatever_name(lstm, tmp_path):
    outside(lstm, tmp_path / 'm.onnx', 'w.bin')
    candidate = parse(str(tmp_path / 'm.onnx'))
    here, there = ((tmp_path / name).stat().st_size for name in ('m.onnx', 'w.bin'))
    assert there > 5_000 and candidate.size_bytes == here + there
    (tmp_path / 'link').mkdir()
    for name in ('m.onnx', 'w.bin'):
        (tmp_path / 'link' / name).symlink_to(tmp_path / name)
    assert parse(str(tmp_path / 'link' / 'm.onnx')).size_bytes == here + there
    (tmp_path / 'w.bin').unlink()
    with pytest.raises(SettingError, match="reads weights from 'w.bin'"):
        parse(str(tmp_path / 'm.onnx'))


@pytest.mark.parametrize('location', ['../w.bin', '/etc/hostname', 'a/../../w.bin', 'x' * 5000,
                                      '*/_ORT_MEM_ADDR_/*', ''])
def test_weights_from_elsewhere_are_refused(lstm, tmp_path, location):
    (tmp_path / 'w.bin').write_bytes(b'x')
    (tmp_path / 'm').mkdir()
    outside(lstm, tmp_path / 'm' / 'm.onnx', location)
    with pytest.raises(SettingError, match='reads weights from'):
        parse(str(tmp_path / 'm' / 'm.onnx'))


@pytest.fixture(scope='module')
def network(bundle):
    """Return its network."""
    return load_network(bundle.file('policy.safetensors'), bundle.architecture, bundle.mean,
                        bundle.std)


def wanted(bundle, carried=True):
    """Return what the bundle does with six frames, float32 [6, 2]."""
    policy = Policy(open_backend('onnx', bundle, device='cpu'), bundle.zero_state())
    found = []
    for image in tiny.images(6):
        if not carried:
            policy.reset()
        found.append(policy.act(image))
    return np.array(found)


def acted(candidate):
    """Return what a candidate does with the same frames."""
    runner = open_runner(candidate)
    return runner, np.array([runner.step(runner.prepare(image)) for image in tiny.images(6)])


def of_file(path, recipe=NORMALISED):
    """Return a file as a candidate with a recipe."""
    found = parse(str(path), 'cpu')
    return Candidate(**{**vars(found), 'recipe': recipe})


@pytest.mark.parametrize('suffix', [':fp32@torch', ':fp32', ''])
def test_a_bundle_acts_as_it_drives(bundle, suffix):
    runner, actions = acted(parse(f'{bundle.directory}{suffix}', 'cpu'))
    assert actions == pytest.approx(wanted(bundle), abs=1e-5)
    assert runner.info['library'] == ('torch' if 'torch' in suffix else 'onnxruntime')
    assert runner.info['device'] == 'cpu' and runner.carries_state
    runner.reset()
    image, = tiny.images(1)
    assert runner.step(runner.prepare(image)) == pytest.approx(wanted(bundle)[0], abs=1e-5)


def test_a_step_graph_acts_as_its_bundle(bundle):
    candidate = of_file(bundle.file('policy.fp32.onnx'), Recipe())
    runner, actions = acted(candidate)
    assert actions == pytest.approx(wanted(bundle), abs=1e-5)
    assert runner.carries_state and runner.size == (tiny.HEIGHT, tiny.WIDTH)
    assert runner.info['provider'] == 'CPUExecutionProvider'


def test_a_one_shot_export_acts_as_the_bundle_without_memory(bundle, network, tmp_path):
    path = tmp_path / 'one_shot.onnx'
    export_one_shot(network, path, SPEC)
    runner, actions = acted(of_file(path))
    assert actions == pytest.approx(wanted(bundle, carried=False), abs=1e-5)
    assert not runner.carries_state


class LastOfSequence(torch.nn.Module):
    """Floats [1, T, 3, H, W] -> action of every time step [1, T, 2], from the zero state."""

    def __init__(self, network):
        """Share the weights."""
        super().__init__()
        self.network = network

    def forward(self, images):
        """Run a sequence."""
        features = self.network.vision_encoder(images.flatten(0, 1))[None]
        return self.network.actions(self.network.rnn(features)[0])


def test_a_sequence_export_gets_the_last_pictures(bundle, network, tmp_path):
    path, length = tmp_path / 'sequence.onnx', 3
    torch.onnx.export(LastOfSequence(network), (torch.zeros(1, length, 3, *NORMALISED.size),),
                      str(path), dynamo=False, opset_version=17)
    _, actions = acted(of_file(path))
    policy = Policy(open_backend('onnx', bundle, device='cpu'), bundle.zero_state())
    frames = tiny.images(6)
    for at in range(6):  # the first picture stands for those before it
        policy.reset()
        for before in range(at - length + 1, at + 1):
            action = policy.act(frames[max(0, before)])
        assert actions[at] == pytest.approx(action, abs=1e-5)


def test_torchscript_of_either_form_acts_as_the_bundle(bundle, network, tmp_path):
    floats = torch.zeros(1, 3, *NORMALISED.size)
    torch.jit.trace(OneShot(network), floats).save(tmp_path / 'one_shot.pt')
    runner, actions = acted(of_file(tmp_path / 'one_shot.pt'))
    assert actions == pytest.approx(wanted(bundle, carried=False), abs=1e-5)
    assert runner.info['provider'] == 'TorchScript' and not runner.carries_state
    image = torch.zeros(SPEC.shape, dtype=torch.uint8)
    torch.jit.trace(StepGraph(network), (image, *network.zero_state())).save(tmp_path / 'step.ts')
    runner, actions = acted(of_file(tmp_path / 'step.ts', recipe_of(bundle)))
    assert actions == pytest.approx(wanted(bundle), abs=1e-5)
    assert runner.carries_state


def test_a_file_beside_a_bundle_is_fed_as_the_bundle(lstm):
    path = lstm.file('policy.fp32.onnx')
    sides = complete([parse(str(path)), parse(str(lstm.directory))], Recipe())
    assert sides[0].recipe == recipe_of(lstm)
    given = Recipe(mean=(1.0, 2.0, 3.0))
    assert complete(sides, given)[0].recipe.mean == given.mean
    assert complete([parse(str(path))], Recipe())[0].recipe == Recipe()


class Embedded(torch.nn.Module):
    """A picture and a text embedding, as one of the original's exports has."""

    def forward(self, image, text):
        """Join them."""
        return image.mean((2, 3))[:, :2] + text[:, :2]


def write_embedded(path, network):
    """Write a graph with an unsupported input."""
    torch.onnx.export(Embedded(), (torch.zeros(1, 3, 8, 8), torch.zeros(1, 512)), str(path),
                      dynamo=False, input_names=['image', 'text_features'])


def write_one_shot(path, network):
    """Write a usual export."""
    export_one_shot(network, path, SPEC)


def write_open_size(path, network):
    """Write a graph that takes pictures of any size."""
    torch.onnx.export(Embedded(), (torch.zeros(1, 3, 8, 8), torch.zeros(1, 3, 2)), str(path),
                      dynamo=False, input_names=['image', 'h'], output_names=['action'],
                      dynamic_axes={'image': {2: 'height', 3: 'width'}})


def write_junk(path, network):
    """Write a file that is no model."""
    path.write_bytes(b'no model')


def write_checkpoint(path, network):
    """Write a checkpoint where TorchScript is wanted."""
    torch.save({'model_state_dict': network.state_dict()}, path)


def write_square(path, network):
    """Write a module that takes no form of an image."""
    torch.jit.trace(torch.nn.Linear(7, 2), torch.zeros(1, 7)).save(path)


@pytest.mark.parametrize('write, name, recipe, reason', [
    (write_embedded, 'a.onnx', NORMALISED, 'text_features float32 [1, 512]'),
    (write_one_shot, 'a.onnx', Recipe(), 'does not say how they are made'),
    (write_open_size, 'a.onnx', Recipe(), 'leaves its size open'),
    (write_junk, 'a.onnx', NORMALISED, 'cannot open'),
    (write_junk, 'a.pt', NORMALISED, 'is not TorchScript'),
    (write_checkpoint, 'a.pth', NORMALISED, 'is not TorchScript'),
    (write_square, 'a.pt', NORMALISED, 'takes 0 of the inputs'),
    (write_square, 'a.pt', Recipe(), 'which size of picture'),
])
def test_what_cannot_be_run_is_refused_with_the_reason(network, tmp_path, write, name, recipe,
                                                       reason):
    write(tmp_path / name, network)
    with pytest.raises(BackendError, match='.*') as told:
        open_runner(of_file(tmp_path / name, recipe))
    assert reason in str(told.value)


@settings(max_examples=50)
@given(st.text(max_size=300))
def test_any_text_is_a_candidate_or_a_message(text):
    try:
        parse(text)
    except VlaNavError as error:
        assert '\n' not in str(error) or '\n' in text


@pytest.mark.parametrize('ending, reason', [
    (':fp32@tensor', 'backend'), (':fp64', 'precision'), (':int8', 'has no policy.int8.onnx'),
    (':fp32@torch@x', 'is not there'), ('/policy.yaml', 'is a file')])
def test_what_a_bundle_does_not_have_is_told_at_once(lstm, ending, reason):
    with pytest.raises(VlaNavError) as told:
        parse(f'{lstm.directory}{ending}')
    assert reason in str(told.value)


def test_rows_take_turns_in_processes_of_their_own(lstm):
    sides = [RowProcess(parse(f'{lstm.directory}:fp32@{name}', 'cpu'))
             for name in ('onnx', 'torch')]
    try:
        onnx, torch_side = sides
        assert len({os.getpid(), *(one._process.pid for one in sides)}) == 3
        # Each holds what it needs itself: torch's libraries alone are far over 50 MB.
        own = [one.opened.memory_after - one.opened.memory_before for one in sides]
        assert own[0] > 5.0 and own[1] > own[0] + 50.0
        assert all(one.call('most_memory') >= one.opened.memory_after - 20.0 for one in sides)
        assert all(one.start_s > 0.0 for one in sides)
        frames = tiny.images(6)[:, 0]
        starts = [True, False, False, True, False, False]
        for one in sides:
            one.load(frames)
        found = [one.call('actions', starts) for one in sides]
        assert found[0] == pytest.approx(found[1], abs=1e-5)
        assert found[0][:3] == pytest.approx(wanted(lstm)[:3], abs=1e-5)
        turns = []
        spans = take_turns(sides, 25, 0.001, turns.append)
        assert [len(span.ms) for span in spans] == [25, 25] and sum(turns) == 50
        assert all((span.ms > 0.0).all() and span.cpu_ms > 0.0 for span in spans)
        os.kill(onnx._process.pid, signal.SIGKILL)
        with pytest.raises(BackendError, match=r'ended \(exit status -9\)'):
            onnx.call('run', 5, 0)
        assert len(torch_side.call('run', 5, 0).ms) == 5
    finally:
        for one in sides:
            one.close()
    assert not any(one._process.is_alive() for one in sides)


def test_a_paced_step_begins_at_its_time(lstm):
    process = RowProcess(parse(str(lstm.directory), 'cpu'))
    begin = os.times().elapsed
    process.call('run', 10, 0, 0.02)
    process.close()
    assert os.times().elapsed - begin >= 0.19


def test_what_cannot_be_opened_leaves_no_process(tmp_path):
    write_junk(tmp_path / 'a.onnx', None)
    with pytest.raises(BackendError, match='cannot open') as told:
        RowProcess(of_file(tmp_path / 'a.onnx'))
    assert str(told.value).count('a.onnx:') == 1
    assert not multiprocessing.active_children()


@given(st.lists(st.floats(0.001, 1e4), min_size=2, max_size=50), st.floats(0.0, 1e4))
def test_latencies_amount_to(ms, cpu_ms):
    found = latency(Span(np.array(ms), cpu_ms))
    assert min(ms) <= found['p50'] <= found['p95'] <= found['p99'] <= found['max'] == max(ms)
    assert found['misses'] == {'10': sum(one > 10 for one in ms),
                               '20': sum(one > 20 for one in ms)}
    assert found['fps'] * found['mean'] == pytest.approx(1e3)
    assert found['share']['10'] == pytest.approx(2 * found['share']['20'])


@given(st.integers(0, 10 ** 9), st.integers(0, 10 ** 9))
def test_memory_is_read(now, most):
    text = f'Name:\tpython\nVmPeak:\t  9 kB\nVmHWM:\t {most} kB\nVmRSS:\t {now} kB\nVmSwap: 0 kB\n'
    sizes = process_memory.parse_sizes(text)
    assert (sizes['VmRSS'], sizes['VmHWM']) == pytest.approx((now * 1.024e-3, most * 1.024e-3))


def test_memory_of_this_process_grows_with_what_it_holds():
    before = process_memory.own_memory()
    with mmap.mmap(-1, 50_000_000) as held:  # not from what an earlier test has given back
        np.frombuffer(held, np.uint8).fill(1)
        after = process_memory.own_memory()
    assert 40.0 < after.now - before.now < 60.0 and after.most >= after.now - 1.0


def test_bandwidth_is_that_of_memory():
    readings = read_bandwidths(1 << 26, 2)
    assert len(readings) == 2 and all(0.1 < one < 1e4 for one in readings)  # GB/s


def test_noise_is_the_same_picture_at_any_size():
    small, large = (load_frame_set('noise', InputSpec(height, width), 2, 3).frames
                    for height, width in ((36, 48), (72, 96)))
    assert small.shape == (2, 36, 48, 3) and small[0].std() > 20.0
    assert not np.array_equal(small[0], small[1])
    halved = large.reshape(2, 36, 2, 48, 2, 3).mean((2, 4))
    assert np.abs(halved - small).mean() < 5.0


def test_labels_come_with_their_frames(tmp_path):
    frames, actions = tiny.images(4)[:, 0], np.arange(8.0).reshape(4, 2)
    np.savez(tmp_path / 'a.npz', frames=frames, actions=actions,
             starts=np.array([0, 0, 1, 0], bool))
    found = load_frame_set(str(tmp_path / 'a.npz'), SPEC, 3)
    assert found.frames.shape == (3, tiny.HEIGHT, tiny.WIDTH, 3)
    assert found.starts == [True, False, True]
    assert found.actions.tolist() == actions[:3].tolist()


@pytest.mark.parametrize('arrays, reason', [
    ({'frames': np.zeros((2, 4, 4, 3), np.uint8)}, 'has no actions'),
    ({'frames': np.zeros((2, 4, 4, 3)), 'actions': np.zeros((2, 2))}, 'frames float64'),
    ({'frames': np.zeros((2, 4, 4, 3), np.uint8), 'actions': np.zeros((3, 2))}, '[3, 2]'),
    ({'frames': np.zeros((2, 4, 4, 3), np.uint8), 'actions': np.full((2, 2), np.nan)}, 'finite'),
    ({'frames': np.zeros((0, 4, 4, 3), np.uint8), 'actions': np.zeros((0, 2))}, '[0, 2]'),
])
def test_labels_that_do_not_fit_are_refused(tmp_path, arrays, reason):
    np.savez(tmp_path / 'a.npz', **arrays)
    with pytest.raises(SettingError) as told:
        load_frame_set(str(tmp_path / 'a.npz'), SPEC, 5)
    assert reason in str(told.value)


@given(st.binary(max_size=200))
def test_any_bytes_are_refused_as_labels(tmp_path_factory, content):
    path = tmp_path_factory.mktemp('junk') / 'a.npz'
    path.write_bytes(content)
    with pytest.raises(SettingError, match='cannot be read'):
        load_frame_set(str(path), SPEC, 5)


actions = st.integers(2, 20).flatmap(lambda count: st.lists(
    st.tuples(st.floats(-1, 1, width=32), st.floats(-1, 1, width=32)), min_size=count,
    max_size=count))


@given(actions, st.floats(-0.5, 0.5))
def test_agreement_is_of_the_worse_axis(values, shift):
    ours = np.array(values, np.float32)
    theirs = ours + np.array([0.0, shift], np.float32)
    found = agreement.agreement(ours, theirs)
    x = found['axes']['linear_x']
    assert x['mean'] == x['max'] == 0.0
    assert x['correlation'] is None or x['correlation'] == pytest.approx(1.0)
    assert found['mean'] == pytest.approx(abs(shift), abs=1e-6) and found['finite']


def test_what_does_not_compare_is_said():
    two, three = np.zeros((4, 2)), np.zeros((4, 3))
    with pytest.raises(SettingError, match='A gives 2 numbers and B 3'):
        agreement.agreement(two, three)
    assert agreement.action_mae(two, None) is None
    assert agreement.action_mae(two, two + 0.25) == 0.25
    assert not agreement.agreement(two, two)['alive']
    broken = agreement.agreement(two, two + np.nan)
    assert not broken['finite'] and broken['mean'] is None
    json.dumps(broken, allow_nan=False)
    assert agreement.action_mae(two + np.inf, two) is None


@pytest.mark.parametrize('cell, text', [
    (None, '-'), ('a', 'a'), (7, '7'), (0.0, '0'), (1.234567, '1.23'), (0.00001, '1.0e-05'),
    (1234.5, '1234'), (0.5, '0.5')])
def test_a_cell_is_shown_short(cell, text):
    assert shown(cell) == text


def test_a_table_is_markdown():
    table = Table('Title', ['', 'a|b'])
    table.add('row', 1.0)
    assert table.markdown() == '**Title**\n\n|  | a\\|b |\n| --- | ---: |\n| row | 1 |'
