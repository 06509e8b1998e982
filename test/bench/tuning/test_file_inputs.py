"""Any ONNX file: sizes and contents are asked for by name, states are fed back."""

import numpy as np
import pytest

onnx = pytest.importorskip('onnx')
pytest.importorskip('onnxruntime')

from onnx import helper, TensorProto  # noqa: E402, I100, they come after the checks above
from summing import write_sum  # noqa: E402
from vla_nav_node.bench.tuning.given.file_inputs import Named, write_inputs  # noqa: E402
from vla_nav_node.bench.tuning.given.subjects import open_file  # noqa: E402
from vla_nav_node.bench.tuning.measured.steppers import FileStepper  # noqa: E402
from vla_nav_node.bench.tuning.report.session_text import session_text  # noqa: E402
from vla_nav_node.errors import BackendError, SettingError  # noqa: E402

NOTHING = Named({}, {}, {})


@pytest.fixture
def file(tmp_path):
    """Write a file with a state."""
    return write_sum(tmp_path / 'sum.onnx')


def test_everything_that_is_missing_is_in_one_error(file, tmp_path):
    with pytest.raises(SettingError) as caught:
        write_inputs(file, NOTHING, tmp_path / 'a.npz')
    assert str(caught.value) == (
        'sum.onnx has the inputs x float32 [batch, 3], state float32 [batch, 3]; expected the '
        'size of every free dimension, and what every input contains (zeros, ones, random, a '
        'number, or FILE.npy); fix: give --dim batch=N --input x=random')


@pytest.mark.parametrize(('named', 'problem'), [
    (Named({'bach': 1}, {}, {}), '--dim bach; expected one of: batch'),
    (Named({}, {'z': 'ones'}, {}), '--input z; expected one of: state, x'),
    (Named({}, {}, {'x': 'nothing'}), '--state nothing; expected one of: stateN, y'),
    (Named({'batch': 1}, {'x': 'twos'}, {}), '--input x=twos; expected zeros'),
    (Named({'batch': 1}, {'x': 'absent.npy'}, {}), 'No such file'),
    (Named({'batch': 1}, {}, {}, 'noise'), '--frames, and 0 inputs are pictures')])
def test_a_wrong_name_is_refused_with_the_right_ones(file, tmp_path, named, problem):
    with pytest.raises(SettingError, match=problem):
        write_inputs(file, named, tmp_path / 'a.npz')


@pytest.mark.parametrize(('text', 'first'), [('zeros', 0.0), ('ones', 1.0), ('2.5', 2.5)])
def test_contents_are_as_named_and_the_state_begins_at_zero(file, tmp_path, text, first):
    pairs = write_inputs(file, Named({'batch': 2}, {'x': text}, {}), tmp_path / 'a.npz')
    arrays = np.load(tmp_path / 'a.npz')
    assert pairs == (('state', 'stateN'),)
    assert arrays['x'].shape == (1, 2, 3) and np.all(arrays['x'] == first)
    assert arrays['state'].shape == (2, 3) and not arrays['state'].any()


def test_a_file_of_contents_may_have_many(file, tmp_path):
    many = np.arange(24, dtype=np.float32).reshape(4, 2, 3)
    np.save(tmp_path / 'x.npy', many)
    write_inputs(file, Named({'batch': 2}, {'x': str(tmp_path / 'x.npy')}, {}),
                 tmp_path / 'a.npz')
    assert np.array_equal(np.load(tmp_path / 'a.npz')['x'], many)
    with pytest.raises(SettingError, match=r'has float32 \[4, 2, 3\]; expected float32 \[1, 3\]'):
        write_inputs(file, Named({'batch': 1}, {'x': str(tmp_path / 'x.npy')}, {}),
                     tmp_path / 'a.npz')


def test_the_state_is_carried_rehearsals_leave_no_trace_and_a_reset_begins_anew(file, tmp_path):
    model = open_file(str(file), Named({'batch': 1}, {'x': 'zeros'}, {}), tmp_path)
    assert model.note == 'Fed back: stateN into state.'
    for trial in (model.baseline, *model.runtimes):
        stepper = FileStepper(trial)
        found = []
        for number in range(3):
            found.append(float(stepper.step(number)[0][0, 0]))
            stepper.rehearse(number)
        assert found == [0.0, 1.0, 2.0] and float(stepper.state()[0][0, 0]) == 3.0
        stepper.reset()
        assert float(stepper.step(0)[0][0, 0]) == 0.0


def test_a_state_that_no_name_tells_is_named_by_the_user(tmp_path):
    path = write_sum(tmp_path / 'sum.onnx', 1, 'memory', 'later')
    with pytest.raises(SettingError, match='--input memory=random'):
        write_inputs(path, Named({}, {'x': 'ones'}, {}), tmp_path / 'a.npz')
    assert write_inputs(path, Named({}, {'x': 'ones'}, {'memory': 'later'}),
                        tmp_path / 'a.npz') == (('memory', 'later'),)


@pytest.mark.parametrize(('shape', 'kind'), [
    ([1, 3, 8, 12], TensorProto.FLOAT), ([1, 8, 12, 3], TensorProto.UINT8)])
def test_pictures_are_as_the_input_takes_them(tmp_path, shape, kind):
    graph = helper.make_graph(
        [helper.make_node('Identity', ['image'], ['y'])], 'g',
        [helper.make_tensor_value_info('image', kind, shape)],
        [helper.make_tensor_value_info('y', kind, shape)])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', 17)])
    model.ir_version = 9
    onnx.save(model, tmp_path / 'a.onnx')
    write_inputs(tmp_path / 'a.onnx', Named({}, {}, {}, 'made'), tmp_path / 'a.npz')
    pictures = np.load(tmp_path / 'a.npz')['image']
    assert list(pictures.shape[1:]) == shape and len(pictures) > 30
    assert pictures.max() <= (1.0 if kind == TensorProto.FLOAT else 255)
    assert len({picture.tobytes() for picture in pictures}) > 30


def test_a_file_that_no_runtime_reads_is_refused(tmp_path):
    (tmp_path / 'a.onnx').write_bytes(b'no graph')
    with pytest.raises(BackendError, match='cannot open a.onnx'):
        write_inputs(tmp_path / 'a.onnx', NOTHING, tmp_path / 'a.npz')


def test_the_session_as_python_opens_the_file_with_these_settings(file, tmp_path):
    model = open_file(str(file), Named({'batch': 1}, {'x': 'zeros'}, {}), tmp_path)
    trial = model.runtimes[0].with_changes({'intra_op_num_threads': 2, 'dynamic_block_base': 4})
    text, names = session_text(trial), {}
    exec(text, names)
    assert names['options'].intra_op_num_threads == 2
    assert names['options'].get_session_config_entry('session.dynamic_block_base') == '4'
    assert names['session'].get_inputs()[0].name == 'x'
    assert session_text(model.baseline) == ''
